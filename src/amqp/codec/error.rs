//! Why bytes are not AMQP 0-9-1.

/// Why bytes could not be read as what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A length reaches behind the end of the frame.
    #[error("{wanted} bytes are announced where {left} are left")]
    Truncated {
        /// How many the field needs.
        wanted: usize,
        /// How many there are.
        left: usize,
    },
    /// Something follows the last field.
    #[error("{0} bytes are left after the last field")]
    Trailing(usize),
    /// A short string is not text.
    #[error("a short string is not UTF-8")]
    NotText,
    /// No such type of table value.
    #[error("a table value has the unknown type {0:#04x}")]
    UnknownType(u8),
    /// Tables and arrays within each other, too often.
    #[error("tables are nested deeper than {}", super::MAX_DEPTH)]
    TooDeep,
    /// No such method.
    #[error("there is no method {method} in class {class}")]
    UnknownMethod {
        /// The class.
        class: u16,
        /// The method.
        method: u16,
    },
    /// A method that is sent by brokers, or a class whose messages have no content.
    #[error("class {0} has no content")]
    NoContent(u16),
    /// Property flags that the class does not have.
    #[error("the property flags {0:#06x} are not all known")]
    UnknownProperties(u16),
}
