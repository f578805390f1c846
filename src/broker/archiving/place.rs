//! How far a group's log is archived, as its leader of this term found and made it.

use std::time::Duration;

use ferrymq_archive::Archive;
use ferrymq_replication::{Group, Machine};
use tokio::time::Instant;

use super::ArchivingError;

/// Bytes of a part of the log, before it is compressed. A part is read by whichever thread is idle, and the allocator keeps
/// for each of them what it needed for that: large parts take many times their size of memory.
pub(super) const PART_BYTES: usize = 2 << 20;
/// How long a group is looked at more often after it had enough for a part.
const BUSY: Duration = Duration::from_secs(1);

/// Where the archive of a group ends, and what waits behind that.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) term: u64,
    /// Index of the first entry that is not archived.
    pub(super) next: u64,
    /// What was confirmed before this time is archived, in milliseconds since 1970; 0 where that is not known.
    pub(super) until: u64,
    /// Since when something waits.
    pub(super) waits_since: Option<Instant>,
    /// Bytes that wait, as far as they were counted, and the first entry that was not.
    waiting: (usize, u64),
    /// When there was last enough for a part.
    full_at: Option<Instant>,
    /// Bytes archived since the last base.
    pub(super) since_base: u64,
    /// Bytes of the last base.
    pub(super) base_bytes: u64,
    /// Others know that it is archived up to here.
    pub(super) told: u64,
}

impl Place {
    /// Looks in the archive. Gives with it when a gap ended that the last base follows, in milliseconds since 1970.
    pub(super) async fn find(archive: &Archive, group: u32, term: u64) -> Result<(Self, Option<u64>), ArchivingError> {
        let mut place = Self {
            term,
            next: 0,
            until: 0,
            waits_since: None,
            waiting: (0, 0),
            full_at: None,
            since_base: 0,
            base_bytes: 0,
            told: u64::MAX,
        };
        let mut gap_at = None;
        if let Some(id) = archive.bases(group).await?.last() {
            let base = archive.base(group, id).await?;
            place.base_bytes = base.bytes;
            place.go_on_at(base.log_from);
            gap_at = base.gap.map(|_| base.complete_at);
        }
        if let Some(first) = archive.log_from(group, place.next).await?.last() {
            let part = archive.log_part(group, *first).await?;
            place.go_on_at(part.next());
            place.until = last_time(part.entries.iter().map(|entry| entry.time));
        }
        Ok((place, gap_at))
    }

    /// All before this entry is archived.
    pub(super) fn go_on_at(&mut self, next: u64) {
        (self.next, self.waits_since, self.waiting) = (next, None, (0, next));
    }

    /// A base of so many bytes was made.
    pub(super) fn begin_anew(&mut self, bytes: u64) {
        (self.since_base, self.base_bytes) = (0, bytes);
    }

    /// Enough waits for a part of its own.
    pub(super) fn has_enough<M: Machine>(&mut self, group: &Group<M>) -> bool {
        const ENOUGH: usize = PART_BYTES / 2;
        let (bytes, next) = self.waiting;
        if bytes < ENOUGH {
            let (more, next) = group.committed_bytes(next, ENOUGH - bytes);
            self.waiting = (bytes + more, next);
        }
        let has = self.waiting.0 >= ENOUGH;
        if has {
            self.full_at = Some(Instant::now());
        }
        has
    }

    /// So much comes that it is to be looked at more often.
    pub(super) fn is_busy(&self) -> bool {
        self.full_at.is_some_and(|at| at.elapsed() < BUSY)
    }
}

/// When the last command among these entries was taken, by their times; those that are no commands have none.
pub(super) fn last_time(times: impl DoubleEndedIterator<Item = u64>) -> u64 {
    times.rev().find(|time| *time > 0).unwrap_or(0)
}
