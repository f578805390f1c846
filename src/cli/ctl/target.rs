//! Which broker is meant, and its token.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use ferrymq_admin_api::{Client, ClientError, Configuration, InternalTls};
use ferrymq_tls::{CA_FILE, Trust, TrustError};

use super::Arguments;

/// Why it is not known which broker is meant.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The configuration file cannot be read.
    #[error(
        "cannot read {path}: {source}; name the broker's configuration file by --config, or its admin API by --admin and --token-file"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The configuration file is none.
    #[error("{path} is no broker's configuration: {source}")]
    NotConfiguration {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// The admin API's address in the configuration file is none.
    #[error(
        "{path} names '{address}' as the address of the admin API, which is no address and port; write one such as 0.0.0.0:7500"
    )]
    Address {
        /// The file.
        path: PathBuf,
        /// What it says.
        address: String,
    },
    /// The token cannot be read.
    #[error("cannot read the token from {path}: {source}; name its file by --token-file")]
    Token {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The authorities cannot be read.
    #[error("cannot read the authorities from {path}: {source}; name their file by --ca-file")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nobody can be trusted by them.
    #[error("{path} cannot be used to know the broker by: {source}")]
    Trust {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: TrustError,
    },
    /// It is not known whom to trust.
    #[error(
        "'{base}' is called over TLS, and it is not known whom to trust; name the broker's configuration file by --config, or \
         the authorities by --ca-file and the name in the broker's certificate by --server-name"
    )]
    Nobody {
        /// The address.
        base: String,
    },
    /// What was given is no address, or no token.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A client of the broker that the arguments mean.
pub(super) fn client(arguments: &Arguments) -> Result<Client, TargetError> {
    // Read only where something of it is needed: who gives both needs no file.
    let configuration = match (&arguments.admin, &arguments.token_file) {
        (Some(_), Some(_)) => None,
        _ => Some(configuration(&arguments.config)?),
    };
    let tls = configuration.as_ref().and_then(|configuration| configuration.internal_tls.as_ref());
    let base = match (&arguments.admin, &configuration) {
        (Some(admin), _) => admin.clone(),
        (None, Some(configuration)) => base(&arguments.config, &configuration.admin_listen, tls.is_some())?,
        (None, None) => String::new(),
    };
    let trust = if base.starts_with("https:") { Some(trust(arguments, tls, &base)?) } else { None };
    let token_file = match (&arguments.token_file, configuration) {
        (Some(file), _) => file.clone(),
        (None, Some(configuration)) => configuration.token_file,
        (None, None) => PathBuf::new(),
    };
    let token = fs::read_to_string(&token_file).map_err(|source| TargetError::Token { path: token_file, source })?;
    Ok(match trust {
        Some(trust) => Client::over_tls(&base, &token, &trust)?,
        None => Client::new(&base, &token)?,
    })
}

/// Whom to take for the broker: by what was typed, else by the broker's own configuration.
fn trust(arguments: &Arguments, tls: Option<&InternalTls>, base: &str) -> Result<Trust, TargetError> {
    let nobody = || TargetError::Nobody { base: base.to_owned() };
    let path = arguments.ca_file.clone().or_else(|| tls.map(|tls| tls.directory.join(CA_FILE))).ok_or_else(nobody)?;
    let name = arguments.server_name.clone().or_else(|| tls.map(|tls| tls.name.clone())).ok_or_else(nobody)?;
    let authorities = fs::read(&path).map_err(|source| TargetError::Authorities { path: path.clone(), source })?;
    Trust::new(&authorities, &name).map_err(|source| TargetError::Trust { path, source })
}

fn configuration(path: &Path) -> Result<Configuration, TargetError> {
    let text = fs::read(path).map_err(|source| TargetError::Unreadable { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| TargetError::NotConfiguration { path: path.to_owned(), source })
}

/// Where the broker of this machine answers that listens there.
fn base(path: &Path, listen: &str, tls: bool) -> Result<String, TargetError> {
    let wrong = || TargetError::Address { path: path.to_owned(), address: listen.to_owned() };
    let mut address: SocketAddr = listen.parse().map_err(|_| wrong())?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    Ok(format!("{}://{address}", if tls { "https" } else { "http" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_listens_everywhere_is_asked_at_the_loopback() {
        let path = Path::new("broker.json");
        assert_eq!(base(path, "0.0.0.0:7500", false).unwrap(), "http://127.0.0.1:7500");
        assert_eq!(base(path, "[::]:7500", true).unwrap(), "https://[::1]:7500");
        assert_eq!(base(path, "10.0.0.7:7501", false).unwrap(), "http://10.0.0.7:7501");
        assert!(matches!(base(path, "7500", false), Err(TargetError::Address { .. })));
    }
}
