//! A group's log in the journal.
//!
//! Entries are records of the group's stream; so are the vote, and marks that say what was cut off at either end. An entry
//! stays in the journal for as long as the machine needs it, also after the log was purged: it is where the machine's
//! messages lie. The journal drops its segments only from the oldest on, so a mark outlives the records that it speaks of,
//! and what is needed of an old segment is written again.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use ferrymq_journal::{AppendError, Journal, Payload as RecordPayload, Position, ReadError, Record};
use ferrymq_wire::Write;
use openraft::{
    OptionalSend,
    storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage},
};
use tokio::sync::oneshot;

use crate::{
    codec,
    damage::Failure,
    log_index::{ENTRY, FORGET, FORGOTTEN, KEPT, LogIndex, OldMarks, PURGE, TRUNCATE, VOTE},
    types::{Entry, GroupId, LogId, Payload, Types, Vote, log_id},
};

/// Bytes of entries given to a follower at a time.
const READ_BYTES: usize = 4 << 20;
/// Entries that are let go of at a time.
const LET_GO_AT_A_TIME: usize = 4096;

/// An entry that the machine needs, as it goes to another replica or is written again: index and record.
pub(crate) type KeptEntry = (u64, Bytes);

/// What is asked of the machine: whether it needs an entry that it has applied.
type Needs = Box<dyn Fn(u64) -> bool + Send + Sync>;

/// A group's log. Clones are the same log.
#[derive(Clone)]
pub(crate) struct GroupLog {
    group: GroupId,
    journal: Journal,
    /// Whoever holds this may lock the machine, and never the other way round.
    index: Arc<Mutex<LogIndex>>,
    needs: Arc<OnceLock<Needs>>,
    /// Entries from this one on are kept whole, whether the machine needs them or not: they are not archived yet.
    held_from: Arc<AtomicU64>,
    failure: Failure,
}

