//! Reads a segment's records in the order written, and searches what lies behind them.

use std::io;

use crate::{
    DiskFile,
    format::{ALIGNMENT, Mismatch, RECORD_HEADER_BYTES, RecordHeader},
};

/// Bytes that are read at a time.
const READ_AHEAD: u64 = 1 << 20;

/// Places of a search that are looked at together: where all of it is zero, none of them is.
const STEP: u64 = 64 << 10;

/// What is at one place of a segment.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A record and its payload.
    Record(RecordHeader, &'a [u8]),
    /// A mark: the tail, and proof that all before it was whole.
    Mark,
    /// No record: checksums differ.
    Invalid(Mismatch),
    /// There is no room for a record.
    End,
}

/// What lies behind the last record of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// A record whose batch was begun after the tail: what is missing at the tail was on disk once.
    pub(crate) proof: Option<u64>,
    /// Records of a batch that was torn lie before this; no later than the tail where there are none.
    pub(crate) remains_end: u64,
}

/// Reads one segment.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    file: &'a dyn DiskFile,
    segment: u64,
    limit: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> Scan<'a> {
    /// Reads no further than `limit`, which is no more than the file's length.
    pub(crate) fn new(file: &'a dyn DiskFile, segment: u64, limit: u64) -> Self {
        Self { file, segment, limit, window: Vec::new(), window_start: 0 }
    }

    /// What is at this place.
    pub(crate) fn at(&mut self, offset: u64) -> io::Result<Found<'_>> {
        let segment = self.segment;
        let Some(header) = self.bytes(offset, RECORD_HEADER_BYTES)?.and_then(|bytes| bytes.first_chunk()) else {
            return Ok(Found::End);
        };
        let header = match RecordHeader::decode(header, segment, offset) {
            Ok(header) => header,
            Err(mismatch) => return Ok(Found::Invalid(mismatch)),
        };
        if header.mark {
            return Ok(Found::Mark);
        }
        let expected = header.payload_crc;
        // The length is bounded by the file's before anything of that size is allocated.
        Ok(match self.bytes(offset + RECORD_HEADER_BYTES, header.length.into())? {
            None => Found::Invalid(Mismatch { expected, found: 0 }),
            Some(payload) => match crc_fast::crc32_iscsi(payload) {
                found if found == expected => Found::Record(header, payload),
                found => Found::Invalid(Mismatch { expected, found }),
            },
        })
    }

    /// Searches everything behind a tail for records that were written there.
    pub(crate) fn beyond(&mut self, tail: u64) -> io::Result<Beyond> {
        let mut beyond = Beyond { proof: None, remains_end: tail };
        let (segment, limit) = (self.segment, self.limit);
        let mut start = tail.saturating_add(ALIGNMENT);
        while start.saturating_add(RECORD_HEADER_BYTES) <= limit {
            let length = (STEP + RECORD_HEADER_BYTES).min(limit - start);
            let bytes = self.bytes(start, length)?.unwrap_or_default();
            if bytes.iter().any(|byte| *byte != 0) {
                let places = bytes.windows(RECORD_HEADER_BYTES as usize).step_by(ALIGNMENT as usize);
                for (place, offset) in places.zip((start..start + STEP).step_by(ALIGNMENT as usize)) {
                    let Some(header) = place.first_chunk().filter(|bytes| RecordHeader::is_plausible(bytes, offset))
                    else {
                        continue;
                    };
                    let Ok(header) = RecordHeader::decode(header, segment, offset) else { continue };
                    beyond.remains_end = beyond.remains_end.max(header.end(offset).min(limit));
                    if u64::from(header.batch) > tail {
                        beyond.proof = Some(offset);
                        return Ok(beyond);
                    }
                }
            }
            start += STEP;
        }
        Ok(beyond)
    }

    /// These bytes of the file, where it has them all.
    fn bytes(&mut self, offset: u64, length: u64) -> io::Result<Option<&[u8]>> {
        let Some(room) = self.limit.checked_sub(offset).filter(|room| length <= *room) else {
            return Ok(None);
        };
        let held = offset >= self.window_start
            && offset.saturating_add(length) <= self.window_start + self.window.len() as u64;
        if !held {
            let wanted = usize::try_from(length.max(READ_AHEAD).min(room))
                .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
            self.window.resize(wanted, 0);
            self.window_start = offset;
            if let Err(error) = self.file.read_at(&mut self.window, offset) {
                self.window.clear();
                return Err(error);
            }
        }
        let from = (offset - self.window_start) as usize;
        Ok(self.window.get(from..from + length as usize))
    }
}
