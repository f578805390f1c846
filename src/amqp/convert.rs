//! Between the domain's words and the protocol's.

use bytes::{Bytes, BytesMut};
use ferrymq_core::{
    ByteString, ExchangeName, InvalidName, Kind, Message, Properties, PropertyFormat, QueueName, Refusal, RoutingKey,
};

use crate::{
    codec::{self, BasicPublish, DecodeError, PARTITION_HEADER},
    fault::{Code, Exception},
};

impl From<Refusal> for Exception {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::NotFound { kind: Kind::VirtualHost, name, .. } => {
                return Self::new(Code::NotAllowed, format!("vhost {name} not found"));
            }
            Refusal::Locked { .. } => {
                let sentence = format!(
                    "{refusal}. It could be originally declared on another connection or the exclusive property value \
                     does not match that of the original declaration."
                );
                return Self::new(Code::ResourceLocked, sentence);
            }
            Refusal::NotFound { .. } => Code::NotFound,
            Refusal::Inequivalent { .. }
            | Refusal::InUse { .. }
            | Refusal::NotEmpty { .. }
            | Refusal::NoPartition { .. }
            | Refusal::Precondition { .. }
            | Refusal::InvalidName(_) => Code::PreconditionFailed,
            Refusal::ConsumedExclusively { .. } | Refusal::Forbidden { .. } => Code::AccessRefused,
            Refusal::NotSupported { .. } => Code::NotImplemented,
            Refusal::Unavailable { .. } => Code::ResourceError,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<InvalidName> for Exception {
    fn from(invalid: InvalidName) -> Self {
        Self::new(Code::PreconditionFailed, invalid.to_string())
    }
}

/// The name of an exchange that is not the default one, of which nothing may be asked but to route.
pub(crate) fn named_exchange(name: ByteString) -> Result<ExchangeName, Exception> {
    let name = ExchangeName::new(name)?;
    if name.is_default() {
        return Err(Exception::new(Code::AccessRefused, "operation not permitted on the default exchange"));
    }
    Ok(name)
}

/// The name of a queue as a client writes it: RabbitMQ cuts line breaks off, and so do we.
pub(crate) fn queue_name(name: ByteString) -> Result<QueueName, InvalidName> {
    if name.contains(['\r', '\n']) {
        return QueueName::new(name.replace(['\r', '\n'], ""));
    }
    QueueName::new(name)
}

/// A message, from its method, its properties and its body; and the partition that it is to go to, where it says so.
///
/// # Errors
///
/// Where its properties are malformed, name another user than the one who sends it, or ask for what is not there.
pub(crate) fn message(
    publish: BasicPublish,
    properties: Bytes,
    body: Bytes,
    user: &str,
) -> Result<(Message, Option<u32>), Exception> {
    let scan = codec::scan_properties(&properties)?;
    if let Some(claimed) = &scan.user
        && &claimed[..] != user.as_bytes()
    {
        let claimed = String::from_utf8_lossy(claimed);
        let sentence = format!("user_id property set to '{claimed}' but authenticated user was '{user}'");
        return Err(Exception::new(Code::PreconditionFailed, sentence));
    }
    if scan.expires {
        return Err(Exception::not_implemented("messages with an expiration are not supported; publish without one"));
    }
    if scan.copies {
        return Err(Exception::not_implemented("the headers CC and BCC are not supported; publish once a routing key"));
    }
    let partition = if scan.partition { partition(&properties)? } else { None };
    let properties = if scan.none {
        Properties::default()
    } else {
        Properties { format: PropertyFormat::Amqp091, bytes: properties }
    };
    let exchange = ExchangeName::new(publish.exchange)?;
    let routing_key = RoutingKey::new(publish.routing_key)?;
    Ok((Message { exchange, routing_key, properties, body }, partition))
}

fn partition(properties: &Bytes) -> Result<Option<u32>, Exception> {
    let Some(value) = codec::header(properties, PARTITION_HEADER)? else { return Ok(None) };
    let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
    number.map(Some).ok_or_else(|| {
        let sentence = format!("invalid header '{PARTITION_HEADER}': a whole number is needed, counted from 0");
        Exception::new(Code::PreconditionFailed, sentence)
    })
}

/// The properties of a message of a log, which say where in it the message lies.
pub(crate) fn properties_with_offset(properties: &Properties, offset: u64) -> Result<BytesMut, DecodeError> {
    let none = Bytes::new();
    let properties = match properties.format {
        PropertyFormat::None => &none,
        PropertyFormat::Amqp091 => &properties.bytes,
    };
    codec::with_header(properties, "x-stream-offset", offset)
}

/// Property flags and list as in a content header; empty where there are none.
pub(crate) fn properties_to_amqp(properties: &Properties) -> &[u8] {
    match properties.format {
        PropertyFormat::None => &[],
        PropertyFormat::Amqp091 => &properties.bytes,
    }
}
