//! What is said in a certificate: RFC 5280.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// What is said in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its number, as hexadecimal digits.
    pub serial: String,
    /// Whom it is of, as text.
    pub subject: String,
    /// Who signed it, as text.
    pub issuer: String,
    /// The names that it is good for: of hosts, and addresses.
    pub names: BTreeSet<String>,
    /// It is good from then on.
    pub not_before: SystemTime,
    /// It is good until then.
    pub not_after: SystemTime,
    /// It is an authority's.
    pub is_authority: bool,
}

impl Certificate {
    /// Reads a certificate; none where it is none.
    #[must_use]
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        Some(Self {
            serial: parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names(&parsed),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
            is_authority: parsed.is_ca(),
        })
    }

    /// Reads the first certificate of a PEM text; none where there is none.
    #[must_use]
    pub fn read_pem(pem: &[u8]) -> Option<Self> {
        Self::read(&CertificateDer::from_pem_slice(pem).ok()?)
    }

    /// Whether it was signed by another, by their names. Authorities that are made here have a name of their own each.
    #[must_use]
    pub fn is_from(&self, authority: &Self) -> bool {
        self.issuer == authority.subject
    }

    /// Whether it is good at a time.
    #[must_use]
    pub fn is_good_at(&self, time: SystemTime) -> bool {
        self.not_before <= time && time <= self.not_after
    }

    /// When it should be made anew: two thirds of its life.
    #[must_use]
    pub fn renewal(&self) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.not_before + life / 3 * 2
    }
}

/// All certificates of a PEM text; those that cannot be read are passed over.
#[must_use]
pub fn certificates(pem: &[u8]) -> Vec<(Certificate, CertificateDer<'static>)> {
    let all = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    all.filter_map(|der| Some((Certificate::read(&der)?, der))).collect()
}

/// A certificate as PEM: RFC 7468.
#[must_use]
pub fn pem(der: &CertificateDer<'_>) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", der.to_vec()), config)
}

fn names(parsed: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return BTreeSet::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four: Result<[u8; 4], _> = bytes.try_into();
    let sixteen: Result<[u8; 16], _> = bytes.try_into();
    four.map(IpAddr::from).or(sixteen.map(IpAddr::from)).ok()
}

/// Seconds of the epoch, as a time. What lies before the epoch, or beyond what can be told, is its begin.
fn time(seconds: i64) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    SystemTime::UNIX_EPOCH.checked_add(seconds).unwrap_or(SystemTime::UNIX_EPOCH)
}
