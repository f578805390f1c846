//! One segment's file: made, opened, and gone through.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    Disk, DiskFile, OpenError, Position, RecordHead,
    format::{Mismatch, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION, record_bytes},
    layout,
    record::FRONT_BYTES,
    scan::{Found, Scan},
    spares::Spare,
};

/// What is told of every record when a journal is opened. An error ends that, as [`OpenError::Refused`].
pub type Visit<'a> = dyn FnMut(RecordHead<'_>) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

/// A segment whose header was read or written.
#[derive(Debug, Clone)]
pub(crate) struct SegmentFile {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) capacity: u64,
    /// Where the records of the segment before end.
    pub(crate) previous_end: u64,
}

/// What going through a segment found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Where the last record ends.
    pub(crate) end: u64,
    /// Where the last record's batch begins.
    pub(crate) last_batch: u64,
    /// Remains of a torn batch lie before this; no later than `end` where there are none.
    pub(crate) remains_end: u64,
    pub(crate) records: u64,
    /// It was its index that was gone through.
    pub(crate) indexed: bool,
}

impl Contents {
    pub(crate) const NOTHING: Self = Self {
        end: SEGMENT_HEADER_BYTES,
        last_batch: SEGMENT_HEADER_BYTES,
        remains_end: SEGMENT_HEADER_BYTES,
        records: 0,
        indexed: false,
    };
}

impl SegmentFile {
    /// Opens a segment that is there.
    pub(crate) fn open(disk: &dyn Disk, directory: &Path, number: u64) -> Result<Self, OpenError> {
        let path = layout::segment_path(directory, number);
        let unreadable = |source| OpenError::Disk { action: "read", path: path.clone(), source };
        let file = disk.open(&path).map_err(unreadable)?;
        let length = file.length().map_err(unreadable)?;
        let mut header = [0; SEGMENT_HEADER_BYTES as usize];
        if length < SEGMENT_HEADER_BYTES {
            return Err(OpenError::Cut { segment: number, expected: SEGMENT_HEADER_BYTES, found: length, path });
        }
        file.read_at(&mut header, 0).map_err(unreadable)?;
        let damaged = |Mismatch { expected, found }| OpenError::Damaged {
            segment: number,
            offset: 0,
            expected,
            found,
            path: path.clone(),
        };
        let header = SegmentHeader::decode(&header).map_err(damaged)?;
        if header.version != VERSION {
            return Err(OpenError::Version { path, found: header.version, supported: VERSION });
        }
        if header.segment != number {
            // A file under another's name.
            return Err(damaged(Mismatch { expected: number as u32, found: header.segment as u32 }));
        }
        if length < header.capacity {
            return Err(OpenError::Cut { segment: number, expected: header.capacity, found: length, path });
        }
        Ok(Self { number, path, file, capacity: header.capacity, previous_end: header.previous_end })
    }

    /// Makes a segment of a spare file. When it has its name, its header is durable: a segment without a header is
    /// damage, never a crash.
    pub(crate) fn make(
        disk: &dyn Disk,
        directory: &Path,
        spare: &Spare,
        header: SegmentHeader,
    ) -> Result<Self, WriteError> {
        let Spare { path: spare, file } = spare;
        let SegmentHeader { segment: number, capacity, previous_end, version: _ } = header;
        let path = layout::segment_path(directory, number);
        file.write_at(&header.encode(), 0).map_err(WriteError::from_write)?;
        file.sync_data().map_err(WriteError::Fatal)?;
        disk.rename(spare, &path).map_err(WriteError::from_write)?;
        disk.sync_directory(directory).map_err(WriteError::Fatal)?;
        Ok(Self { number, path, file: file.clone(), capacity, previous_end })
    }

    /// Goes through a segment that another one follows, which says where this one ends: all of it must be whole.
    pub(crate) fn visit_sealed(&self, end: u64, visit: &mut Visit<'_>) -> Result<Contents, OpenError> {
        if end > self.capacity {
            return Err(OpenError::Cut {
                segment: self.number,
                expected: end,
                found: self.capacity,
                path: self.path.clone(),
            });
        }
        let mut scan = Scan::new(&*self.file, self.number, end);
        let (contents, mismatch) = self.visit(&mut scan, visit)?;
        if contents.end == end { Ok(contents) } else { Err(self.damaged(contents.end, mismatch)) }
    }

