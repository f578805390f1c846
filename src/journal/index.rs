//! The index of a sealed segment: the heads of its records in a small file beside it, so that opening a journal reads
//! that and not the segment.
//!
//! ```text
//! index     header (64 bytes), then heads, one for each record of the segment, in their order
//!
//! header    magic 8 | crc 4 | version 4 | segment 8 | capacity 8 | end 8 | records 8 | last 4 | zeros 12
//!                   crc covers all that follows it, heads too; last is the checksum of the last record's header
//!
//! head      length 4 | kind 1 | stream 8 | sequence 8 | the first 32 bytes of the payload, or all of it
//! ```
//!
//! An index says nothing that its segment does not say, and is never believed where anything differs: then the segment
//! is gone through, and the index is written anew: a bit that flips in an index costs the time of reading one segment.

use std::{io, path::Path};

use bytes::{Buf, BufMut, Bytes};
use crc_fast::crc32_iscsi;

use crate::{
    Disk, OpenError, Position, RecordHead, atomic_file,
    format::{RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES},
    layout,
    record::FRONT_BYTES,
    segment::{Contents, SegmentFile, Visit},
};

const MAGIC: [u8; 8] = *b"FerryMQX";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
/// Where the part of the header begins that the checksum covers.
const COVERED_FROM: usize = MAGIC.len() + 4;
/// Bytes of the fields from there to the zeros.
const FIELD_BYTES: usize = 40;
/// Bytes of a head before the front.
const HEAD_BYTES: usize = 21;
/// An index is held in memory as a whole; a segment that would need a larger one is gone through instead. Segments of the
/// usual size never do.
const MAX_BYTES: usize = 64 << 20;

/// A whole index of one segment.
#[derive(Debug)]
pub(crate) struct Index {
    /// The heads as they are in the file.
    heads: Bytes,
    records: u64,
    end: u64,
}

/// Why a segment has no index that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// The process ended before it was written.
    #[error("there is none")]
    Missing,
    /// Something in it is not what was written.
    #[error("its checksum is {found:08x} where {expected:08x} was written")]
    Damaged { expected: u32, found: u32 },
    /// It is whole, and of another segment, or of this one in another life.
    #[error("it is of another segment")]
    Foreign,
    /// Written by a version of this program that writes another format.
    #[error("it is of format {0}")]
    Version(u32),
    /// It, or the segment's last record, cannot be read.
    #[error("it cannot be read")]
    Disk(#[source] io::Error),
}

impl Index {
    /// The index of a segment whose records end there.
    pub(crate) fn read(disk: &dyn Disk, directory: &Path, segment: &SegmentFile, end: u64) -> Result<Self, Unusable> {
        let mut bytes = file(disk, directory, segment.number)?;
        let header = Header::take(&mut bytes)?;
        let Header { segment: number, capacity, end: found_end, records, last } = header;
        if (number, capacity, found_end) != (segment.number, segment.capacity, end) {
            return Err(Unusable::Foreign);
        }
        let index = Self { heads: bytes, records, end };
        let last_offset = index.check()?;
        // The one that was written for what lies there now, and not for a segment of this number in another life.
        let mut of_last = [0; RECORD_HEADER_BYTES as usize];
        segment.file.read_at(&mut of_last, last_offset).map_err(Unusable::Disk)?;
        let is_there = RecordHeader::decode(&of_last, number, last_offset).is_ok();
        if is_there && of_last.starts_with(&last.to_le_bytes()) { Ok(index) } else { Err(Unusable::Foreign) }
    }

    /// Tells of every record.
    pub(crate) fn visit(&self, segment: u64, visit: &mut Visit<'_>) -> Result<Contents, OpenError> {
        for head in self.heads(segment) {
            let offset = head.position.offset;
            visit(head).map_err(|source| OpenError::Refused { segment, offset, source })?;
        }
        Ok(Contents { end: self.end, records: self.records, indexed: true, ..Contents::NOTHING })
    }

    /// The heads lead to the segment's end, and there are as many as there should be. Gives where the last one's record
    /// begins.
    fn check(&self) -> Result<u64, Unusable> {
        let (mut bytes, mut records, mut offset, mut last) = (0, 0, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES);
        for head in self.heads(0) {
            bytes += HEAD_BYTES + head.front.len();
            records += 1;
            last = head.position.offset;
            offset = head.position.end();
        }
        if (bytes, records, offset) == (self.heads.len(), self.records, self.end) && records > 0 {
            Ok(last)
        } else {
            Err(Unusable::Foreign)
        }
    }

    fn heads(&self, segment: u64) -> impl Iterator<Item = RecordHead<'_>> {
        let mut rest = &self.heads[..];
        let mut offset = SEGMENT_HEADER_BYTES;
        std::iter::from_fn(move || {
            let (mut fields, after) = rest.split_at_checked(HEAD_BYTES)?;
            let (length, kind) = (fields.get_u32_le(), fields.get_u8());
            let (stream, sequence) = (fields.get_u64_le(), fields.get_u64_le());
            let (front, after) = after.split_at_checked(FRONT_BYTES.min(length as usize))?;
            let position = Position { segment, offset, length };
            rest = after;
            offset = position.end();
            Some(RecordHead { stream, kind, sequence, position, front })
        })
    }
}

