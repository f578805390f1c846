use std::time::{Duration, SystemTime};

use ferrymq_api::Reason;
use ferrymq_tls::{Authority, Certificate, Usage, certificates};
use k8s_openapi::ByteString;
use serde_json::json;

use super::{decide::GRACE, *};
use crate::{
    fixture::{self, cluster},
    message_queue::{build, plan::Plan},
    objects::Kind,
};

const TLS: &str = "{storage: {size: 1Gi}, tls: {names: [mq.shop.example]}}";
const DAY: Duration = Duration::from_secs(86_400);

/// A cluster whose operator looks at it from time to time, and what it has written.
struct Operated {
    cluster: Cluster,
    observed: Observed,
    now: SystemTime,
}

impl Operated {
    fn new(spec: &str) -> Self {
        let observed = Observed { credentials: fixture::credentials(), ..Observed::default() };
        Self { cluster: cluster(spec), observed, now: SystemTime::now() }
    }

    /// The operator looks, makes and writes; what was made anew, as its events say it.
    fn looks(&mut self) -> Vec<String> {
        let certificates = next(&self.cluster, &self.observed, self.now);
        let made = make(&self.cluster, &self.observed, &certificates, self.now).unwrap();
        let renewed = certificates.renewed(&self.cluster);
        let plan = Plan { certificates, ..fixture::plan(&self.cluster) };
        for object in build::objects(&self.cluster, &plan, &self.observed, &made).unwrap() {
            if object.kind == Kind::Secret {
                let there = serde_json::from_value(object.value).unwrap();
                self.observed.objects.insert((object.kind, object.name), there);
            }
        }
        renewed
    }

    fn after(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.looks()
    }

    fn text(&self, secret: &str, key: &str) -> String {
        let secret = self.observed.secret(secret).unwrap();
        String::from_utf8(data(&secret, key).unwrap().to_vec()).unwrap()
    }

    fn certificate(&self, secret: &str) -> Certificate {
        Certificate::read_pem(self.text(secret, "tls.crt").as_bytes()).unwrap()
    }

    fn trusts(&self, secret: &str) -> Vec<Certificate> {
        let bundle = self.text(secret, "ca.crt");
        certificates(bundle.as_bytes()).into_iter().map(|(certificate, _)| certificate).collect()
    }

    fn delete(&mut self, secret: &str) {
        self.observed.objects.remove(&(Kind::Secret, secret.to_owned())).unwrap();
    }

    fn judged(&self) -> Judged {
        next(&self.cluster, &self.observed, self.now).judged
    }
}

#[test]
fn brokers_and_clients_have_an_authority_each() {
    let mut operated = Operated::new(TLS);
    assert_eq!(operated.judged().reason, Reason::Progressing);
    assert_eq!(operated.looks(), Vec::<String>::new());
    let (internal, clients) = (operated.certificate("orders-internal-tls"), operated.certificate("orders-tls"));
    assert!(internal.is_from(&operated.certificate("orders-internal-ca")));
    assert!(clients.is_from(&operated.certificate("orders-ca")));
    assert!(!clients.is_from(&operated.certificate("orders-internal-ca")));
    for name in ["orders", "orders.shop.svc.cluster.local", "*.orders-nodes.shop.svc", "mq.shop.example"] {
        assert!(clients.names.contains(name), "{name} is missing");
    }
    assert_eq!(operated.trusts("orders-tls"), [operated.certificate("orders-ca")]);
    let judged = operated.judged();
    assert_eq!((judged.valid, judged.reason), (true, Reason::CertificatesCurrent));
    assert!(judged.message.starts_with("the operator renews its next certificate at 2"), "{}", judged.message);
}

#[test]
fn without_tls_for_clients_there_is_only_what_brokers_need() {
    let mut operated = Operated::new("{storage: {size: 1Gi}}");
    operated.looks();
    assert!(operated.observed.secret("orders-internal-tls").is_some());
    assert!(operated.observed.secret("orders-tls").is_none());
}

