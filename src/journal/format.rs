//! The bytes on disk. Numbers are little-endian; checksums are CRC-32C.
//!
//! ```text
//! segment   header (64 bytes), then records, each at a multiple of 4, then whatever the file held before
//!
//! header    magic 8 | crc 4 | version 4 | segment 8 | capacity 8 | end of the segment before 8 | zeros 24
//!                   crc covers all that follows it
//!
//! record    header crc 4 | payload crc 4 | length 4 | batch 4 | stream 8 | sequence 8 | kind 1 | mark 1 | zeros 2
//!           | payload | zeros up to a multiple of 4
//!                   header crc covers the segment's number, the record's offset and all of the header that follows it
//! ```
//!
//! A record's checksum covers the place it was written for: what a recycled file held before is never taken for a record.
//!
//! `batch` is the offset at which the record's batch begins. The batch before was on disk by then, so a valid record
//! proves that everything before its batch was whole once. That tells a tail that was torn by a power loss, in whatever
//! order its pages were written, from damage to what was acknowledged.
//!
//! A mark is a record without payload at the tail that only gives that proof for the last batch, while nothing follows
//! it. The next record is written over it.

use bytes::{Buf, BufMut};
use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

use crate::{Payload, Record};

/// The version of the format that this code writes.
pub(crate) const VERSION: u32 = 1;

/// Bytes before the first record.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;

/// Bytes before a record's payload.
pub(crate) const RECORD_HEADER_BYTES: u64 = RECORD_HEADER as u64;

/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 4;

const MAGIC: [u8; 8] = *b"FerryMQJ";
const SEGMENT_HEADER: usize = SEGMENT_HEADER_BYTES as usize;
const RECORD_HEADER: usize = 36;

/// A checksum that is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) expected: u32,
    pub(crate) found: u32,
}

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) segment: u64,
    /// Bytes of the file. A shorter one was cut.
    pub(crate) capacity: u64,
    /// Where the records of the segment before end.
    pub(crate) previous_end: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut fields = Vec::with_capacity(SEGMENT_HEADER);
        fields.put_u32_le(self.version);
        fields.put_u64_le(self.segment);
        fields.put_u64_le(self.capacity);
        fields.put_u64_le(self.previous_end);
        fields.resize(SEGMENT_HEADER - MAGIC.len() - 4, 0);
        let mut header = [0; SEGMENT_HEADER];
        let mut rest = &mut header[..];
        rest.put_slice(&MAGIC);
        rest.put_u32_le(crc32_iscsi(&fields));
        rest.put_slice(&fields);
        header
    }

    /// The checksum comes before the version, at the same place in every version: damage is not taken for a version.
    pub(crate) fn decode(header: &[u8; SEGMENT_HEADER]) -> Result<Self, Mismatch> {
        let (magic, mut rest) = header.split_at(MAGIC.len());
        let expected = rest.get_u32_le();
        let found = crc32_iscsi(rest);
        if expected != found || magic != MAGIC {
            return Err(Mismatch { expected, found });
        }
        Ok(Self {
            version: rest.get_u32_le(),
            segment: rest.get_u64_le(),
            capacity: rest.get_u64_le(),
            previous_end: rest.get_u64_le(),
        })
    }
}

/// What a record begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) payload_crc: u32,
    pub(crate) length: u32,
    /// Where its batch begins, in bytes from the start of the segment.
    pub(crate) batch: u32,
    pub(crate) stream: u64,
    pub(crate) sequence: u64,
    pub(crate) kind: u8,
    pub(crate) mark: bool,
}

impl RecordHeader {
    pub(crate) fn new(record: &Record, length: u32, payload_crc: u32, batch: u32) -> Self {
        let Record { stream, kind, sequence, payload: _ } = *record;
        Self { payload_crc, length, batch, stream, sequence, kind, mark: false }
    }

    /// A mark at this offset.
    pub(crate) fn mark(offset: u32) -> Self {
        Self { payload_crc: 0, length: 0, batch: offset, stream: 0, sequence: 0, kind: 0, mark: true }
    }

