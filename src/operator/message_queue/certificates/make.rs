//! Makes what was decided: new keys, and certificates for them.

use std::time::SystemTime;

use ferrymq_api::Cluster;
use ferrymq_tls::{Authority, AuthorityError, Issued, certificates, pem};

use super::{
    Certificates, Decision, Next, There, Wanted, clients_there, internal_there, wanted_clients, wanted_internal,
};
use crate::message_queue::dereference::Observed;

/// An authority, a certificate of it, and all authorities that are trusted: what the Secrets hold.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) authority: Issued,
    pub(crate) certificate: Issued,
    /// PEM; the one that signs first.
    pub(crate) trusted: String,
}

/// All that the operator makes of a cluster.
pub(crate) struct Made {
    pub(crate) internal: Pair,
    pub(crate) clients: Option<Pair>,
}

pub(crate) fn make(
    cluster: &Cluster,
    observed: &Observed,
    decided: &Certificates,
    now: SystemTime,
) -> Result<Made, AuthorityError> {
    let internal = pair(internal_there(cluster, observed), &wanted_internal(cluster), &decided.internal, now)?;
    let clients = match (wanted_clients(cluster), &decided.clients) {
        (Some(wanted), Some(decision)) => Some(pair(clients_there(cluster, observed), &wanted, decision, now)?),
        _ => None,
    };
    Ok(Made { internal, clients })
}

fn pair(there: There, wanted: &Wanted, decision: &Decision, now: SystemTime) -> Result<Pair, AuthorityError> {
    let old = there.authority.as_ref().map(|authority| authority.pem().certificate.clone()).unwrap_or_default();
    let mut known = old.into_bytes();
    known.push(b'\n');
    known.extend_from_slice(&there.trusted);
    let authority = match there.authority {
        Some(authority) if decision.authority == Next::Keep => authority,
        _ => Authority::make(&wanted.authority, now, wanted.lives.authority)?,
    };
    let certificate = match there.certificate {
        Some(leaf) if decision.certificate == Next::Keep => leaf.pem,
        _ => {
            let names: Vec<String> = wanted.names.iter().cloned().collect();
            authority.issue(&names, wanted.usage, now, wanted.lives.certificate)?
        }
    };
    let mut trusted = authority.pem().certificate.clone();
    let mut added = Vec::new();
    for (other, der) in certificates(&known) {
        if decision.also_trusted.contains(&other) && !added.contains(&other) {
            trusted.push_str(&pem(&der));
            added.push(other);
        }
    }
    Ok(Pair { authority: authority.pem().clone(), certificate, trusted })
}
