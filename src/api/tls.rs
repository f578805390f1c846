//! TLS of a cluster's listeners: what may be said of it, and the checked form.

use std::{collections::BTreeSet, time::Duration};

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Problem, TimeSpan, sentence};

/// How long a certificate is good that says nothing of it.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// How long an authority is good that says nothing of it.
const AUTHORITY_LIFE: Duration = Duration::from_secs(5 * 365 * 86_400);
/// The shortest life of a certificate: what is replaced needs time to reach every broker.
const SHORTEST_LIFE: Duration = Duration::from_secs(3600);

/// Where the certificate of the listeners comes from that speak TLS.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.mode == 'Secret') == has(self.secretName)").message(sentence::TLS_SECRET_NAME),
    validation = Rule::new("(self.mode == 'CertManager') == has(self.issuerRef)").message(sentence::TLS_ISSUER),
    validation = Rule::new("!has(self.names) || self.mode == 'Generated' || self.mode == 'CertManager'").message(sentence::TLS_NAMES_UNUSED),
    validation = Rule::new("!has(self.certificateDuration) || self.mode == 'Generated' || self.mode == 'CertManager'").message(sentence::TLS_DURATION_UNUSED),
    validation = Rule::new("!has(self.authorityDuration) || self.mode == 'Generated'").message(sentence::TLS_AUTHORITY_DURATION_UNUSED),
)]
pub struct TlsSpec {
    /// Who makes the certificate.
    #[serde(default)]
    pub mode: TlsMode,

    /// With mode `Secret`: the Secret with certificate (`tls.crt`) and key (`tls.key`), and with the authority's certificate
    /// (`ca.crt`) where clients do not know it anyway. It is read again whenever it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,

    /// With mode `CertManager`: who issues the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerReference>,

    /// More names that clients connect by: of hosts, `*.shop.example` for all of a domain, or IPv4 addresses. Those of the
    /// Service and of the brokers are there anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 253)))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^([*][.])?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'))").message(sentence::TLS_NAMES))]
    pub names: Vec<String>,

    /// How long a certificate is good, such as `30d`; it is renewed at two thirds of that. Default: 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$') && (self.matches('^0*[1-9][0-9]*d') || self.matches('^(0+d)?0*[1-9][0-9]*h'))").message(sentence::TLS_DURATION))]
    pub certificate_duration: Option<TimeSpan>,

    /// With mode `Generated`: how long the authority is good that signs them, such as `730d`. Default: five years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$') && (self.matches('^0*[1-9][0-9]*d') || self.matches('^(0+d)?0*[1-9][0-9]*h'))").message(sentence::TLS_DURATION))]
    pub authority_duration: Option<TimeSpan>,
}

/// Who makes the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// The operator, with an authority of the cluster's own.
    #[default]
    Generated,
    /// Somebody else, who keeps it in a Secret.
    Secret,
    /// cert-manager.
    CertManager,
    /// Nobody: no listener speaks TLS.
    Disabled,
}

/// An issuer of cert-manager.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its kind: `Issuer`, of the same namespace, or `ClusterIssuer`.
    #[serde(default = "issuer")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,

    /// Its API group.
    #[serde(default = "cert_manager")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
}

fn issuer() -> String {
    "Issuer".to_owned()
}

fn cert_manager() -> String {
    "cert-manager.io".to_owned()
}

/// TLS of a cluster's listeners, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterTls {
    /// Where the certificate comes from.
    pub source: CertificateSource,
    /// Names that it is for besides the cluster's own.
    pub names: BTreeSet<String>,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// The operator makes it.
    Generated(Lives),
    /// It is in this Secret.
    Secret(String),
    /// cert-manager makes it.
    CertManager {
        /// Who issues it.
        issuer: IssuerReference,
        /// How long it is good.
        life: Duration,
    },
}

/// How long certificates are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    /// A certificate.
    pub certificate: Duration,
    /// The authority that signs it.
    pub authority: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self { certificate: CERTIFICATE_LIFE, authority: AUTHORITY_LIFE }
    }
}

/// Checks all that can be told without the listeners; none where nothing speaks TLS.
pub(crate) fn check(spec: &TlsSpec, problems: &mut Vec<Problem>) -> Option<ClusterTls> {
    let mut wrong = |field: &str, sentence: &str| problems.push(Problem::new(format!("spec.tls.{field}"), sentence));
    if (spec.mode == TlsMode::Secret) != spec.secret_name.is_some() {
        wrong("secretName", sentence::TLS_SECRET_NAME);
    }
    if (spec.mode == TlsMode::CertManager) != spec.issuer_ref.is_some() {
        wrong("issuerRef", sentence::TLS_ISSUER);
    }
    let made = matches!(spec.mode, TlsMode::Generated | TlsMode::CertManager);
    if !made && !spec.names.is_empty() {
        wrong("names", sentence::TLS_NAMES_UNUSED);
    }
    if !made && spec.certificate_duration.is_some() {
        wrong("certificateDuration", sentence::TLS_DURATION_UNUSED);
    }
    if spec.mode != TlsMode::Generated && spec.authority_duration.is_some() {
        wrong("authorityDuration", sentence::TLS_AUTHORITY_DURATION_UNUSED);
    }
    if spec.names.len() > 32 || !spec.names.iter().all(|name| is_host(name)) {
        wrong("names", sentence::TLS_NAMES);
    }
    let mut life = |field: &str, span: &Option<TimeSpan>, default: Duration| {
        let Some(span) = span else { return default };
        let life = span.duration().ok().filter(|life| *life >= SHORTEST_LIFE);
        life.unwrap_or_else(|| {
            wrong(field, sentence::TLS_DURATION);
            default
        })
    };
    let lives = Lives {
        certificate: life("certificateDuration", &spec.certificate_duration, CERTIFICATE_LIFE),
        authority: life("authorityDuration", &spec.authority_duration, AUTHORITY_LIFE),
    };
    let source = match spec.mode {
        TlsMode::Disabled => return None,
        TlsMode::Generated => CertificateSource::Generated(lives),
        TlsMode::Secret => CertificateSource::Secret(spec.secret_name.clone()?),
        TlsMode::CertManager => {
            CertificateSource::CertManager { issuer: spec.issuer_ref.clone()?, life: lives.certificate }
        }
    };
    Some(ClusterTls { source, names: spec.names.iter().cloned().collect() })
}

/// The same as the rule of admission says.
pub(crate) fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.strip_prefix("*.").unwrap_or(name).split('.').all(label)
}
