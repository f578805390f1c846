//! A group's log in the journal.
//!
//! Entries are records of the group's stream; so are the vote, and marks that say what was cut off at either end. The
//! journal drops its segments only from the oldest on, so a mark outlives the records that it speaks of.

use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use ferrymq_journal::{AppendError, Journal, Payload as RecordPayload, Position, Record, RecordHead};
use ferrymq_wire::{Reader, Write};
use openraft::{
    OptionalSend,
    storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage},
};
use tokio::sync::oneshot;

use crate::{
    codec,
    store::Failure,
    types::{Entry, GroupId, LogId, Payload, Types, Vote, log_id},
};

pub(crate) const ENTRY: u8 = 1;
pub(crate) const VOTE: u8 = 2;
pub(crate) const TRUNCATE: u8 = 3;
pub(crate) const PURGE: u8 = 4;

/// Bytes of entries that a group keeps in memory, for followers that are nearly up to date and for its own machine.
const CACHE_BYTES: usize = 4 << 20;
/// Bytes of entries given to a follower at a time.
const READ_BYTES: usize = 4 << 20;

struct Slot {
    term: u64,
    position: Position,
    cached: Option<Payload>,
}

/// What is known of a group's log: where everything is.
#[derive(Default)]
pub(crate) struct LogIndex {
    /// Index of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    /// Slots before this one are not cached.
    cached_from: u64,
    cached_bytes: usize,
    purged: Option<LogId>,
    purge_mark: Option<Position>,
    vote: Option<Vote>,
    vote_record: Option<Position>,
    /// Bytes of entries since the group was opened, and when the last snapshot was made.
    appended_bytes: u64,
}

impl LogIndex {
    /// Takes a record that recovery found; gives the positions of what is dead by it.
    pub(crate) fn recover(&mut self, record: &RecordHead<'_>) -> Result<Vec<Position>, String> {
        let position = record.position;
        let front = || Reader::new(Bytes::copy_from_slice(record.front));
        match record.kind {
            ENTRY => {
                let term = codec::entry_term(record.front).map_err(|error| error.to_string())?;
                let mut dead = self.cut_from(record.sequence);
                if self.slots.is_empty() {
                    self.first = record.sequence;
                }
                let expected = self.first + self.slots.len() as u64;
                if record.sequence != expected {
                    // A hole can only come from what was purged since.
                    dead.extend(self.slots.drain(..).map(|slot| slot.position));
                    self.first = record.sequence;
                }
                self.appended_bytes += u64::from(position.length);
                self.slots.push_back(Slot { term, position, cached: None });
                Ok(dead)
            }
            VOTE => {
                let vote = codec::take_vote(&mut front()).map_err(|error| error.to_string())?;
                self.vote = Some(vote);
                Ok(self.vote_record.replace(position).into_iter().collect())
            }
            TRUNCATE => {
                let mut dead = self.cut_from(record.sequence);
                dead.push(position);
                Ok(dead)
            }
            PURGE => {
                let term = front().u64("purge term").map_err(|e| e.to_string())?;
                let mut dead = self.cut_to(log_id(term, record.sequence));
                dead.extend(self.purge_mark.replace(position));
                Ok(dead)
            }
            kind => Err(format!("record kind {kind} is unknown; was it written by a newer version?")),
        }
    }

    /// After recovery: entries without the mark of what was purged before them were purged up to there.
    pub(crate) fn settle(&mut self) {
        self.cached_from = self.next();
        let before = self.purged.map_or(0, |id| id.index + 1);
        if self.first > before && !self.slots.is_empty() {
            let term = self.purged.map_or(0, |id| id.leader_id.term);
            self.purged = self.first.checked_sub(1).map(|index| log_id(term, index));
        }
    }

    pub(crate) fn is_pristine(&self) -> bool {
        self.slots.is_empty() && self.purged.is_none() && self.vote.is_none()
    }

    fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(log_id(slot.term, self.next() - 1)),
            None => self.purged,
        }
    }

    fn cut_from(&mut self, index: u64) -> Vec<Position> {
        let keep = index.saturating_sub(self.first) as usize;
        if keep >= self.slots.len() {
            return Vec::new();
        }
        let cut = self.slots.split_off(keep);
        self.cached_bytes -= cut.iter().filter_map(|slot| slot.cached.as_ref()).map(size).sum::<usize>();
        self.cached_from = self.cached_from.min(self.next());
        cut.into_iter().map(|slot| slot.position).collect()
    }

    fn cut_to(&mut self, upto: LogId) -> Vec<Position> {
        let mut dead = Vec::new();
        while self.first <= upto.index {
            let Some(slot) = self.slots.pop_front() else { break };
            self.cached_bytes -= slot.cached.as_ref().map_or(0, size);
            dead.push(slot.position);
            self.first += 1;
        }
        self.first = self.first.max(upto.index + 1);
        self.cached_from = self.cached_from.max(self.first);
        self.purged = self.purged.max(Some(upto));
        dead
    }

    fn push(&mut self, entry: &Entry, position: Position) {
        if self.slots.is_empty() {
            self.first = entry.log_id.index;
            self.cached_from = self.first;
        }
        self.cached_bytes += size(&entry.payload);
        self.appended_bytes += u64::from(position.length);
        let cached = Some(entry.payload.clone());
        self.slots.push_back(Slot { term: entry.log_id.leader_id.term, position, cached });
        while self.cached_bytes > CACHE_BYTES && self.cached_from + 1 < self.next() {
            let slot = self.slots.get_mut((self.cached_from - self.first) as usize);
            if let Some(payload) = slot.and_then(|slot| slot.cached.take()) {
                self.cached_bytes -= size(&payload);
            }
            self.cached_from += 1;
        }
    }
}

/// About how many bytes a payload is, in memory and on the wire.
pub(crate) fn size(payload: &Payload) -> usize {
    match payload {
        Payload::Normal(command) => command.bytes.len() + 64,
        Payload::Blank | Payload::Membership(_) => 64,
    }
}

/// A group's log. Clones are the same log.
#[derive(Clone)]
pub(crate) struct GroupLog {
    group: GroupId,
    journal: Journal,
    index: Arc<Mutex<LogIndex>>,
    failure: Failure,
}

impl GroupLog {
    pub(crate) fn new(group: GroupId, journal: Journal, index: LogIndex, failure: Failure) -> Self {
        Self { group, journal, index: Arc::new(Mutex::new(index)), failure }
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, LogIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, kind: u8, sequence: u64, payload: impl Into<RecordPayload>) -> Record {
        Record { stream: u64::from(self.group), kind, sequence, payload: payload.into() }
    }

    /// Appends one record, and gives its position; `done` is told when it is on disk.
    fn write(
        &self,
        record: Record,
        done: impl FnOnce(Result<(), AppendError>) + Send + 'static,
    ) -> io::Result<Position> {
        let positions = self.journal.append(vec![record], done).map_err(|error| self.failed(error))?;
        positions.first().copied().ok_or_else(|| io::Error::other("the journal gave no position"))
    }

    fn failed(&self, error: AppendError) -> io::Error {
        self.failure.report(&error);
        io::Error::other(error)
    }

    fn release(&self, dead: impl IntoIterator<Item = Position>) {
        dead.into_iter().for_each(|position| self.journal.release(position));
    }

