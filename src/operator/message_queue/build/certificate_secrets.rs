//! The Secrets with what the operator makes: of an authority, and of a certificate that it signed. Their keys are those of
//! every `kubernetes.io/tls` Secret, and `ca.crt`.

use std::collections::BTreeMap;

use ferrymq_api::Cluster;
use ferrymq_tls::{CA_FILE, CERTIFICATE_FILE, Issued, KEY_FILE, PLAIN_FILE};
use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::object_meta;
use crate::message_queue::certificates::Pair;

pub(crate) fn authority(cluster: &Cluster, name: String, pair: &Pair) -> Secret {
    secret(cluster, name, &pair.authority, &pair.trusted, None)
}

/// `accept_plain` is for brokers only: it is no part of a certificate, and brokers find it beside theirs.
pub(crate) fn certificate(cluster: &Cluster, name: String, pair: &Pair, accept_plain: Option<bool>) -> Secret {
    secret(cluster, name, &pair.certificate, &pair.trusted, accept_plain)
}

fn secret(cluster: &Cluster, name: String, issued: &Issued, trusted: &str, accept_plain: Option<bool>) -> Secret {
    let mut data = BTreeMap::from([
        (CERTIFICATE_FILE, issued.certificate.clone()),
        (KEY_FILE, issued.key.clone()),
        (CA_FILE, trusted.to_owned()),
    ]);
    // Always there, and never only left out: what a Secret was made with is not taken away by leaving it out later.
    data.extend(accept_plain.map(|accept| (PLAIN_FILE, accept.to_string())));
    let bytes = |text: String| ByteString(text.into_bytes());
    Secret {
        metadata: object_meta(cluster, name),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(data.into_iter().map(|(key, text)| (key.to_owned(), bytes(text))).collect()),
        ..Secret::default()
    }
}
