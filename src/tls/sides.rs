//! Settings of TLS connections. TLS 1.2 and 1.3, with the ciphers that rustls takes for safe.

use std::sync::Arc;

use rustls::{
    ClientConfig, ServerConfig,
    pki_types::ServerName,
    server::WebPkiClientVerifier,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    Certificate, Files, Identity, IdentityError, Side, files::CA_FILE, identity::authorities, peer::OfCluster,
    provider::provider,
};

/// The broker's side of connections of clients, who show no certificate.
pub struct ClientSide {
    certificate: Certificate,
    /// Accepts.
    pub acceptor: TlsAcceptor,
}

impl Side for ClientSide {
    type Name = ();

    fn make(_: &Files, identity: &Identity, (): &()) -> Result<Self, String> {
        let server = server(&identity.key)?;
        Ok(Self { certificate: identity.certificate.clone(), acceptor: TlsAcceptor::from(Arc::new(server)) })
    }

    fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

/// A broker's sides of connections within its cluster: links that it accepts and dials, and the admin API.
pub struct ClusterSide {
    certificate: Certificate,
    /// Accepts links: whoever dials must show a certificate of this cluster.
    pub links: TlsAcceptor,
    /// Dials links: shows a certificate, and wants to see one of this cluster.
    pub dialler: TlsConnector,
    /// Accepts calls of the admin API, whose callers show a token, and no certificate.
    pub admin: TlsAcceptor,
    /// Links without TLS are taken as well.
    pub accept_plain: bool,
}

impl Side for ClusterSide {
    /// What the certificates of the cluster's brokers are for.
    type Name = ServerName<'static>;

    fn make(files: &Files, identity: &Identity, name: &Self::Name) -> Result<Self, String> {
        if identity.authorities.is_empty() {
            return Err(format!("there is no {CA_FILE}; brokers need it to know each other by their certificates"));
        }
        let roots = Arc::new(identity.authorities.clone());
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|error| text(&error))?;
        let links = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| text(&error))?
            .with_client_cert_verifier(Arc::new(OfCluster::new(verifier, name.clone())))
            .with_cert_resolver(resolver(&identity.key));
        let dialler = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| text(&error))?
            .with_root_certificates(roots)
            .with_client_cert_resolver(resolver(&identity.key));
        Ok(Self {
            certificate: identity.certificate.clone(),
            links: TlsAcceptor::from(Arc::new(links)),
            dialler: TlsConnector::from(Arc::new(dialler)),
            admin: TlsAcceptor::from(Arc::new(server(&identity.key)?)),
            accept_plain: files.accept_plain,
        })
    }

    fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

/// Whom a client of the admin API trusts: brokers of one cluster.
#[derive(Clone)]
pub struct Trust {
    /// The settings of its connections.
    pub client: ClientConfig,
    /// What the brokers' certificates are for, whatever the address that they are called at.
    pub name: ServerName<'static>,
    authorities: Vec<u8>,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.authorities) == (&other.name, &other.authorities)
    }
}

impl Eq for Trust {}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Nobody can be trusted by that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// There are no authorities.
    #[error(transparent)]
    Authorities(#[from] IdentityError),
    /// The name is none.
    #[error("'{0}' is no name of a host")]
    Name(String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl Trust {
    /// Trusts who shows a certificate for `name`, of one of these authorities (PEM).
    ///
    /// # Errors
    ///
    /// [`TrustError`].
    pub fn new(authorities_pem: &[u8], name: &str) -> Result<Self, TrustError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TrustError::Name(name.to_owned()))?;
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Setup(error.to_string()))?
            .with_root_certificates(authorities(authorities_pem)?)
            .with_no_client_auth();
        Ok(Self { client, name, authorities: authorities_pem.to_vec() })
    }

    /// Opens connections.
    #[must_use]
    pub fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::new(self.client.clone()))
    }
}

fn server(key: &Arc<CertifiedKey>) -> Result<ServerConfig, String> {
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(resolver(key));
    Ok(server)
}

fn resolver(key: &Arc<CertifiedKey>) -> Arc<SingleCertAndKey> {
    Arc::new(SingleCertAndKey::from((**key).clone()))
}
