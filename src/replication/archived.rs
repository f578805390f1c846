//! What an archive takes of a replica: the entries that were committed, and from time to time the whole state.

use std::{io, ops::RangeInclusive};

use bytes::Bytes;
use ferrymq_journal::Position;
use openraft::type_config::async_runtime::watch::WatchReceiver as _;

use crate::{
    blocking::blocking,
    disk_reader::reading,
    group::Group,
    log::{GroupLog, KeptEntry},
    machine::Machine,
    types::{LogId, Payload, Snapshot},
};

/// An entry that was committed: it never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The term of the leader that took it.
    pub term: u64,
    /// Milliseconds since 1970, by that leader's clock; 0 where it is no command.
    pub time: u64,
    /// The command, whole; none where the entry is the log's own.
    pub command: Option<Bytes>,
}

/// Entries one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The index of the first of them: later than what was asked for where that is gone from here.
    pub first: u64,
    /// The term of the entry before the first; 0 where that is not known here.
    pub term_before: u64,
    /// The entries.
    pub entries: Vec<LogEntry>,
}

/// The state of a machine at an index, with the entries that it needs.
pub struct Base {
    log: GroupLog,
    snapshot: Snapshot,
}

impl Base {
    /// Term and index of the last entry that is in the state.
    #[must_use]
    pub fn last(&self) -> (u64, u64) {
        self.snapshot.meta.last_log_id.map_or((0, 0), |id| (id.leader_id.term, id.index))
    }

    /// Entries that the state needs, from this index on: about `limit` bytes of them, and none at the end. Those that were
    /// given free since the state was taken are not among them.
    ///
    /// # Errors
    ///
    /// The disk failed.
    pub async fn entries(&self, from: u64, limit: usize) -> io::Result<Vec<KeptEntry>> {
        let (log, (_, upto)) = (self.log.clone(), self.last());
        reading(move || log.needed(from, upto, limit)).await
    }

    /// At most so many bytes of the state from there on; none at its end.
    ///
    /// # Errors
    ///
    /// The disk failed.
    pub async fn state(&self, at: u64, most: usize) -> io::Result<Bytes> {
        let saved = self.snapshot.snapshot.clone();
        reading(move || saved.read(at, most)).await
    }
}

impl<M: Machine> Group<M> {
    /// Entries from `from` on that were committed and applied here: about `limit` bytes of them, but always one where there
    /// is one. Where the first is not here any more, those from the next that is.
    ///
    /// # Errors
    ///
    /// The disk failed, or what is on it is damaged.
    pub async fn committed(&self, from: u64, limit: usize) -> io::Result<Committed> {
        let found = self.log.find_whole(from..=self.applied(), limit)?;
        if found.entries.iter().all(|entry| entry.cached.is_some()) {
            return self.log.read_whole(found);
        }
        let log = self.log.clone();
        reading(move || log.read_whole(found)).await
    }

    /// About how many bytes of entries `committed` would give, and the first entry that is not counted. From the index
    /// alone: nothing is read.
    #[must_use]
    pub fn committed_bytes(&self, from: u64, limit: usize) -> (usize, u64) {
        self.log.whole_bytes(from..=self.applied(), limit)
    }

    /// Entries from this one on stay whole, also those that the machine needs no more: they are not archived yet. Those
    /// before it are let go of.
    ///
    /// # Errors
    ///
    /// The journal failed.
    pub async fn hold_from(&self, index: u64) -> io::Result<()> {
        if !self.log.is_held(index.saturating_sub(1)) {
            return Ok(());
        }
        let log = self.log.clone();
        blocking(move || {
            log.hold_from(index);
            Ok(())
        })
        .await
    }

    /// The first entry that is kept whole because it is not archived yet.
    #[must_use]
    pub fn held_from(&self) -> u64 {
        self.log.held_from()
    }

    /// Bytes of all entries that the log took since it was opened, and of those that it had then.
    #[must_use]
    pub fn appended_bytes(&self) -> u64 {
        self.log.index().appended_bytes()
    }

    /// Bytes of entries on the disk that are not archived yet. Goes through all of them.
    pub async fn held_bytes(&self) -> io::Result<u64> {
        let log = self.log.clone();
        blocking(move || Ok(log.held_bytes())).await
    }

