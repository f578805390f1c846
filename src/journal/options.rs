//! How a journal is set up.

/// The smallest segment.
const MIN_SEGMENT_BYTES: u64 = 1 << 10;

/// The largest segment: offsets in it are kept in 32 bits.
const MAX_SEGMENT_BYTES: u64 = 2 << 30;

/// How a journal is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a segment; the default is 64 MiB. A payload must fit in one. Brought within 1 KiB and 2 GiB, and to a
    /// multiple of 4. Segments that are there keep the size that they have.
    pub segment_bytes: u64,
    /// Bytes that are written and synced in one go, at most; a single call's records may be more. The default is 8 MiB.
    pub max_batch_bytes: u64,
    /// Bytes that may wait to be on disk; what would go beyond is refused as [`Full`](crate::AppendError::Full). The
    /// default is 256 MiB.
    pub max_pending_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, max_batch_bytes: 8 << 20, max_pending_bytes: 256 << 20 }
    }
}

impl Options {
    pub(crate) fn within_bounds(mut self) -> Self {
        self.segment_bytes = self.segment_bytes.clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES) & !3;
        self
    }
}