impl GroupLog {
    /// A log of which entries from `held_from` on are kept whole.
    pub(crate) fn new(group: GroupId, journal: Journal, index: LogIndex, held_from: u64, failure: Failure) -> Self {
        let (index, held_from) = (Arc::new(Mutex::new(index)), Arc::new(AtomicU64::new(held_from)));
        Self { group, journal, index, needs: Arc::default(), held_from, failure }
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, LogIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how the machine is asked, once it has the state of its last snapshot, which is that of this index.
    pub(crate) fn serve(&self, needs: Needs, applied: u64) {
        let dead = self.index().sweep(|index| self.is_held(index) || (index <= applied && needs(index)));
        let _ = self.needs.set(needs);
        self.release(dead);
    }

    fn needs(&self, index: u64) -> bool {
        self.is_held(index) || self.needs.get().is_none_or(|needs| needs(index))
    }

    /// The first entry that is kept whole, because it is not archived yet.
    pub(crate) fn held_from(&self) -> u64 {
        self.held_from.load(Ordering::Acquire)
    }

    /// It is kept whole.
    pub(crate) fn is_held(&self, index: u64) -> bool {
        index >= self.held_from()
    }

    /// Entries from this one on are kept whole; those before it only where the machine needs them. Blocks.
    pub(crate) fn hold_from(&self, first: u64) {
        let before = self.held_from.fetch_max(first, Ordering::AcqRel);
        let mut from = before;
        while from < first {
            let some: Vec<u64> = {
                let index = self.index();
                let held = index.kept_from(from).map(|(entry, _)| entry).take_while(|entry| *entry < first);
                held.take(LET_GO_AT_A_TIME).collect()
            };
            let Some(last) = some.last() else { break };
            from = last + 1;
            self.free_unneeded(&some);
        }
    }

    /// Bytes of entries that are kept whole.
    pub(crate) fn held_bytes(&self) -> u64 {
        let index = self.index();
        let from = self.held_from();
        let kept = index.kept_from(from).map(|(_, position)| u64::from(position.length)).sum::<u64>();
        let (first, next) = index.range();
        let logged = (from.max(first)..next).filter_map(|entry| index.slot(entry));
        kept + logged.map(|slot| u64::from(slot.position.length)).sum::<u64>()
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
        let mut dead = dead.into_iter().peekable();
        if dead.peek().is_some() {
            self.journal.release_all(dead);
        }
    }

    /// The machine needs these entries no more.
    pub(crate) fn free(&self, entries: &[u64]) {
        if entries.is_empty() {
            return;
        }
        let dead: Vec<Position> = {
            let mut index = self.index();
            entries.iter().filter(|entry| !self.is_held(**entry)).filter_map(|entry| index.free(*entry)).collect()
        };
        self.release(dead);
    }

    /// The machine has another state now, that of a snapshot at this index: keeps what it needs.
    pub(crate) fn sweep(&self, applied: u64) {
        let dead = self.index().sweep(|index| index <= applied && self.needs(index));
        self.release(dead);
    }

    /// Writes the small records again where they lie in segments before `segment`, so that they do not hold these.
    pub(crate) fn refresh(&self, segment: u64) -> io::Result<()> {
        let OldMarks { vote, purged, forgotten } = self.index().old_marks(segment);
        if let Some(vote) = vote {
            self.write_vote(vote, |_| ())?;
        }
        if let Some(purged) = purged {
            self.write_purge(purged)?;
        }
        if let Some(forgotten) = forgotten {
            let mut index = self.index();
            let position = self.write(self.mark(FORGOTTEN, forgotten), |_| ())?;
            let dead = index.marked_forgotten(position);
            drop(index);
            self.release(dead);
        }
        Ok(())
    }

    /// A record that says something of the log up to an entry.
    fn mark(&self, kind: u8, upto: LogId) -> Record {
        let mut payload = BytesMut::with_capacity(8);
        payload.write_u64(upto.leader_id.term);
        self.record(kind, upto.index, payload.freeze())
    }

    /// Forgets all but the vote, and how far the log went. Nobody may use the log meanwhile.
    pub(crate) async fn forget(&self) -> io::Result<()> {
        let last = {
            let index = self.index();
            index.last().max(index.forgotten()).unwrap_or(log_id(0, 0))
        };
        let (synced, wait) = oneshot::channel();
        let mark = self.write(self.mark(FORGET, last), move |result| {
            // Whoever waited may have given up.
            let _ = synced.send(result);
        })?;
        wait.await.map_err(io::Error::other)?.map_err(|error| self.failed(error))?;
        // Not before: until the mark is on disk, what it forgets is there.
        let dead = self.index().forget(last, mark);
        self.release(dead);
        Ok(())
    }

    /// The index, where the log is used no more.
    pub(crate) fn into_index(self) -> LogIndex {
        std::mem::take(&mut *self.index())
    }

    fn write_vote(&self, vote: Vote, done: impl FnOnce(Result<(), AppendError>) + Send + 'static) -> io::Result<()> {
        let mut payload = BytesMut::with_capacity(17);
        codec::put_vote(&mut payload, &vote);
        let mut index = self.index();
        // Under the lock: the last vote in the journal must be the last one here.
        let position = self.write(self.record(VOTE, 0, payload.freeze()), done)?;
        let dead = index.voted(vote, position);
        drop(index);
        self.release(dead);
        Ok(())
    }

    fn write_purge(&self, upto: LogId) -> io::Result<()> {
        let mut index = self.index();
        let position = self.write(self.mark(PURGE, upto), |_| ())?;
        let mut dead = index.cut_to(upto, |entry| self.needs(entry));
        dead.extend(index.marked(position));
        drop(index);
        self.release(dead);
        Ok(())
    }

    /// The command of an entry that the machine has applied and needs. Blocks for a read of the disk where it is not in
    /// memory.
    pub(crate) fn command(&self, index: u64) -> io::Result<Bytes> {
        let position = {
            let known = self.index();
            if let Some(Payload::Normal(command)) = known.slot(index).and_then(|slot| slot.cached.as_ref()) {
                return Ok(command.bytes.clone());
            }
            known.position(index).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the entry is gone"))?
        };
        match self.read_at(index, position)?.payload {
            Payload::Normal(command) => Ok(command.bytes),
            Payload::Blank | Payload::Membership(_) => Ok(Bytes::new()),
        }
    }

    pub(crate) fn read_at(&self, index: u64, position: Position) -> io::Result<Entry> {
        let bytes = self.read_record(position)?;
        codec::take_entry(index, bytes).map_err(io::Error::other)
    }

    /// A record's payload; [`io::ErrorKind::NotFound`] where it is gone. Everything else ends the node.
    fn read_record(&self, position: Position) -> io::Result<Bytes> {
        self.journal.read(position).map_err(|error| match error {
            ReadError::Gone { .. } => io::Error::new(io::ErrorKind::NotFound, error),
            error => {
                self.failure.unreadable(&error);
                io::Error::other(error)
            }
        })
    }

    /// Entries that the machine needs, from `from` to `upto`, as they go to another replica: about `limit` bytes, but
    /// always one where there is one. Blocks for reads of the disk.
    pub(crate) fn needed(&self, from: u64, upto: u64, limit: usize) -> io::Result<Vec<KeptEntry>> {
        let places: Vec<(u64, Position)> = {
            let index = self.index();
            let (first, next) = index.range();
            let kept = index.kept_from(from).take_while(|(entry, _)| *entry <= upto);
            let logged = (from.max(first)..next.min(upto.saturating_add(1))).filter(|entry| self.needs(*entry));
            let logged = logged.filter_map(|entry| Some((entry, index.slot(entry)?.position)));
            let mut bytes = 0;
            let fits = |(_, position): &(u64, Position)| {
                let before = bytes;
                bytes += position.length as usize;
                before < limit
            };
            let places = kept.chain(logged).take_while(fits).collect();
            index.whole()?;
            places
        };
        self.read_records(places)
    }

    /// Keeps entries that came with a snapshot, or are written again; returns when they are on disk.
    pub(crate) async fn keep(&self, entries: Vec<KeptEntry>) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let indexes: Vec<u64> = entries.iter().map(|(index, _)| *index).collect();
        let records = entries.into_iter().map(|(index, record)| self.record(KEPT, index, record)).collect();
        let (synced, wait) = oneshot::channel();
        let tell = move |result| {
            // Whoever waited may have given up.
            let _ = synced.send(result);
        };
        let positions = self.journal.append(records, tell).map_err(|error| self.failed(error))?;
        let synced = wait.await.map_err(io::Error::other)?;
        synced.map_err(|error| self.failed(error))?;
        let dead: Vec<Position> = {
            let mut index = self.index();
            indexes.into_iter().zip(positions).filter_map(|(entry, position)| index.keep(entry, position)).collect()
        };
        self.release(dead);
        Ok(())
    }

