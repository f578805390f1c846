//! Messages as bytes: in entries, in snapshots, between nodes.

use bytes::Bytes;
use ferrymq_core::{ExchangeName, Message, Properties, PropertyFormat, RoutingKey};
use ferrymq_wire::{Malformed, Reader, Write};

/// Puts a message at the end of a buffer.
pub fn encode(message: &Message, out: &mut impl Write) {
    out.write_bytes(message.exchange.as_str().as_bytes());
    out.write_bytes(message.routing_key.as_str().as_bytes());
    out.write_u8(message.properties.format as u8);
    out.write_bytes(&message.properties.bytes);
    out.write_bytes(&message.body);
}

/// Reads a message; its parts are slices of `bytes`.
///
/// # Errors
///
/// [`Malformed`] where the bytes are not what [`encode`] writes.
pub fn decode(bytes: Bytes) -> Result<Message, Malformed> {
    let mut from = Reader::new(bytes);
    let name = |_| Malformed::NotText { field: "name" };
    let exchange = ExchangeName::new(from.text("exchange")?).map_err(name)?;
    let routing_key = RoutingKey::new(from.text("routing key")?).map_err(name)?;
    let number = from.u8("property format")?;
    let format = PropertyFormat::from_number(number)
        .ok_or(Malformed::Unknown { field: "property format", value: number.into() })?;
    let properties = Properties { format, bytes: from.bytes("properties")? };
    Ok(Message { exchange, routing_key, properties, body: from.bytes("body")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let message = Message {
            exchange: ExchangeName::new("e").unwrap(),
            routing_key: RoutingKey::new("a.b").unwrap(),
            properties: Properties { format: PropertyFormat::Amqp091, bytes: Bytes::from_static(&[1, 2]) },
            body: Bytes::from_static(b"body"),
        };
        let mut out = Vec::new();
        encode(&message, &mut out);
        assert_eq!(decode(Bytes::from(out)), Ok(message));
    }
}
