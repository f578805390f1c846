//! What tests of several modules put into queues.

use bytes::Bytes;
use ferrymq_core::{ExchangeName, Message, Properties, RoutingKey};

/// A message with this body.
pub(crate) fn message(body: &str) -> Message {
    Message {
        exchange: ExchangeName::default_exchange(),
        routing_key: RoutingKey::new("q").expect("a letter is a routing key"),
        properties: Properties::default(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}
