//! RabbitMQ and FerryMQ: where each is, and whom to be there.

use std::{fmt, path::Path};

use lapin::uri::{AMQPScheme, AMQPUri};

use super::{ImportError, arguments::Hidden};

/// Seconds between two signs of life: a side that is silent is lost after twice as many.
const HEARTBEAT: u16 = 20;
/// Milliseconds that opening a connection may take.
const CONNECT: u64 = 10_000;
/// The port of RabbitMQ's management API.
const MANAGEMENT: u16 = 15_672;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is read.
    RabbitMq,
    /// What is written.
    FerryMq,
}

impl Side {
    /// What names it when it is typed.
    fn option(self) -> &'static str {
        match self {
            Self::RabbitMq => "from",
            Self::FerryMq => "to",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RabbitMq => "RabbitMQ",
            Self::FerryMq => "FerryMQ",
        })
    }
}

/// Where a side is, and whom to be there. It has a password, and is printed without it.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) side: Side,
    pub(super) uri: AMQPUri,
}

impl Endpoint {
    /// Reads what was typed; the password comes from the file, else from the environment, else from the address.
    ///
    /// # Errors
    ///
    /// Where the address is none, or asks for TLS; where the file cannot be read.
    pub(super) fn new(side: Side, typed: &Hidden, password_file: Option<&Path>) -> Result<Self, ImportError> {
        let option = side.option();
        let mut uri: AMQPUri = typed.0.parse().map_err(|_| ImportError::Address { option })?;
        if uri.scheme == AMQPScheme::AMQPS {
            return Err(ImportError::Tls { option });
        }
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        if let Some(path) = password_file {
            let text = std::fs::read_to_string(path).map_err(|source| ImportError::Password {
                option,
                path: path.to_owned(),
                source,
            })?;
            text.trim_end_matches(['\r', '\n']).clone_into(&mut uri.authority.userinfo.password);
        } else if let Ok(password) = std::env::var(format!("FERRYMQ_IMPORT_{}_PASSWORD", option.to_uppercase())) {
            uri.authority.userinfo.password = password;
        }
        uri.query.heartbeat = Some(HEARTBEAT);
        uri.query.connection_timeout = Some(CONNECT);
        Ok(Self { side, uri })
    }

    /// Host and port.
    pub(super) fn host(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }

    pub(super) fn virtual_host(&self) -> &str {
        &self.uri.vhost
    }

    pub(super) fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }

    pub(super) fn password(&self) -> &str {
        &self.uri.authority.userinfo.password
    }

    /// The management API that goes with it, where none is named.
    pub(super) fn management(&self) -> String {
        format!("http://{}:{MANAGEMENT}", self.uri.authority.host)
    }
}

/// Without user and password.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}, virtual host '{}'", self.side, self.host(), self.virtual_host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(typed: &str) -> Result<Endpoint, ImportError> {
        Endpoint::new(Side::RabbitMq, &typed.parse().unwrap(), None)
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let endpoint = endpoint("amqp://mover:secret@rabbit:5671/shop").unwrap();
        assert_eq!(endpoint.to_string(), "RabbitMQ at rabbit:5671, virtual host 'shop'");
        assert_eq!((endpoint.user(), endpoint.password()), ("mover", "secret"));
        assert_eq!(endpoint.management(), "http://rabbit:15672");
    }

    #[test]
    fn no_virtual_host_is_the_one_that_is_always_there() {
        for typed in ["amqp://rabbit", "amqp://rabbit/", "amqp://rabbit/%2F"] {
            assert_eq!(endpoint(typed).unwrap().virtual_host(), "/");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for typed in ["secret", "http://mover:secret@rabbit", "amqps://mover:secret@rabbit"] {
            let Err(error) = endpoint(typed) else { panic!("{typed} was taken") };
            assert!(error.to_string().contains("--from") && !error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_is_taken_from_its_file_without_the_end_of_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "se cret\n").unwrap();
        let typed = "amqp://mover@rabbit".parse().unwrap();
        let endpoint = Endpoint::new(Side::FerryMq, &typed, Some(file.path())).unwrap();
        assert_eq!(endpoint.password(), "se cret");
    }
}
