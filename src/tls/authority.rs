//! Makes certificates: RFC 5280. Keys are ECDSA, P-256.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::Certificate;

/// How long before it is made a certificate is good already: clocks differ.
pub const BACKDATED: Duration = Duration::from_secs(300);

/// A certificate authority, with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// What is said in its certificate.
    pub certificate: Certificate,
    pem: Issued,
}

/// A certificate that was made, with its key: PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// By a server.
    Server,
    /// By both ends of a connection.
    BothEnds,
}

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The authority's own certificate or key cannot be read.
    #[error("the certificate authority cannot be read; delete it, and a new one is made")]
    Authority(#[source] rcgen::Error),
    /// The authority's certificate is none of an authority.
    #[error("the certificate is none of an authority; delete it, and a new one is made")]
    NoAuthority,
    /// What was asked for cannot be in a certificate.
    #[error("the certificate cannot be made")]
    Certificate(#[source] rcgen::Error),
}

impl Authority {
    /// Makes an authority with a new key. `name` is for people to read; a number is put behind it, so that no two
    /// authorities are taken for each other.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Certificate`].
    pub fn make(name: &str, now: SystemTime, life: Duration) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Certificate)?;
        let number: String = key.public_key_raw().iter().rev().take(4).map(|byte| format!("{byte:02x}")).collect();
        let name: String = name.chars().take(50).collect();
        let mut parameters = parameters(&format!("{name} {number}"), now, now + life)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key).map_err(AuthorityError::Certificate)?;
        Self::read(&certificate.pem(), &key.serialize_pem())
    }

    /// An authority that was made before.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Authority`], [`AuthorityError::NoAuthority`].
    pub fn read(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let pem = Issued { certificate: certificate.to_owned(), key: key.to_owned() };
        let key = KeyPair::from_pem(key).map_err(AuthorityError::Authority)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(AuthorityError::Authority)?;
        let certificate = Certificate::read_pem(certificate.as_bytes()).filter(|certificate| certificate.is_authority);
        Ok(Self { issuer, certificate: certificate.ok_or(AuthorityError::NoAuthority)?, pem })
    }

    /// Its certificate and key.
    #[must_use]
    pub fn pem(&self) -> &Issued {
        &self.pem
    }

    /// Makes a certificate for names of hosts and addresses, which does not outlive the authority.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Certificate`]: one of the names is none.
    pub fn issue(
        &self,
        names: &[String],
        usage: Usage,
        now: SystemTime,
        life: Duration,
    ) -> Result<Issued, AuthorityError> {
        let failed = AuthorityError::Certificate;
        let key = KeyPair::generate().map_err(failed)?;
        let until = (now + life).min(self.certificate.not_after);
        let mut parameters = parameters(names.first().map_or("ferrymq", String::as_str), now, until)?;
        let with_names = CertificateParams::new(names.to_vec()).map_err(failed)?;
        parameters.subject_alt_names = with_names.subject_alt_names;
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = match usage {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::BothEnds => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        let certificate = parameters.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn parameters(name: &str, now: SystemTime, until: SystemTime) -> Result<CertificateParams, AuthorityError> {
    let mut parameters = CertificateParams::new(Vec::new()).map_err(AuthorityError::Certificate)?;
    let mut subject = DistinguishedName::new();
    // A common name has 64 characters at most: RFC 5280, appendix A.1, ub-common-name.
    subject.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    subject.push(DnType::OrganizationName, "FerryMQ");
    parameters.distinguished_name = subject;
    parameters.not_before = (now - BACKDATED).into();
    parameters.not_after = until.into();
    Ok(parameters)
}