    /// Goes through the last segment. What was not acknowledged may be missing at its tail, and nothing else.
    pub(crate) fn visit_last(&self, visit: &mut Visit<'_>) -> Result<Contents, OpenError> {
        let mut scan = Scan::new(&*self.file, self.number, self.capacity);
        let (contents, mismatch) = self.visit(&mut scan, visit)?;
        let beyond = scan.beyond(contents.end).map_err(|source| self.unreadable(source))?;
        if beyond.proof.is_some() {
            return Err(self.damaged(contents.end, mismatch));
        }
        Ok(Contents { remains_end: beyond.remains_end, ..contents })
    }

    /// Visits records up to the first place that holds none, and says what is wrong there.
    fn visit(&self, scan: &mut Scan<'_>, visit: &mut Visit<'_>) -> Result<(Contents, Mismatch), OpenError> {
        let mut contents = Contents::NOTHING;
        loop {
            match scan.at(contents.end).map_err(|source| self.unreadable(source))? {
                Found::Record(header, payload) => {
                    let position = Position { segment: self.number, offset: contents.end, length: header.length };
                    visit(head(&header, position, payload)).map_err(|source| OpenError::Refused {
                        segment: self.number,
                        offset: contents.end,
                        source,
                    })?;
                    contents.records += 1;
                    contents.last_batch = header.batch.into();
                    contents.end += record_bytes(header.length);
                }
                Found::Invalid(mismatch) => return Ok((contents, mismatch)),
                Found::Mark | Found::End => return Ok((contents, Mismatch { expected: 0, found: 0 })),
            }
        }
    }

    fn damaged(&self, offset: u64, Mismatch { expected, found }: Mismatch) -> OpenError {
        OpenError::Damaged { segment: self.number, offset, expected, found, path: self.path.clone() }
    }

    pub(crate) fn unreadable(&self, source: io::Error) -> OpenError {
        OpenError::Disk { action: "read", path: self.path.clone(), source }
    }
}

/// Reads one record's payload.
pub(crate) fn read(file: &dyn DiskFile, position: Position) -> Result<Bytes, ReadFault> {
    let Position { segment, offset, length } = position;
    let end = position.end();
    // Not trusted to be a position that this journal gave: bounded by the file before anything is allocated.
    if end > file.length()? {
        return Err(ReadFault::Mismatch(Mismatch { expected: 0, found: 0 }));
    }
    let mut bytes = vec![0; RECORD_HEADER_BYTES as usize + length as usize];
    file.read_at(&mut bytes, offset)?;
    let mut bytes = Bytes::from(bytes);
    let Some(header) = bytes.first_chunk() else {
        return Err(ReadFault::Mismatch(Mismatch { expected: 0, found: 0 }));
    };
    let header = RecordHeader::decode(header, segment, offset).map_err(ReadFault::Mismatch)?;
    let payload = bytes.split_off(RECORD_HEADER_BYTES as usize);
    let (expected, found) = (header.payload_crc, crc_fast::crc32_iscsi(&payload));
    if header.length != length || header.mark || expected != found {
        return Err(ReadFault::Mismatch(Mismatch { expected, found }));
    }
    Ok(payload)
}

fn head<'a>(header: &RecordHeader, position: Position, payload: &'a [u8]) -> RecordHead<'a> {
    let RecordHeader { stream, sequence, kind, .. } = *header;
    let front = payload.get(..FRONT_BYTES).unwrap_or(payload);
    RecordHead { stream, kind, sequence, position, front }
}

/// Why a record was not read.
#[derive(Debug)]
pub(crate) enum ReadFault {
    Mismatch(Mismatch),
    Disk(io::Error),
}

impl From<io::Error> for ReadFault {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Why something was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The disk is full; nothing else is wrong.
    StorageFull,
    /// The disk failed: what is on it is not known any more.
    Fatal(io::Error),
}

impl WriteError {
    /// Only a write may fail for want of space. A sync that does so has lost something.
    pub(crate) fn from_write(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::StorageFull,
            _ => Self::Fatal(error),
        }
    }
}
