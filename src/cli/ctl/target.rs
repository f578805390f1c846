//! Which broker is meant, and its token.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use ferrymq_admin_api::{Client, ClientError, Configuration};

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
    let base = match (&arguments.admin, &configuration) {
        (Some(admin), _) => admin.clone(),
        (None, Some(configuration)) => base(&arguments.config, &configuration.admin_listen)?,
        (None, None) => String::new(),
    };
    let token_file = match (&arguments.token_file, configuration) {
        (Some(file), _) => file.clone(),
        (None, Some(configuration)) => configuration.token_file,
        (None, None) => PathBuf::new(),
    };
    let token = fs::read_to_string(&token_file).map_err(|source| TargetError::Token { path: token_file, source })?;
    Ok(Client::new(&base, &token)?)
}

fn configuration(path: &Path) -> Result<Configuration, TargetError> {
    let text = fs::read(path).map_err(|source| TargetError::Unreadable { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| TargetError::NotConfiguration { path: path.to_owned(), source })
}

/// Where the broker of this machine answers that listens there.
fn base(path: &Path, listen: &str) -> Result<String, TargetError> {
    let wrong = || TargetError::Address { path: path.to_owned(), address: listen.to_owned() };
    let mut address: SocketAddr = listen.parse().map_err(|_| wrong())?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    Ok(format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_listens_everywhere_is_asked_at_the_loopback() {
        let path = Path::new("broker.json");
        assert_eq!(base(path, "0.0.0.0:7500").unwrap(), "http://127.0.0.1:7500");
        assert_eq!(base(path, "[::]:7500").unwrap(), "http://[::1]:7500");
        assert_eq!(base(path, "10.0.0.7:7501").unwrap(), "http://10.0.0.7:7501");
        assert!(matches!(base(path, "7500"), Err(TargetError::Address { .. })));
    }
}
