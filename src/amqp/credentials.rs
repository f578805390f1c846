//! What a client shows to be let in, by mechanism.

use bytes::Bytes;
use ferrymq_core::Credentials;

use crate::{
    codec::{Reader, Table},
    fault::{Code, Exception},
};

/// Reads the response of `connection.start-ok`.
pub(crate) fn read(mechanism: &str, response: &Bytes) -> Result<Credentials, Exception> {
    match mechanism {
        "PLAIN" => plain(response),
        "AMQPLAIN" => amqplain(response),
        _ => Err(Exception::new(Code::CommandInvalid, format!("unknown authentication mechanism '{mechanism}'"))),
    }
}

fn malformed(mechanism: &str) -> Exception {
    Exception::new(Code::SyntaxError, format!("the response is not one of the mechanism {mechanism}"))
}

/// RFC 4616: whom to act for (passed over), user and password, parted by zeros.
fn plain(response: &[u8]) -> Result<Credentials, Exception> {
    let text = std::str::from_utf8(response).map_err(|_| malformed("PLAIN"))?;
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(user), Some(password), None) => {
            Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
        }
        _ => Err(malformed("PLAIN")),
    }
}

/// A field table without its length, with `LOGIN` and `PASSWORD`.
fn amqplain(response: &Bytes) -> Result<Credentials, Exception> {
    let table = Table::read_entries(&mut Reader::new(response), 1)?;
    let text = |name| table.get(name).and_then(|value| value.as_text()).ok_or_else(|| malformed("AMQPLAIN"));
    Ok(Credentials { user: text("LOGIN")?.to_owned(), password: text("PASSWORD")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn both_mechanisms_show_user_and_password() {
        let plain = Bytes::from_static(b"\0guest\0secret");
        assert_eq!(read("PLAIN", &plain), Ok(credentials("guest", "secret")));
        let amqplain = Bytes::from_static(b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x06secret");
        assert_eq!(read("AMQPLAIN", &amqplain), Ok(credentials("guest", "secret")));
    }

    #[test]
    fn a_response_that_is_none_is_refused() {
        for response in [&b""[..], b"guest", b"\0a\0b\0c", b"\0\xff\0x"] {
            assert!(read("PLAIN", &Bytes::from_static(response)).is_err());
            assert!(read("AMQPLAIN", &Bytes::from_static(response)).is_err());
        }
        assert!(read("EXTERNAL", &Bytes::new()).is_err());
    }
}
