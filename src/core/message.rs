//! One message type for all protocols: routing facts that the core needs, the rest as it came.

use bytes::Bytes;

use crate::{ExchangeName, RoutingKey};

/// How the bytes of [`Properties`] are to be read. Part of what is stored: numbers never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum PropertyFormat {
    /// There are none.
    #[default]
    None = 0,
    /// AMQP 0-9-1, section 4.2.6.1: property flags, then the property list; as in a content header.
    Amqp091 = 1,
}

impl PropertyFormat {
    /// The format with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Amqp091),
            _ => None,
        }
    }
}

/// A message's properties in the form in which its protocol wrote them; they are converted where another one reads them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// How to read the bytes.
    pub format: PropertyFormat,
    /// The properties, encoded.
    pub bytes: Bytes,
}

/// A message, as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The exchange that it was published to.
    pub exchange: ExchangeName,
    /// The key that it was published with.
    pub routing_key: RoutingKey,
    /// The rest of what its publisher said of it.
    pub properties: Properties,
    /// The content, never looked into.
    pub body: Bytes,
}

impl Message {
    /// Bytes of content, properties and names: what flow control counts.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len() + self.properties.bytes.len() + self.exchange.as_str().len() + self.routing_key.as_str().len()
    }
}
