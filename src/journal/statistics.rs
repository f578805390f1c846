//! What a journal has done since it was opened, in figures.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The longest durations of all buckets of [`Syncs`] but the last, which has what took longer.
pub const SYNC_BOUNDS: [Duration; 15] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(10),
];

/// How long the disk took to sync what was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Syncs {
    /// How many took at most as long as the bound of this number in [`SYNC_BOUNDS`], and longer than the one before; the
    /// last is without a bound.
    pub buckets: [u64; SYNC_BOUNDS.len() + 1],
    /// How long all of them took together.
    pub total: Duration,
}

/// What a journal has done since it was opened, and how much it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Records that were appended, and are on disk.
    pub appended_records: u64,
    /// Bytes that were written for them.
    pub appended_bytes: u64,
    /// How long the disk took each time.
    pub syncs: Syncs,
    /// Its segments.
    pub segments: u64,
    /// Bytes that the files of its segments take.
    pub capacity_bytes: u64,
    /// Bytes of all records in them, live or not.
    pub bytes: u64,
    /// Bytes of those that were not released.
    pub live_bytes: u64,
}

/// Counts what the writer does: it alone adds, and nobody waits for it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    records: AtomicU64,
    bytes: AtomicU64,
    buckets: [AtomicU64; SYNC_BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Counts {
    /// So many records were written and synced; the sync alone took this long.
    pub(crate) fn synced(&self, records: usize, bytes: usize, took: Duration) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let bucket = SYNC_BOUNDS.partition_point(|bound| *bound < took);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted; the rest is as the default has it.
    pub(crate) fn read(&self) -> Statistics {
        Statistics {
            appended_records: self.records.load(Ordering::Relaxed),
            appended_bytes: self.bytes.load(Ordering::Relaxed),
            syncs: Syncs {
                buckets: std::array::from_fn(|bucket| {
                    self.buckets.get(bucket).map_or(0, |count| count.load(Ordering::Relaxed))
                }),
                total: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
            },
            ..Statistics::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_in_the_first_bucket_that_it_does_not_exceed() {
        let counts = Counts::default();
        for micros in [0, 100, 101, 10_000_000, 10_000_001] {
            counts.synced(2, 10, Duration::from_micros(micros));
        }
        let read = counts.read();
        assert_eq!((read.appended_records, read.appended_bytes), (10, 50));
        let mut expected = [0; SYNC_BOUNDS.len() + 1];
        (expected[0], expected[1], expected[14], expected[15]) = (2, 1, 1, 1);
        assert_eq!(read.syncs.buckets, expected);
        assert_eq!(read.syncs.total, Duration::from_micros(20_000_202));
    }
}
