//! The certificates of a cluster: those that the operator makes, and those that others make for it.
//!
//! Two pairs of an authority and a certificate may be made: one for what brokers say among themselves, in any case, and
//! one for clients, where the spec asks for it. What is there and the time decide what is made:
//!
//! ```text
//!   Secrets, time --decide--> Decision --make--> texts --build--> Secrets
//!        (observed)   (pure)            (new keys)
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `there.rs` | what there is of a pair, as it was read |
//! | `decide.rs` | what is to be made, and which authorities are trusted meanwhile |
//! | `make.rs` | makes it |
//! | `judge.rs` | what the condition says |
//!
//! A new authority is trusted before anything is signed by it, and an old one for a while after nothing is: a broker that
//! has read its files meets one that has not, and both take each other's certificate.

mod decide;
mod judge;
mod make;
mod there;

use std::{collections::BTreeSet, time::SystemTime};

use ferrymq_api::{CertificateSource, Cluster, Lives};
use k8s_openapi::api::core::v1::Secret;

pub(crate) use decide::{Decision, Next};
pub(crate) use judge::Judged;
pub(crate) use make::{Made, Pair, make};
pub(crate) use there::There;

use crate::{message_queue::dereference::Observed, names};

/// What is to be made, and what is said of all certificates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Certificates {
    /// Of what brokers say among themselves.
    pub(crate) internal: Decision,
    /// Of listeners, where the operator makes it.
    pub(crate) clients: Option<Decision>,
    /// Brokers run that know no TLS among themselves: links without are taken until they are replaced.
    pub(crate) accept_plain: bool,
    /// What the condition says.
    pub(crate) judged: Judged,
}

impl Certificates {
    /// What is made anew, a sentence for each.
    pub(crate) fn renewed(&self, cluster: &Cluster) -> Vec<String> {
        let name = &cluster.name;
        let internal = [
            (&self.internal.authority, names::internal_authority(name)),
            (&self.internal.certificate, names::internal_certificate(name)),
        ];
        let clients = self.clients.iter().flat_map(|decision| {
            [
                (&decision.authority, names::client_authority(name)),
                (&decision.certificate, names::client_certificate(name)),
            ]
        });
        let renewed = |(next, secret): (&Next, String)| match next {
            Next::Renew(why) => Some(format!("the certificate in Secret {secret} was made anew: {why}")),
            Next::Keep | Next::Make => None,
        };
        internal.into_iter().chain(clients).filter_map(renewed).collect()
    }
}

pub(crate) fn next(cluster: &Cluster, observed: &Observed, now: SystemTime) -> Certificates {
    let internal = decide::decide(&internal_there(cluster, observed), &wanted_internal(cluster), now);
    let clients = wanted_clients(cluster).map(|wanted| decide::decide(&clients_there(cluster, observed), &wanted, now));
    let judged = judge::judge(cluster, observed, &internal, clients.as_ref(), now);
    let accept_plain = observed.pods.values().any(|pod| !names::speaks_tls(pod));
    Certificates { internal, clients, accept_plain, judged }
}

/// What a pair should be.
pub(crate) struct Wanted {
    /// The authority's name, for people.
    pub(crate) authority: String,
    /// What the certificate is for.
    pub(crate) names: BTreeSet<String>,
    pub(crate) usage: ferrymq_tls::Usage,
    pub(crate) lives: Lives,
}

pub(crate) fn wanted_internal(cluster: &Cluster) -> Wanted {
    let name = names::internal_name(&cluster.name, &cluster.namespace);
    Wanted {
        authority: format!("{} brokers", cluster.name),
        names: BTreeSet::from([format!("*.{name}"), name]),
        usage: ferrymq_tls::Usage::BothEnds,
        lives: Lives::default(),
    }
}

pub(crate) fn wanted_clients(cluster: &Cluster) -> Option<Wanted> {
    let tls = cluster.tls.as_ref()?;
    let CertificateSource::Generated(lives) = &tls.source else { return None };
    Some(Wanted {
        authority: format!("{} listeners", cluster.name),
        names: client_names(cluster),
        usage: ferrymq_tls::Usage::Server,
        lives: *lives,
    })
}

/// All names that clients connect by: of the Service, of each broker, and what the spec adds. A certificate is for all
/// brokers that there may ever be, so that scaling makes no other.
pub(crate) fn client_names(cluster: &Cluster) -> BTreeSet<String> {
    let namespace = &cluster.namespace;
    let service = names::client_service(&cluster.name);
    let nodes = names::nodes_service(&cluster.name);
    let mut all = cluster.tls.as_ref().map(|tls| tls.names.clone()).unwrap_or_default();
    let exposed =
        cluster.listeners.iter().filter(|listener| listener.tls).filter_map(|listener| listener.exposure.as_ref());
    all.extend(exposed.flat_map(ferrymq_api::Exposure::hosts));
    all.insert(service.clone());
    for domain in [namespace.clone(), format!("{namespace}.svc"), format!("{namespace}.svc.cluster.local")] {
        all.insert(format!("{service}.{domain}"));
        all.insert(format!("*.{nodes}.{domain}"));
    }
    all
}

fn internal_there(cluster: &Cluster, observed: &Observed) -> There {
    let secret = |name: String| observed.secret(&name);
    There::of(
        secret(names::internal_authority(&cluster.name)).as_ref(),
        secret(names::internal_certificate(&cluster.name)).as_ref(),
    )
}

fn clients_there(cluster: &Cluster, observed: &Observed) -> There {
    let secret = |name: String| observed.secret(&name);
    There::of(
        secret(names::client_authority(&cluster.name)).as_ref(),
        secret(names::client_certificate(&cluster.name)).as_ref(),
    )
}

/// The Secret that brokers take the certificate of their listeners from; none where no listener speaks TLS.
pub(crate) fn client_secret(cluster: &Cluster) -> Option<String> {
    Some(match &cluster.tls.as_ref()?.source {
        CertificateSource::Generated(_) => names::client_certificate(&cluster.name),
        CertificateSource::Secret(name) => name.clone(),
        CertificateSource::CertManager { .. } => names::issued_certificate(&cluster.name),
    })
}

/// What a Secret has under a key.
fn data<'a>(secret: &'a Secret, key: &str) -> Option<&'a [u8]> {
    secret.data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice())
}

#[cfg(test)]
mod tests;