    pub(crate) fn encode(&self, segment: u64, offset: u64) -> [u8; RECORD_HEADER] {
        let mut header = [0; RECORD_HEADER];
        let mut rest = &mut header[4..];
        rest.put_u32_le(self.payload_crc);
        rest.put_u32_le(self.length);
        rest.put_u32_le(self.batch);
        rest.put_u64_le(self.stream);
        rest.put_u64_le(self.sequence);
        rest.put_u8(self.kind);
        rest.put_u8(u8::from(self.mark));
        let crc = header_crc(&header, segment, offset);
        header[..4].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// The header at this place, if these bytes were written as one for this place.
    pub(crate) fn decode(header: &[u8; RECORD_HEADER], segment: u64, offset: u64) -> Result<Self, Mismatch> {
        let mut rest = &header[..];
        let expected = rest.get_u32_le();
        let found = header_crc(header, segment, offset);
        if expected != found {
            return Err(Mismatch { expected, found });
        }
        Ok(Self {
            payload_crc: rest.get_u32_le(),
            length: rest.get_u32_le(),
            batch: rest.get_u32_le(),
            stream: rest.get_u64_le(),
            sequence: rest.get_u64_le(),
            kind: rest.get_u8(),
            mark: rest.get_u8() != 0,
        })
    }

    /// These bytes might be a header at this place: cheap to tell, for a search through many places.
    pub(crate) fn is_plausible(header: &[u8; RECORD_HEADER], offset: u64) -> bool {
        let mut batch = &header[12..16];
        let batch = u64::from(batch.get_u32_le());
        let [mark, zeros @ ..] = [header[33], header[34], header[35]];
        mark <= 1 && zeros == [0, 0] && batch >= SEGMENT_HEADER_BYTES && batch <= offset
    }

    /// Where the next record begins.
    pub(crate) fn end(&self, offset: u64) -> u64 {
        offset.saturating_add(record_bytes(self.length))
    }
}

fn header_crc(header: &[u8; RECORD_HEADER], segment: u64, offset: u64) -> u32 {
    let mut covered = [0; 16 + RECORD_HEADER - 4];
    covered[..8].copy_from_slice(&segment.to_le_bytes());
    covered[8..16].copy_from_slice(&offset.to_le_bytes());
    covered[16..].copy_from_slice(&header[4..]);
    crc32_iscsi(&covered)
}

/// The checksum of a payload, over its parts.
pub(crate) fn payload_crc(payload: &Payload) -> u32 {
    let mut parts = payload.parts();
    match (parts.next(), parts.next()) {
        (Some(only), None) => crc32_iscsi(only),
        _ => {
            let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
            payload.parts().for_each(|part| digest.update(part));
            digest.finalize() as u32
        }
    }
}

/// Bytes that a record with a payload of this length takes, up to where the next one begins.
pub(crate) fn record_bytes(length: u32) -> u64 {
    (RECORD_HEADER_BYTES + u64::from(length)).next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_segment_header_is_read_as_it_was_written() {
        let header = SegmentHeader { version: 1, segment: 7, capacity: 4096, previous_end: 4000 };
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn no_bit_of_a_header_can_flip_unseen() {
        let segment = SegmentHeader { version: 1, segment: 7, capacity: 4096, previous_end: 4000 }.encode();
        for bit in 0..SEGMENT_HEADER * 8 {
            let mut flipped = segment;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
        let record = RecordHeader::mark(64).encode(7, 64);
        for bit in 0..RECORD_HEADER * 8 {
            let mut flipped = record;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(RecordHeader::decode(&flipped, 7, 64).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_record_header_holds_for_its_own_place_only() {
        let header = RecordHeader::mark(64);
        let bytes = header.encode(7, 64);
        assert_eq!(RecordHeader::decode(&bytes, 7, 64), Ok(header));
        assert!(RecordHeader::is_plausible(&bytes, 64));
        assert!(RecordHeader::decode(&bytes, 8, 64).is_err());
        assert!(RecordHeader::decode(&bytes, 7, 68).is_err());
    }

    #[test]
    fn the_checksum_does_not_depend_on_the_parts() {
        let parts = Payload::of_parts([Bytes::from("he"), Bytes::from("llo")]);
        assert_eq!(payload_crc(&parts), payload_crc(&Payload::from("hello")));
    }
}
