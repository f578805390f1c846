//! The methods that come by the million, read without building anything.

/// `basic.deliver`, as far as a consumer must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deliver {
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
}

const DELIVER: [u8; 4] = [0, 60, 0, 60];
const ACK: [u8; 4] = [0, 60, 0, 80];
const NACK: [u8; 4] = [0, 60, 0, 120];

/// Of the payload of a method frame; none where it is another method.
pub(crate) fn deliver(payload: &[u8]) -> Option<Deliver> {
    let rest = payload.strip_prefix(&DELIVER)?;
    let (&consumer_tag, rest) = rest.split_first()?;
    let rest = rest.get(usize::from(consumer_tag)..)?;
    let (tag, rest) = rest.split_first_chunk()?;
    Some(Deliver { tag: u64::from_be_bytes(*tag), redelivered: rest.first()? & 1 == 1 })
}

/// A confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirm {
    pub(crate) tag: u64,
    pub(crate) multiple: bool,
    /// `basic.nack`
    pub(crate) negative: bool,
}

/// Of the payload of a method frame; none where it is another method.
pub(crate) fn confirm(payload: &[u8]) -> Option<Confirm> {
    let (method, rest) = payload.split_first_chunk()?;
    let negative = match *method {
        ACK => false,
        NACK => true,
        _ => return None,
    };
    let (tag, rest) = rest.split_first_chunk()?;
    Some(Confirm { tag: u64::from_be_bytes(*tag), multiple: rest.first()? & 1 == 1, negative })
}

/// The size of the body, of the payload of a content header.
pub(crate) fn body_size(payload: &[u8]) -> Option<u64> {
    payload.get(4..)?.first_chunk().map(|size| u64::from_be_bytes(*size))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use ferrymq_amqp::codec::{BasicAck, BasicDeliver, BasicNack, Method, put_content_header};

    use super::*;

    fn payload(method: impl Into<Method>) -> BytesMut {
        let mut out = BytesMut::new();
        method.into().encode(&mut out);
        out
    }

    #[test]
    fn a_delivery_is_read_whatever_its_names_are() {
        for (name, redelivered) in [("", false), ("a", true), (&*"long".repeat(60), true)] {
            let delivery = BasicDeliver {
                consumer_tag: name.into(),
                delivery_tag: 0x0102_0304_0506_0708,
                redelivered,
                exchange: name.into(),
                routing_key: "key".into(),
            };
            let payload = payload(delivery);
            assert_eq!(deliver(&payload), Some(Deliver { tag: 0x0102_0304_0506_0708, redelivered }));
            assert_eq!(confirm(&payload), None);
            for cut in 0..14 + name.len() {
                assert_eq!(deliver(&payload[..cut]), None);
            }
        }
    }

    #[test]
    fn confirms_are_told_apart() {
        let ack = payload(BasicAck { delivery_tag: 7, multiple: true });
        assert_eq!(confirm(&ack), Some(Confirm { tag: 7, multiple: true, negative: false }));
        let nack = payload(BasicNack { delivery_tag: 8, multiple: false, requeue: true });
        assert_eq!(confirm(&nack), Some(Confirm { tag: 8, multiple: false, negative: true }));
        assert_eq!(confirm(&ack[..12]), None);
        assert_eq!(deliver(&ack), None);
    }

    #[test]
    fn a_header_has_the_size_of_the_body() {
        let mut out = BytesMut::new();
        put_content_header(&mut out, 1, 123_456, &[0x80, 0, 1, b'x']);
        assert_eq!(body_size(&out[7..]), Some(123_456));
        assert_eq!(body_size(&out[7..18]), None);
    }
}
