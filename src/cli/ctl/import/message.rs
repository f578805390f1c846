//! A message, as it is read from either side, and as FerryMQ takes it.

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};
use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// What RabbitMQ's quorum queues add to a message that they hand out again; it is not the publisher's.
const ADDED: [&str; 2] = [DELIVERIES, "x-acquired-count"];
/// How often it was handed out and came back.
const DELIVERIES: &str = "x-delivery-count";
/// Where else a message was to go when it was published. It has gone there; FerryMQ refuses them.
const COPIES: [&str; 2] = ["CC", "BCC"];

/// How many messages were moved without something that FerryMQ does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Without {
    /// `expiration`: nothing expires in FerryMQ.
    pub(super) expiration: u64,
    /// `user-id`, of another user than the one who imports.
    pub(super) user: u64,
    /// The headers `CC` and `BCC`.
    pub(super) copies: u64,
}

impl Without {
    pub(super) fn add(&mut self, other: Self) {
        self.expiration += other.expiration;
        self.user += other.user;
        self.copies += other.copies;
    }
}

/// A message under way.
#[derive(Debug)]
pub(super) struct Message {
    /// Of the channel that it was read by.
    pub(super) tag: u64,
    /// Whether it was handed out before.
    pub(super) redelivered: bool,
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
    /// Of routing key, properties and body, as FerryMQ has them.
    pub(super) digest: Digest,
    pub(super) without: Without,
    /// How often it was handed out before, where its queue counts that.
    pub(super) deliveries: u64,
}

impl Message {
    /// What was delivered, as `user` may publish it to FerryMQ. Of what FerryMQ gives back nothing is left out.
    pub(super) fn new(delivery: Delivery, user: &str) -> Self {
        let (properties, without) = taken(&delivery.properties, user);
        // Writing what has no length of its own into memory cannot fail.
        let written = postcard::to_stdvec(&properties).unwrap_or_default();
        let digest = Digest::of(&[delivery.routing_key.as_str().as_bytes(), &written, &delivery.data]);
        let counted = delivery.properties.headers().as_ref().and_then(|headers| headers.inner().get(DELIVERIES));
        Self {
            deliveries: counted.map_or(0, whole),
            tag: delivery.delivery_tag,
            redelivered: delivery.redelivered,
            exchange: delivery.exchange,
            routing_key: delivery.routing_key,
            properties,
            body: delivery.data,
            digest,
            without,
        }
    }

    /// Bytes of its body.
    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.body.len()).unwrap_or(u64::MAX)
    }
}

/// A whole number, of whichever size; 0 where it is none.
fn whole(value: &AMQPValue) -> u64 {
    let number = match value {
        AMQPValue::ShortShortInt(number) => i64::from(*number),
        AMQPValue::ShortShortUInt(number) => i64::from(*number),
        AMQPValue::ShortInt(number) => i64::from(*number),
        AMQPValue::ShortUInt(number) => i64::from(*number),
        AMQPValue::LongInt(number) => i64::from(*number),
        AMQPValue::LongUInt(number) => i64::from(*number),
        AMQPValue::LongLongInt(number) => *number,
        _ => 0,
    };
    u64::try_from(number).unwrap_or(0)
}

/// The properties that FerryMQ takes.
fn taken(given: &BasicProperties, user: &str) -> (BasicProperties, Without) {
    let mut without = Without::default();
    let mut taken = BasicProperties::default();
    let headers = given.headers().as_ref().map(|headers| headers_taken(headers, &mut without));
    macro_rules! keep {
        ($($property:ident with $set:ident),*) => {
            $(if let Some(value) = given.$property().clone() {
                taken = taken.$set(value);
            })*
        };
    }
    keep!(
        content_type with with_content_type, content_encoding with with_content_encoding,
        delivery_mode with with_delivery_mode, priority with with_priority,
        correlation_id with with_correlation_id, reply_to with with_reply_to, message_id with with_message_id,
        timestamp with with_timestamp, kind with with_type, app_id with with_app_id, cluster_id with with_cluster_id
    );
    // A table of which nothing is left was only there for what was added.
    if let Some(headers) = headers
        && (!headers.inner().is_empty() || given.headers().as_ref().is_some_and(|given| given.inner().is_empty()))
    {
        taken = taken.with_headers(headers);
    }
    if given.expiration().is_some() {
        without.expiration = 1;
    }
    match given.user_id() {
        Some(own) if own.as_str() == user => taken = taken.with_user_id(own.clone()),
        Some(_) => without.user = 1,
        None => {}
    }
    (taken, without)
}

fn headers_taken(given: &FieldTable, without: &mut Without) -> FieldTable {
    let mut taken = FieldTable::default();
    for (name, value) in given {
        if COPIES.contains(&name.as_str()) {
            without.copies = 1;
        } else if !ADDED.contains(&name.as_str()) {
            taken.insert(name.clone(), value.clone());
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(properties: BasicProperties) -> Message {
        let mut delivery = Delivery::mock(1, "".into(), "key".into(), false, b"body".to_vec());
        delivery.properties = properties;
        Message::new(delivery, "mover")
    }

    fn headers(names: &[&str]) -> FieldTable {
        let mut table = FieldTable::default();
        for name in names {
            table.insert((*name).into(), AMQPValue::LongLongInt(7));
        }
        table
    }

    #[test]
    fn all_properties_are_kept() {
        let all = BasicProperties::default()
            .with_content_type("a".into())
            .with_content_encoding("b".into())
            .with_headers(headers(&["n", "x-death"]))
            .with_delivery_mode(2)
            .with_priority(3)
            .with_correlation_id("c".into())
            .with_reply_to("d".into())
            .with_message_id("e".into())
            .with_timestamp(4)
            .with_type("f".into())
            .with_user_id("mover".into())
            .with_app_id("g".into())
            .with_cluster_id("h".into());
        let message = message(all.clone());
        assert_eq!((message.properties, message.without), (all, Without::default()));
    }

    #[test]
    fn what_ferrymq_refuses_is_left_out_and_counted() {
        let given = BasicProperties::default()
            .with_expiration("1000".into())
            .with_user_id("billing".into())
            .with_headers(headers(&["CC", "BCC", "n"]));
        let message = message(given);
        assert_eq!(message.properties, BasicProperties::default().with_headers(headers(&["n"])));
        assert_eq!(message.without, Without { expiration: 1, user: 1, copies: 1 });
    }

    #[test]
    fn a_message_that_is_handed_out_again_has_the_digest_that_it_had() {
        let first = message(BasicProperties::default());
        let again =
            message(BasicProperties::default().with_headers(headers(&["x-delivery-count", "x-acquired-count"])));
        assert_eq!((first.digest, first.deliveries, again.deliveries), (again.digest, 0, 7));
        let other = message(BasicProperties::default().with_headers(headers(&[])));
        assert_ne!(first.digest, other.digest);
    }
}
