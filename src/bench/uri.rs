//! `amqp://user:password@host:port/virtual-host`, as RabbitMQ's clients read it.

use std::{fmt, str::FromStr};

const DEFAULT_PORT: u16 = 5672;

/// Where to connect, and as whom.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) user: String,
    pub(crate) password: String,
    /// A name or an address; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) virtual_host: String,
}

/// Why a text is no such URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UriError {
    /// Another scheme.
    #[error("'{0}' does not begin with amqp://")]
    Scheme(String),
    /// TLS.
    #[error("amqps:// is not spoken here: measure at the port without TLS, by amqp://")]
    Tls,
    /// No host.
    #[error("there is no host: the form is amqp://user:password@host:port/virtual-host")]
    NoHost,
    /// The port is no number.
    #[error("'{0}' is no port")]
    Port(String),
    /// A percent sign without two hexadecimal digits, or bytes that are no text.
    #[error("'{0}' is not percent-encoded text; the virtual host / is written %2f")]
    Encoding(String),
    /// The virtual host has slashes in it.
    #[error("the virtual host '{0}' has a slash in it: write it as %2f")]
    VirtualHost(String),
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if text.starts_with("amqps:") {
            return Err(UriError::Tls);
        }
        let rest = text.strip_prefix("amqp://").ok_or_else(|| UriError::Scheme(text.to_owned()))?;
        let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
        let (credentials, address) =
            authority.rsplit_once('@').map_or((None, authority), |(before, after)| (Some(before), after));
        let (user, password) = match credentials {
            None => ("guest".to_owned(), "guest".to_owned()),
            Some(credentials) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                (decoded(user)?, decoded(password)?)
            }
        };
        let (host, port) = host_and_port(address)?;
        let virtual_host = match path {
            None | Some("") => "/".to_owned(),
            Some(path) if path.contains('/') => return Err(UriError::VirtualHost(path.to_owned())),
            Some(path) => decoded(path)?,
        };
        Ok(Self { user, password, host, port, virtual_host })
    }
}

fn host_and_port(address: &str) -> Result<(String, u16), UriError> {
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(|| UriError::Port(rest.to_owned()))?)),
        None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(UriError::NoHost);
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().map_err(|_| UriError::Port(port.to_owned()))?,
    };
    Ok((host.to_owned(), port))
}

fn decoded(text: &str) -> Result<String, UriError> {
    let wrong = || UriError::Encoding(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// Without the password.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        if host.contains(':') {
            write!(f, "amqp://[{host}]")?
        } else {
            write!(f, "amqp://{host}")?
        }
        write!(f, ":{}/{}", self.port, self.virtual_host.replace('%', "%25").replace('/', "%2f"))
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<(String, String, String, u16, String), UriError> {
        text.parse().map(|uri: Uri| (uri.user, uri.password, uri.host, uri.port, uri.virtual_host))
    }

    fn told(
        user: &str,
        password: &str,
        host: &str,
        port: u16,
        virtual_host: &str,
    ) -> (String, String, String, u16, String) {
        (user.into(), password.into(), host.into(), port, virtual_host.into())
    }

    #[test]
    fn all_parts_are_read_and_those_left_out_are_the_usual_ones() {
        assert_eq!(parts("amqp://me:p%40ss@broker:5673/a%2fb").unwrap(), told("me", "p@ss", "broker", 5673, "a/b"));
        assert_eq!(parts("amqp://broker").unwrap(), told("guest", "guest", "broker", 5672, "/"));
        assert_eq!(parts("amqp://me@[::1]:1/").unwrap(), told("me", "", "::1", 1, "/"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(parts("http://broker"), Err(UriError::Scheme("http://broker".into())));
        assert_eq!(parts("amqps://broker"), Err(UriError::Tls));
        assert_eq!(parts("amqp://me@:5672"), Err(UriError::NoHost));
        assert_eq!(parts("amqp://broker:amqp"), Err(UriError::Port("amqp".into())));
        assert_eq!(parts("amqp://broker/%2"), Err(UriError::Encoding("%2".into())));
        assert_eq!(parts("amqp://broker/a/b"), Err(UriError::VirtualHost("a/b".into())));
    }

    #[test]
    fn what_is_shown_has_no_password() {
        let uri: Uri = "amqp://me:secret@broker/%2f".parse().unwrap();
        assert_eq!(format!("{uri} {uri:?}"), "amqp://broker:5672/%2f amqp://broker:5672/%2f");
    }
}