#[test]
fn what_is_well_is_left_alone() {
    let mut operated = Operated::new(TLS);
    operated.looks();
    let before = operated.observed.objects.clone();
    operated.after(DAY * 30);
    assert_eq!(before, operated.observed.objects);
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life_by_the_same_authority() {
    let mut operated = Operated::new(TLS);
    operated.looks();
    let (authority, before) = (operated.certificate("orders-ca"), operated.certificate("orders-tls"));
    assert_eq!(operated.after(DAY * 59), Vec::<String>::new());
    let renewed = operated.after(DAY * 2);
    assert_eq!(renewed.len(), 2, "{renewed:?}");
    assert!(renewed[1].starts_with("the certificate in Secret orders-tls was made anew: two thirds"), "{renewed:?}");
    let after = operated.certificate("orders-tls");
    assert_ne!(before.serial, after.serial);
    assert!(after.is_from(&authority) && after.not_after > before.not_after);
}

#[test]
fn a_deleted_certificate_is_put_back_by_the_same_authority() {
    let mut operated = Operated::new(TLS);
    operated.looks();
    let authority = operated.certificate("orders-internal-ca");
    operated.delete("orders-internal-tls");
    operated.looks();
    assert!(operated.certificate("orders-internal-tls").is_from(&authority));
    assert_eq!(operated.certificate("orders-internal-ca"), authority);
}

#[test]
fn other_names_make_another_certificate() {
    let mut operated = Operated::new(TLS);
    operated.looks();
    operated.cluster = cluster("{storage: {size: 1Gi}, tls: {names: [other.shop.example]}}");
    let renewed = operated.looks();
    assert_eq!(renewed, ["the certificate in Secret orders-tls was made anew: it is to be for other names"]);
    assert!(operated.certificate("orders-tls").names.contains("other.shop.example"));
}

#[test]
fn a_new_authority_is_trusted_before_it_signs_and_the_old_one_until_nothing_of_it_is_left() {
    let mut operated = Operated::new("{storage: {size: 1Gi}, tls: {authorityDuration: 30d, certificateDuration: 29d}}");
    operated.looks();
    let old = operated.certificate("orders-ca");
    // The certificate is renewed before its authority is.
    operated.after(DAY * 19 + DAY / 2);
    let leaf = operated.certificate("orders-tls");
    assert!(leaf.is_from(&old));
    let renewed = operated.after(DAY);
    assert!(renewed.iter().any(|note| note.contains("Secret orders-ca was made anew")), "{renewed:?}");
    let new = operated.certificate("orders-ca");
    assert_ne!(old, new);
    assert_eq!(operated.certificate("orders-tls"), leaf, "it was replaced before anybody trusts its new authority");
    assert_eq!(operated.trusts("orders-tls"), [new.clone(), old.clone()]);

    operated.after(GRACE + Duration::from_secs(1));
    assert!(operated.certificate("orders-tls").is_from(&new));
    assert_eq!(operated.trusts("orders-tls"), [new.clone(), old.clone()], "a broker may still serve with the old one");
    operated.after(GRACE + Duration::from_secs(1));
    assert_eq!(operated.trusts("orders-tls"), std::slice::from_ref(&new));
    assert_eq!(operated.trusts("orders-ca"), [new]);
}

#[test]
fn a_lost_authority_is_replaced_without_a_moment_of_distrust() {
    let mut operated = Operated::new(TLS);
    operated.looks();
    let (old, leaf) = (operated.certificate("orders-internal-ca"), operated.certificate("orders-internal-tls"));
    operated.delete("orders-internal-ca");
    operated.after(DAY);
    let new = operated.certificate("orders-internal-ca");
    assert_eq!(operated.certificate("orders-internal-tls"), leaf);
    assert_eq!(operated.trusts("orders-internal-tls"), [new.clone(), old]);
    operated.after(GRACE + Duration::from_secs(1));
    assert!(operated.certificate("orders-internal-tls").is_from(&new));
}

#[test]
fn what_somebody_broke_is_made_anew() {
    let mut operated = Operated::new(TLS);
    operated.looks();
    let key = (Kind::Secret, "orders-tls".to_owned());
    let object = operated.observed.objects.get_mut(&key).unwrap();
    object.data["data"]["tls.key"] = json!(ByteString(b"nothing".to_vec()));
    operated.looks();
    assert!(next(&operated.cluster, &operated.observed, operated.now).judged.valid);
}

#[test]
fn links_without_tls_are_taken_only_while_a_broker_knows_nothing_else() {
    let mut operated = Operated::new("{storage: {size: 1Gi}}");
    operated.looks();
    assert_eq!(operated.text("orders-internal-tls", "accept-plain"), "false");
    operated.observed.pods = fixture::rolling(["new", "new", "old"]).pods;
    operated.looks();
    assert_eq!(operated.text("orders-internal-tls", "accept-plain"), "true");
    for pod in operated.observed.pods.values_mut() {
        let spec = json!({"containers": [], "volumes": [{"name": "internal-tls"}]});
        pod.spec = Some(serde_json::from_value(spec).unwrap());
    }
    operated.looks();
    assert_eq!(operated.text("orders-internal-tls", "accept-plain"), "false");
}

fn given(certificate: &str, key: &str) -> Secret {
    serde_json::from_value(json!({
        "metadata": {"name": "mine"},
        "data": {"tls.crt": ByteString(certificate.into()), "tls.key": ByteString(key.into())},
    }))
    .unwrap()
}

#[test]
fn a_secret_of_ones_own_is_named_with_what_is_wrong_with_it() {
    let mut operated = Operated::new("{storage: {size: 1Gi}, tls: {mode: Secret, secretName: mine}}");
    operated.looks();
    let missing = operated.judged();
    assert_eq!((missing.reason, missing.stalls), (Reason::CertificateSecretMissing, true));
    assert!(missing.message.contains("Secret mine") && missing.message.contains("kubectl create secret tls mine"));

    let authority = Authority::make("corporate", operated.now, DAY * 10).unwrap();
    let name = ["orders.shop.svc".to_owned()];
    let (one, other) = (
        authority.issue(&name, Usage::Server, operated.now, DAY).unwrap(),
        authority.issue(&name, Usage::Server, operated.now, DAY).unwrap(),
    );
    operated.observed.given_certificate = Some(given(&one.certificate, &other.key));
    let wrong = operated.judged();
    assert_eq!(wrong.reason, Reason::CertificateInvalid);
    assert!(wrong.message.starts_with("Secret mine: tls.key is not the key"), "{}", wrong.message);

    operated.observed.given_certificate = Some(given(&one.certificate, &one.key));
    let good = operated.judged();
    assert!(
        good.valid && good.message.starts_with("the certificate in Secret mine is good until "),
        "{}",
        good.message
    );
    operated.now += DAY * 2;
    assert_eq!(operated.judged().reason, Reason::CertificateExpired);
}

#[test]
fn cert_manager_that_has_not_issued_yet_or_is_not_there_is_said() {
    let spec = "{storage: {size: 1Gi}, tls: {mode: CertManager, issuerRef: {name: corporate}}}";
    let mut operated = Operated::new(spec);
    operated.looks();
    let absent = operated.judged();
    assert_eq!((absent.reason, absent.stalls), (Reason::CertificateNotIssued, true));
    assert!(absent.message.contains("does not seem to be installed"), "{}", absent.message);
    let asked = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "c"}});
    let key = (Kind::Certificate, "orders-tls-issued".to_owned());
    operated.observed.objects.insert(key, serde_json::from_value(asked).unwrap());
    let waiting = operated.judged();
    assert!(!waiting.stalls && waiting.message.contains("kubectl describe certificate orders-tls-issued"));
}
