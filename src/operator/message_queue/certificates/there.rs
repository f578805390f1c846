//! What there is of an authority and a certificate, as it was read.

use std::time::SystemTime;

use ferrymq_tls::{Authority, CA_FILE, CERTIFICATE_FILE, Certificate, Files, Identity, Issued, KEY_FILE};
use k8s_openapi::api::core::v1::Secret;

use super::data;

/// What there is of a pair. What cannot be used is not there.
#[derive(Default)]
pub(crate) struct There {
    pub(crate) authority: Option<Authority>,
    /// Every authority that is trusted now: PEM.
    pub(crate) trusted: Vec<u8>,
    pub(crate) certificate: Option<Leaf>,
}

/// A certificate that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) said: Certificate,
    pub(crate) pem: Issued,
}

impl There {
    pub(crate) fn of(authority: Option<&Secret>, certificate: Option<&Secret>) -> Self {
        let mut trusted = Vec::new();
        for secret in [authority, certificate].into_iter().flatten() {
            trusted.extend_from_slice(data(secret, CA_FILE).unwrap_or_default());
            trusted.push(b'\n');
        }
        let authority = authority.and_then(issued).and_then(|pem| Authority::read(&pem.certificate, &pem.key).ok());
        Self { authority, trusted, certificate: certificate.and_then(leaf) }
    }
}

fn issued(secret: &Secret) -> Option<Issued> {
    let text = |key| String::from_utf8(data(secret, key)?.to_vec()).ok();
    Some(Issued { certificate: text(CERTIFICATE_FILE)?, key: text(KEY_FILE)? })
}

fn leaf(secret: &Secret) -> Option<Leaf> {
    let pem = issued(secret)?;
    let files = Files {
        certificate: pem.certificate.clone().into_bytes(),
        key: pem.key.clone().into_bytes(),
        ..Files::default()
    };
    // Whether it has expired is looked at where the time is known.
    let said = Identity::check(&files, SystemTime::UNIX_EPOCH).ok()?.certificate;
    Some(Leaf { said, pem })
}
