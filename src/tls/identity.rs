//! A certificate, its key and the authorities, checked.

use std::{sync::Arc, time::SystemTime};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};

use crate::{
    Certificate, Files,
    files::{CA_FILE, CERTIFICATE_FILE, KEY_FILE},
    provider::provider,
};

/// A certificate, its key and the authorities: what one end of a connection shows, and what it wants to see. They fit
/// each other.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What is said in the certificate.
    pub certificate: Certificate,
    pub(crate) key: Arc<CertifiedKey>,
    /// Empty where there is no file of authorities.
    pub(crate) authorities: RootCertStore,
}

/// Files that do not make an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// There is no certificate.
    #[error("{CERTIFICATE_FILE} holds no certificate; it should be PEM, and begin with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("{file} cannot be read as PEM certificates: {reason}")]
    Unreadable {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no key.
    #[error("{KEY_FILE} holds no private key that can be used; it should be PEM, unencrypted, PKCS#8, PKCS#1 or SEC1")]
    NoKey,
    /// The key is another certificate's.
    #[error("{KEY_FILE} is not the key of the certificate in {CERTIFICATE_FILE}; put both from the same certificate")]
    OtherKey,
    /// The certificate is not good any more.
    #[error("the certificate in {CERTIFICATE_FILE} ({subject}) has expired; put a new one there")]
    Expired {
        /// Whom it is of.
        subject: String,
    },
    /// The file of authorities has none.
    #[error("{CA_FILE} holds no certificate of an authority; it should be PEM")]
    NoAuthority,
}

impl Identity {
    /// Checks files: that all can be read, that the key is the certificate's, that the certificate has not expired by
    /// `now`. One that is not good yet is taken: clocks differ.
    ///
    /// # Errors
    ///
    /// [`IdentityError`], which names the file.
    pub fn check(files: &Files, now: SystemTime) -> Result<Self, IdentityError> {
        let chain = read(&files.certificate, CERTIFICATE_FILE)?;
        let leaf = chain.first().ok_or(IdentityError::NoCertificate)?;
        let certificate = Certificate::read(leaf).ok_or_else(|| IdentityError::Unreadable {
            file: CERTIFICATE_FILE,
            reason: "the first one is no X.509 certificate".to_owned(),
        })?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| IdentityError::NoKey)?;
        let key = provider().key_provider.load_private_key(key).map_err(|_| IdentityError::NoKey)?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) => {}
            // What cannot be compared shows when it is used.
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(IdentityError::OtherKey),
        }
        if certificate.not_after < now {
            return Err(IdentityError::Expired { subject: certificate.subject });
        }
        let authorities = match &files.authorities {
            Some(pem) => authorities(pem)?,
            None => RootCertStore::empty(),
        };
        Ok(Self { certificate, key: Arc::new(key), authorities })
    }
}

/// The authorities of a PEM text: at least one.
pub(crate) fn authorities(pem: &[u8]) -> Result<RootCertStore, IdentityError> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(read(pem, CA_FILE)?);
    if added == 0 { Err(IdentityError::NoAuthority) } else { Ok(store) }
}

fn read(pem: &[u8], file: &'static str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let unreadable = |error: pem::Error| IdentityError::Unreadable { file, reason: error.to_string() };
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(unreadable)
}
