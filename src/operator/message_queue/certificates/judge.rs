//! What the condition says of certificates. Pure.

use std::time::SystemTime;

use ferrymq_api::{CertificateSource, Cluster, Reason};
use ferrymq_tls::{CA_FILE, CERTIFICATE_FILE, Files, Identity, IdentityError, KEY_FILE};
use k8s_openapi::jiff::Timestamp;

use super::{Decision, client_names, client_secret, data};
use crate::{message_queue::dereference::Observed, names, objects::Kind};

/// What the condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) valid: bool,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// It will not become well by itself.
    pub(crate) stalls: bool,
}

impl Judged {
    fn wrong(reason: Reason, stalls: bool, message: String) -> Self {
        Self { valid: false, reason, message, stalls }
    }
}

pub(super) fn judge(
    cluster: &Cluster,
    observed: &Observed,
    internal: &Decision,
    clients: Option<&Decision>,
    now: SystemTime,
) -> Judged {
    let given = match cluster.tls.as_ref().map(|tls| &tls.source) {
        Some(source @ (CertificateSource::Secret(_) | CertificateSource::CertManager { .. })) => {
            match of_given(cluster, source, observed, now) {
                Ok(sentence) => Some(sentence),
                Err(wrong) => return wrong,
            }
        }
        _ => None,
    };
    if let Some(wrong) = of_brokers(cluster, observed) {
        return wrong;
    }
    let decisions = || std::iter::once(internal).chain(clients);
    if decisions().any(Decision::makes) {
        let message = "certificates are being made".to_owned();
        return Judged { valid: false, reason: Reason::Progressing, message, stalls: false };
    }
    let renewal = decisions().filter_map(|decision| decision.renewal).min();
    let renewal = renewal.map(|time| format!("the operator renews its next certificate at {}", written(time)));
    let sentences: Vec<String> = given.into_iter().chain(renewal).collect();
    Judged { valid: true, reason: Reason::CertificatesCurrent, message: sentences.join("; "), stalls: false }
}

/// The certificate that somebody else makes.
fn of_given(
    cluster: &Cluster,
    source: &CertificateSource,
    observed: &Observed,
    now: SystemTime,
) -> Result<String, Judged> {
    let name = client_secret(cluster).unwrap_or_default();
    let issued = matches!(source, CertificateSource::CertManager { .. });
    let Some(secret) = &observed.given_certificate else {
        return Err(if issued { not_issued(observed, &name) } else { missing(&name) });
    };
    let part = |key| data(secret, key).map(<[u8]>::to_vec);
    let files = Files {
        certificate: part(CERTIFICATE_FILE).unwrap_or_default(),
        key: part(KEY_FILE).unwrap_or_default(),
        authorities: part(CA_FILE).filter(|authorities| !authorities.is_empty()),
        accept_plain: false,
    };
    let identity = Identity::check(&files, now).map_err(|error| {
        let reason = match error {
            IdentityError::Expired { .. } => Reason::CertificateExpired,
            _ => Reason::CertificateInvalid,
        };
        Judged::wrong(reason, !issued, format!("Secret {name}: {error}"))
    })?;
    let until = written(identity.certificate.not_after);
    let sentence = format!("the certificate in Secret {name} is good until {until}");
    let service = format!("{}.{}.svc", names::client_service(&cluster.name), cluster.namespace);
    let wild = |named: &String| {
        named.strip_prefix('*').is_some_and(|end| client_names(cluster).iter().any(|name| name.ends_with(end)))
    };
    if identity.certificate.names.contains(&service) || identity.certificate.names.iter().any(wild) {
        return Ok(sentence);
    }
    Ok(format!("{sentence} (it is not for {service}: clients must connect by one of its own names)"))
}

fn missing(name: &str) -> Judged {
    let message = format!(
        "spec.tls names Secret {name}, which is not there; make it with kubectl create secret tls {name} --cert=FILE --key=FILE. \
         Until then listeners with TLS refuse clients"
    );
    Judged::wrong(Reason::CertificateSecretMissing, true, message)
}

fn not_issued(observed: &Observed, name: &str) -> Judged {
    let asked = observed.objects.contains_key(&(Kind::Certificate, name.to_owned()));
    let message = if asked {
        format!("cert-manager has not issued Certificate {name} yet; see kubectl describe certificate {name}")
    } else {
        format!(
            "there is no Certificate {name}: cert-manager does not seem to be installed; install it, or use another mode"
        )
    };
    Judged::wrong(Reason::CertificateNotIssued, !asked, message)
}

/// What brokers themselves say of their files.
fn of_brokers(cluster: &Cluster, observed: &Observed) -> Option<Judged> {
    observed.brokers.iter().find_map(|(ordinal, answer)| {
        let node = answer.as_ref().ok()?;
        let problem = node.certificates.iter().find_map(|certificate| certificate.problem.as_ref())?;
        let name = names::pod(&cluster.name, *ordinal);
        let message = format!("{name} cannot use a certificate that it was given: {problem}");
        Some(Judged::wrong(Reason::CertificateInvalid, false, message))
    })
}

/// A time as people and programs read it: RFC 3339, to the second.
fn written(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "a time that cannot be told".to_owned(), |time| time.to_string())
}