    /// Entries that are kept in segments before this one, about `limit` bytes of them. Blocks for reads of the disk.
    pub(crate) fn kept_before(&self, segment: u64, limit: usize) -> io::Result<Vec<KeptEntry>> {
        let places: Vec<(u64, Position)> = {
            let index = self.index();
            let mut bytes = 0;
            let old = index.kept_from(0).filter(|(_, position)| position.segment < segment);
            let fits = |(_, position): &(u64, Position)| {
                let before = bytes;
                bytes += position.length as usize;
                before < limit
            };
            old.take_while(fits).collect()
        };
        self.read_records(places)
    }

    /// Records of these entries, without those that were given free since.
    fn read_records(&self, places: Vec<(u64, Position)>) -> io::Result<Vec<KeptEntry>> {
        let mut entries = Vec::with_capacity(places.len());
        for (entry, position) in places {
            match self.read_record(position) {
                Ok(record) => entries.push((entry, record)),
                // What freed it comes after the snapshot, by the log.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// What was kept is needed no more, where the machine let go of it meanwhile.
    pub(crate) fn free_unneeded(&self, entries: &[u64]) {
        let gone: Vec<u64> = entries.iter().copied().filter(|entry| !self.needs(*entry)).collect();
        self.free(&gone);
    }

    /// Entries from `start` on, before `end`, at most `limit` bytes of them but always one.
    fn read(&self, start: u64, end: u64, limit: usize) -> io::Result<Vec<Entry>> {
        let mut wanted = Vec::new();
        {
            let index = self.index();
            let (first, next) = index.range();
            let mut bytes = 0;
            for at in start.max(first)..end.min(next) {
                let Some(slot) = index.slot(at) else { break };
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
                None => self.read_at(index, position),
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
        Ok(self.index().vote())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES)
    }
}

impl RaftLogStorage<Types> for GroupLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let index = self.index();
        Ok(LogState { last_purged_log_id: index.purged(), last_log_id: index.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        #[cfg(feature = "simulation")]
        if crate::simulation::Flaw::ForgetVote.is_set() {
            return Ok(());
        }
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
        #[cfg(feature = "simulation")]
        let callback = crate::simulation::confirm_early(callback);
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