    /// Bytes of entries appended since the log was opened.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.index().appended_bytes
    }

    /// The oldest segment of the journal that this log needs.
    pub(crate) fn oldest_segment(&self) -> Option<u64> {
        let index = self.index();
        let first = index.slots.front().map(|slot| slot.position);
        [first, index.vote_record, index.purge_mark].into_iter().flatten().map(|position| position.segment).min()
    }

    /// Writes the small records again where they lie in segments before `segment`, so that they do not hold these.
    pub(crate) fn refresh(&self, segment: u64) -> io::Result<()> {
        let (vote, purged) = {
            let index = self.index();
            let old = |position: Option<Position>| position.is_some_and(|position| position.segment < segment);
            (index.vote.filter(|_| old(index.vote_record)), index.purged.filter(|_| old(index.purge_mark)))
        };
        if let Some(vote) = vote {
            self.write_vote(vote, |_| ())?;
        }
        if let Some(purged) = purged {
            self.write_purge(purged)?;
        }
        Ok(())
    }

    fn write_vote(&self, vote: Vote, done: impl FnOnce(Result<(), AppendError>) + Send + 'static) -> io::Result<()> {
        let mut payload = BytesMut::with_capacity(17);
        codec::put_vote(&mut payload, &vote);
        let mut index = self.index();
        // Under the lock: the last vote in the journal must be the last one here.
        let position = self.write(self.record(VOTE, 0, payload.freeze()), done)?;
        index.vote = Some(vote);
        let dead = index.vote_record.replace(position);
        drop(index);
        self.release(dead);
        Ok(())
    }

    fn write_purge(&self, upto: LogId) -> io::Result<()> {
        let mut payload = BytesMut::with_capacity(8);
        payload.write_u64(upto.leader_id.term);
        let mut index = self.index();
        let position = self.write(self.record(PURGE, upto.index, payload.freeze()), |_| ())?;
        let mut dead = index.cut_to(upto);
        dead.extend(index.purge_mark.replace(position));
        drop(index);
        self.release(dead);
        Ok(())
    }

    /// Entries from `start` on, before `end`, at most `limit` bytes of them but always one.
    fn read(&self, start: u64, end: u64, limit: usize) -> io::Result<Vec<Entry>> {
        let mut wanted = Vec::new();
        {
            let index = self.index();
            let start = start.max(index.first);
            let end = end.min(index.next());
            let mut bytes = 0;
            for at in start..end {
                let Some(slot) = index.slots.get((at - index.first) as usize) else { break };
                bytes += slot.position.length as usize;
                if bytes > limit && !wanted.is_empty() {
                    break;
                }
                wanted.push((at, slot.term, slot.position, slot.cached.clone()));
            }
        }
        wanted
            .into_iter()
            .map(|(index, term, position, cached)| match cached {
                Some(payload) => Ok(Entry { log_id: log_id(term, index), payload }),
                None => {
                    let bytes = self.journal.read(position).map_err(io::Error::other)?;
                    codec::take_entry(index, bytes).map_err(io::Error::other)
                }
            })
            .collect()
    }
}

impl RaftLogReader<Types> for GroupLog {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, usize::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.index().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES)
    }
}

impl RaftLogStorage<Types> for GroupLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let index = self.index();
        Ok(LogState { last_purged_log_id: index.purged, last_log_id: index.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (synced, wait) = oneshot::channel();
        self.write_vote(*vote, move |result| {
            let _ = synced.send(result);
        })?;
        wait.await.map_err(io::Error::other)?.map_err(|error| self.failed(error))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let records = entries.iter().map(|entry| {
            let (head, body) = codec::entry_parts(entry);
            self.record(ENTRY, entry.log_id.index, RecordPayload::of_parts([head, body]))
        });
        let failure = self.failure.clone();
        let mut index = self.index();
        let positions = self
            .journal
            .append(records.collect(), move |result| {
                callback.io_completed(result.map_err(|error| {
                    failure.report(&error);
                    io::Error::other(error)
                }));
            })
            .map_err(|error| self.failed(error))?;
        for (entry, position) in entries.iter().zip(positions) {
            index.push(entry, position);
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        let mut index = self.index();
        let mark = self.write(self.record(TRUNCATE, from, Bytes::new()), |_| ())?;
        let dead = index.cut_from(from);
        drop(index);
        self.release(dead);
        self.release([mark]);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.write_purge(upto)
    }
}
