//! Names that cannot be wrong: at most 255 bytes of UTF-8, as AMQP 0-9-1 has them (section 4.2.5.3, short strings).

use std::fmt;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

/// The most bytes that any name may have.
pub const MAX_NAME_BYTES: usize = 255;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It has more than [`MAX_NAME_BYTES`].
    #[error("a name of {bytes} bytes is too long; at most {MAX_NAME_BYTES} bytes are allowed")]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// It holds a control character.
    #[error("a name may not hold the control character {character:?}")]
    Control {
        /// The character.
        character: char,
    },
    /// It is empty where that has no meaning.
    #[error("the name is empty")]
    Empty,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(ByteString);

        impl $name {
            /// Takes a text as a name.
            ///
            /// # Errors
            ///
            /// [`InvalidName`] where it is too long or holds a control character.
            pub fn new(text: impl Into<ByteString>) -> Result<Self, InvalidName> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name as shared text.
            #[must_use]
            pub fn as_text(&self) -> &ByteString {
                &self.0
            }

            /// Whether it is the empty name.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.to_string()
            }
        }
    };
}

name!(
    /// A namespace of exchanges, queues and bindings. The first one is called `/`.
    VirtualHostName
);
name!(
    /// An exchange. The empty name is the default exchange, which routes to the queue that the key names.
    ExchangeName
);
name!(
    /// A queue. As a client declares it the name may be empty: the broker then makes one up.
    QueueName
);
name!(
    /// What a message is routed by, and what a binding matches.
    RoutingKey
);

impl ExchangeName {
    /// The default exchange.
    #[must_use]
    pub fn default_exchange() -> Self {
        Self(ByteString::from_static(""))
    }

    /// Whether this is the default exchange.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }
}

impl VirtualHostName {
    /// The virtual host that every cluster starts with.
    #[must_use]
    pub fn root() -> Self {
        Self(ByteString::from_static("/"))
    }
}

fn check(text: &str) -> Result<(), InvalidName> {
    if text.len() > MAX_NAME_BYTES {
        return Err(InvalidName::TooLong { bytes: text.len() });
    }
    match text.chars().find(|character| matches!(character, '\0' | '\n' | '\r')) {
        Some(character) => Err(InvalidName::Control { character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_255_bytes_is_the_longest() {
        assert!(QueueName::new("q".repeat(255)).is_ok());
        assert_eq!(QueueName::new("q".repeat(256)), Err(InvalidName::TooLong { bytes: 256 }));
    }

    #[test]
    fn a_name_holds_no_line_break() {
        assert_eq!(QueueName::new("a\nb"), Err(InvalidName::Control { character: '\n' }));
    }
}
