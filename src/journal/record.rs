//! What is appended, and where it lies.

use bytes::{Bytes, BytesMut};

use crate::format::record_bytes;

/// Bytes of a payload that opening tells at most; see [`RecordHead`].
pub(crate) const FRONT_BYTES: usize = 32;

/// One record: bytes of one stream, with what its owner finds it by. The journal gives no meaning to any of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose record this is.
    pub stream: u64,
    /// What it is, in the owner's terms.
    pub kind: u8,
    /// Where it stands in its stream, in the owner's terms; need not be unique.
    pub sequence: u64,
    /// The bytes.
    pub payload: Payload,
}

/// What opening tells of a record: all of it but the most of its payload, which [`Journal::read`](crate::Journal::read)
/// gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead<'a> {
    /// Whose record this is.
    pub stream: u64,
    /// What it is, in the owner's terms.
    pub kind: u8,
    /// Where it stands in its stream, in the owner's terms.
    pub sequence: u64,
    /// Where it lies, and how long its payload is.
    pub position: Position,
    /// The first 32 bytes of its payload, or all of it where it is shorter.
    pub front: &'a [u8],
}

/// Bytes in one part or several, which lie one after the other on disk. Parts spare the owner of a message a copy where
/// it puts a header of its own before the body.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Payload {
    /// A payload of these parts, in this order.
    #[must_use]
    pub fn of_parts(parts: impl IntoIterator<Item = Bytes>) -> Self {
        let mut parts = parts.into_iter();
        Self { first: parts.next().unwrap_or_default(), rest: parts.collect() }
    }

    /// Bytes of all parts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts().map(Bytes::len).sum()
    }

    /// There are no bytes in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parts, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// All of it in one piece; copied only where there are several parts.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut bytes = BytesMut::with_capacity(self.len());
        self.parts().for_each(|part| bytes.extend_from_slice(part));
        bytes.freeze()
    }
}

impl<B: Into<Bytes>> From<B> for Payload {
    fn from(bytes: B) -> Self {
        Self { first: bytes.into(), rest: Vec::new() }
    }
}

/// The same bytes, however they are divided.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.clone().into_bytes() == other.clone().into_bytes()
    }
}

impl Eq for Payload {}

/// Where a record lies. In the order of these, records were appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The segment's number.
    pub segment: u64,
    /// Where in the segment the record begins, in bytes.
    pub offset: u64,
    /// Bytes of its payload.
    pub length: u32,
}

impl Position {
    /// Where the next record begins.
    pub(crate) fn end(self) -> u64 {
        self.offset.saturating_add(record_bytes(self.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_one_payload() {
        let parts = Payload::of_parts([Bytes::from("he"), Bytes::new(), Bytes::from("llo")]);
        assert_eq!(parts.len(), 5);
        assert_eq!(parts, Payload::from("hello"));
        assert!(Payload::of_parts([]).is_empty());
    }
}