/// Makes an index, from the heads of all records of its segment.
#[derive(Debug)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    records: u64,
    last: Option<u64>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; HEADER_BYTES], records: 0, last: None }
    }

    pub(crate) fn push(&mut self, head: &RecordHead<'_>) {
        self.records += 1;
        self.last = Some(head.position.offset);
        if self.bytes.len() <= MAX_BYTES {
            self.bytes.put_u32_le(head.position.length);
            self.bytes.put_u8(head.kind);
            self.bytes.put_u64_le(head.stream);
            self.bytes.put_u64_le(head.sequence);
            self.bytes.put_slice(head.front);
        }
    }

    /// The bytes of the index; none for a segment without records, and where they would be too many.
    pub(crate) fn finish(mut self, segment: &SegmentFile, end: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(last) = self.last.filter(|_| self.bytes.len() <= MAX_BYTES) else { return Ok(None) };
        let mut of_last = [0; 4];
        segment.file.read_at(&mut of_last, last)?;
        let SegmentFile { number: segment, capacity, .. } = *segment;
        let last = u32::from_le_bytes(of_last);
        Header { segment, capacity, end, records: self.records, last }.seal(&mut self.bytes);
        Ok(Some(self.bytes))
    }
}

/// The bytes of the index of a segment whose records end there, from all of the segment.
pub(crate) fn build(segment: &SegmentFile, end: u64) -> Result<Option<Vec<u8>>, OpenError> {
    let mut builder = Builder::new();
    segment.visit_sealed(end, &mut |head| {
        builder.push(&head);
        Ok(())
    })?;
    builder.finish(segment, end).map_err(|source| segment.unreadable(source))
}

/// Writes an index beside its segment.
pub(crate) fn write(disk: &dyn Disk, directory: &Path, segment: u64, bytes: &[u8]) -> io::Result<()> {
    let written = atomic_file::replace(disk, &layout::index_path(directory, segment), bytes);
    if written.is_err() {
        remove_unfinished(disk, directory, segment)?;
    }
    written
}

/// Removes the index of a segment, where there is one.
pub(crate) fn remove(disk: &dyn Disk, directory: &Path, segment: u64) -> io::Result<()> {
    remove_file(disk, &layout::index_path(directory, segment))
}

/// Removes what a crash left of an index that was being written.
pub(crate) fn remove_unfinished(disk: &dyn Disk, directory: &Path, segment: u64) -> io::Result<()> {
    remove_file(disk, &layout::unfinished_index_path(directory, segment))
}

fn remove_file(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// All bytes of a segment's index.
pub(crate) fn file(disk: &dyn Disk, directory: &Path, segment: u64) -> Result<Bytes, Unusable> {
    let path = layout::index_path(directory, segment);
    let file = disk.open(&path).map_err(Unusable::of)?;
    // Bounded before anything of that size is allocated.
    if file.length().map_err(Unusable::of)? > MAX_BYTES as u64 {
        return Err(Unusable::Foreign);
    }
    atomic_file::read(disk, &path).map_err(Unusable::of)
}

impl Unusable {
    fn of(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Missing } else { Self::Disk(error) }
    }

    /// Says why a segment is gone through.
    pub(crate) fn log(&self, segment: u64) {
        if matches!(self, Self::Missing) {
            tracing::debug!(segment, "a segment of the journal has no index yet, and is gone through");
        } else {
            let why = self as &dyn std::error::Error;
            tracing::warn!(segment, why, "a segment of the journal is gone through, for its index cannot be used");
        }
    }
}

/// What an index begins with.
#[derive(Debug, Clone, Copy)]
struct Header {
    segment: u64,
    capacity: u64,
    end: u64,
    records: u64,
    last: u32,
}

impl Header {
    /// Takes it off a whole index.
    fn take(bytes: &mut Bytes) -> Result<Self, Unusable> {
        if bytes.len() < HEADER_BYTES || !bytes.starts_with(&MAGIC) {
            return Err(Unusable::Damaged { expected: 0, found: 0 });
        }
        bytes.advance(MAGIC.len());
        let expected = bytes.get_u32_le();
        let found = crc32_iscsi(bytes);
        if expected != found {
            return Err(Unusable::Damaged { expected, found });
        }
        let version = bytes.get_u32_le();
        if version != VERSION {
            return Err(Unusable::Version(version));
        }
        let header = Self {
            segment: bytes.get_u64_le(),
            capacity: bytes.get_u64_le(),
            end: bytes.get_u64_le(),
            records: bytes.get_u64_le(),
            last: bytes.get_u32_le(),
        };
        bytes.advance(HEADER_BYTES - COVERED_FROM - FIELD_BYTES);
        Ok(header)
    }

    /// Puts it before the heads, where there is room for it.
    fn seal(&self, index: &mut [u8]) {
        let Some((mut fields, _)) =
            index.get_mut(COVERED_FROM..).and_then(|rest| rest.split_at_mut_checked(FIELD_BYTES))
        else {
            return;
        };
        fields.put_u32_le(VERSION);
        fields.put_u64_le(self.segment);
        fields.put_u64_le(self.capacity);
        fields.put_u64_le(self.end);
        fields.put_u64_le(self.records);
        fields.put_u32_le(self.last);
        let crc = index.get(COVERED_FROM..).map_or(0, crc32_iscsi);
        let mut start = index;
        start.put_slice(&MAGIC);
        start.put_u32_le(crc);
    }
}