    /// The state as it is now, or a little later.
    ///
    /// # Errors
    ///
    /// The disk failed, or the replica has stopped.
    pub async fn base(&self) -> io::Result<Base> {
        let wanted = self.applied();
        self.raft().trigger().snapshot().await.map_err(io::Error::other)?;
        let mut metrics = self.raft().metrics();
        while metrics.borrow_and_update().snapshot.is_none_or(|id| id.index < wanted) {
            metrics.changed().await.map_err(io::Error::other)?;
        }
        let file = self.snapshot_file().clone();
        let read = blocking(move || file.read().map_err(io::Error::other)).await?;
        let snapshot = read.ok_or_else(|| io::Error::other("the snapshot that was just made is not there"))?;
        Ok(Base { log: self.log.clone(), snapshot })
    }
}

/// Where entries are, one after the other.
struct Whole {
    first: u64,
    /// Where it is known without a read.
    term_before: Option<u64>,
    entries: Vec<Place>,
}

/// Where an entry is.
struct Place {
    index: u64,
    position: Position,
    /// Its term and what it says, where that is in memory.
    cached: Option<(u64, Payload)>,
}

impl GroupLog {
    /// Bytes of the records of entries, from the first of this range on, and the first that is not counted; no more are
    /// counted once there are `limit`.
    fn whole_bytes(&self, range: RangeInclusive<u64>, limit: usize) -> (usize, u64) {
        let index = self.index();
        let (mut bytes, mut next) = (0, *range.start());
        for at in range {
            let Some(position) = index.position(at).filter(|_| bytes < limit) else { break };
            bytes += position.length as usize;
            next = at + 1;
        }
        (bytes, next)
    }

    /// Where entries are as they were committed, from the first of this range that is here on.
    fn find_whole(&self, range: RangeInclusive<u64>, limit: usize) -> io::Result<Whole> {
        let (from, last) = (*range.start(), *range.end());
        let index = self.index();
        let mut first = from;
        let in_log = index.range().0;
        if index.position(first).is_none() {
            first = index.kept_from(first).next().map_or(in_log, |(kept, _)| kept).max(from);
        }
        let before = first.checked_sub(1);
        let term_before = before.and_then(|before| index.slot(before).map(|slot| slot.term));
        let purged = index.purged().filter(|purged| Some(purged.index) == before);
        let term_before = term_before.or(purged.map(|purged: LogId| purged.leader_id.term));
        let mut bytes = 0;
        let mut entries = Vec::new();
        for at in first..=last {
            let Some(position) = index.position(at) else { break };
            bytes += position.length as usize;
            if bytes > limit && !entries.is_empty() {
                break;
            }
            let cached = index.slot(at).and_then(|slot| Some((slot.term, slot.cached.clone()?)));
            entries.push(Place { index: at, position, cached });
        }
        index.whole()?;
        Ok(Whole { first, term_before, entries })
    }

    /// The entries that are there. Blocks for reads of the disk where they are not in memory.
    fn read_whole(&self, Whole { first, term_before, entries: places }: Whole) -> io::Result<Committed> {
        let mut entries = Vec::with_capacity(places.len());
        for Place { index, position, cached } in places {
            let (term, payload) = match cached {
                Some(cached) => cached,
                None => match self.read_at(index, position) {
                    Ok(entry) => (entry.log_id.leader_id.term, entry.payload),
                    // Let go of meanwhile: what is whole ends here.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(error) => return Err(error),
                },
            };
            entries.push(match payload {
                Payload::Normal(command) => LogEntry { term, time: command.time, command: Some(command.bytes) },
                Payload::Blank | Payload::Membership(_) => LogEntry { term, time: 0, command: None },
            });
        }
        let term_before = match (term_before, first.checked_sub(1)) {
            (Some(term), _) => term,
            // It was purged, and kept.
            (None, Some(before)) => self.term_of(before)?.unwrap_or(0),
            (None, None) => 0,
        };
        Ok(Committed { first, term_before, entries })
    }

    /// The term of an entry, where that is here.
    fn term_of(&self, index: u64) -> io::Result<Option<u64>> {
        let Some(position) = self.index().position(index) else { return Ok(None) };
        match self.read_at(index, position) {
            Ok(entry) => Ok(Some(entry.log_id.leader_id.term)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
