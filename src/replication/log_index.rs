//! Where everything of a group's log lies in the journal.

use std::{collections::VecDeque, io, sync::Arc};

use bytes::Bytes;
use ferrymq_journal::{Position, RecordHead};
use ferrymq_pages::{PageStore, Table};
use ferrymq_wire::Reader;

use crate::{
    codec,
    kept::Kept,
    types::{Entry, LogId, Payload, Vote, log_id},
};

pub(crate) const ENTRY: u8 = 1;
pub(crate) const VOTE: u8 = 2;
pub(crate) const TRUNCATE: u8 = 3;
pub(crate) const PURGE: u8 = 4;
/// An entry that the log has purged and the machine needs, written again or come with a snapshot.
pub(crate) const KEPT: u8 = 5;
/// All of the group's entries are gone from here, which left it. The vote stays.
pub(crate) const FORGET: u8 = 6;
/// The mark of the last `FORGET` written again; what came after that stays.
pub(crate) const FORGOTTEN: u8 = 7;

/// Bytes of entries that a group keeps in memory, for followers that are nearly up to date and for its own machine.
const CACHE_BYTES: usize = 4 << 20;

pub(crate) struct Slot {
    pub(crate) term: u64,
    pub(crate) position: Position,
    pub(crate) cached: Option<Payload>,
}

/// What is to be written again, so that it does not hold the segments that it lies in.
pub(crate) struct OldMarks {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<LogId>,
    pub(crate) forgotten: Option<LogId>,
}

/// Where everything of a group's log is.
#[derive(Default)]
pub(crate) struct LogIndex {
    /// Index of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    /// Slots before this one are not cached.
    cached_from: u64,
    cached_bytes: usize,
    /// Entries that the log has purged, and that the machine needs.
    kept: Table<Kept>,
    purged: Option<LogId>,
    purge_mark: Option<Position>,
    vote: Option<Vote>,
    vote_record: Option<Position>,
    /// The end of the log when it was forgotten.
    forgotten: Option<LogId>,
    forget_mark: Option<Position>,
    /// Bytes of entries since the group was opened.
    appended_bytes: u64,
}

impl LogIndex {
    /// An empty one, that puts pages of what is kept there.
    pub(crate) fn new(pages: Arc<dyn PageStore>) -> Self {
        Self { kept: Table::new(Some(pages)), ..Self::default() }
    }

    /// Takes a record that recovery found; gives the positions of what is dead by it.
    pub(crate) fn recover(&mut self, head: &RecordHead<'_>) -> Result<Vec<Position>, String> {
        let text = |error: ferrymq_wire::Malformed| error.to_string();
        let RecordHead { position, sequence, .. } = *head;
        let front = || Bytes::copy_from_slice(head.front);
        match head.kind {
            ENTRY => {
                let term = codec::entry_term(head.front).map_err(text)?;
                let mut dead = self.cut_from(sequence);
                if self.slots.is_empty() {
                    self.first = sequence;
                }
                if sequence != self.next() {
                    // A hole can only come from what was purged since.
                    let upto = log_id(self.slots.back().map_or(0, |slot| slot.term), self.next().saturating_sub(1));
                    dead.extend(self.cut_to(upto, |_| true));
                    self.first = sequence;
                }
                self.appended_bytes += u64::from(position.length);
                self.slots.push_back(Slot { term, position, cached: None });
                Ok(dead)
            }
            KEPT => Ok(self.keep(sequence, position).into_iter().collect()),
            VOTE => {
                self.vote = Some(codec::take_vote(&mut Reader::new(front())).map_err(text)?);
                Ok(self.vote_record.replace(position).into_iter().collect())
            }
            TRUNCATE => {
                let mut dead = self.cut_from(sequence);
                dead.push(position);
                Ok(dead)
            }
            PURGE => {
                let term = Reader::new(front()).u64("purge term").map_err(text)?;
                // What the machine needs is known when it is there: see `sweep`.
                let mut dead = self.cut_to(log_id(term, sequence), |_| true);
                dead.extend(self.purge_mark.replace(position));
                Ok(dead)
            }
            FORGET => {
                let term = Reader::new(front()).u64("forgotten term").map_err(text)?;
                Ok(self.forget(log_id(term, sequence), position))
            }
            FORGOTTEN => {
                let term = Reader::new(front()).u64("forgotten term").map_err(text)?;
                self.forgotten = Some(log_id(term, sequence));
                Ok(self.marked_forgotten(position).into_iter().collect())
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
        self.is_blank() && self.vote.is_none() && self.forgotten.is_none()
    }

    /// There are no entries in it, and none that were purged.
    pub(crate) fn is_blank(&self) -> bool {
        self.slots.is_empty() && self.purged.is_none() && self.kept.is_empty()
    }

    /// The end of the log when it was forgotten: who has less than that has not all that this replica had once.
    pub(crate) fn forgotten(&self) -> Option<LogId> {
        self.forgotten
    }

    /// Forgets all but the vote, and how far the log went; gives what is dead by that.
    pub(crate) fn forget(&mut self, last: LogId, mark: Position) -> Vec<Position> {
        let emptied = Self { kept: self.kept.emptied(), ..Self::default() };
        let before = std::mem::replace(self, emptied);
        self.vote = before.vote;
        self.vote_record = before.vote_record;
        self.forgotten = Some(last);
        self.forget_mark = Some(mark);
        let logged = before.slots.into_iter().map(|slot| slot.position);
        let kept = before.kept.iter().map(|kept| kept.position);
        logged.chain(kept).chain(before.purge_mark).chain(before.forget_mark).collect()
    }

    /// Index of the first entry of the log, and of the one that comes next.
    pub(crate) fn range(&self) -> (u64, u64) {
        (self.first, self.next())
    }

    fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(log_id(slot.term, self.next() - 1)),
            None => self.purged,
        }
    }

    pub(crate) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.vote
    }

    /// Bytes of entries appended since the log was opened.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.appended_bytes
    }

    /// An entry of the log.
    pub(crate) fn slot(&self, index: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// Where an entry lies, in the log or kept after that.
    pub(crate) fn position(&self, index: u64) -> Option<Position> {
        self.kept_at(index).or_else(|| Some(self.slot(index)?.position))
    }

    /// Entries that were purged and are kept, from this one on.
    pub(crate) fn kept_from(&self, index: u64) -> impl Iterator<Item = (u64, Position)> {
        self.kept.iter_from(self.kept.find_key(index)).map(|kept| (kept.index, kept.position))
    }

    /// Keeps an entry here; gives where it was kept before.
    pub(crate) fn keep(&mut self, index: u64, position: Position) -> Option<Position> {
        self.kept.insert(Kept { index, position }).map(|kept| kept.position)
    }

    /// That nothing was left out of what was given, because it is lost.
    pub(crate) fn whole(&self) -> io::Result<()> {
        if self.kept.is_broken() { Err(io::Error::other("a page of what is kept is lost")) } else { Ok(()) }
    }

    fn kept_at(&self, index: u64) -> Option<Position> {
        self.kept.look(self.kept.find_key(index), |kept| (kept.index == index).then_some(kept.position))?
    }

    /// The machine needs an entry no more. Gives what is dead by that; an entry that is still in the log is not.
    pub(crate) fn free(&mut self, index: u64) -> Option<Position> {
        let at = self.kept.find_key(index);
        self.kept.look(at, |kept| kept.index == index).filter(|is_kept| *is_kept)?;
        self.kept.remove(at).map(|kept| kept.position)
    }

    /// Keeps only what the machine needs. Gives what is dead by that.
    pub(crate) fn sweep(&mut self, needs: impl Fn(u64) -> bool) -> Vec<Position> {
        let mut dead = Vec::new();
        self.kept.retain(|kept| {
            let needed = needs(kept.index);
            if !needed {
                dead.push(kept.position);
            }
            needed
        });
        dead
    }

    pub(crate) fn cut_from(&mut self, index: u64) -> Vec<Position> {
        let keep = index.saturating_sub(self.first) as usize;
        if keep >= self.slots.len() {
            return Vec::new();
        }
        let cut = self.slots.split_off(keep);
        self.cached_bytes -= cut.iter().filter_map(|slot| slot.cached.as_ref()).map(size).sum::<usize>();
        self.cached_from = self.cached_from.min(self.next());
        cut.into_iter().map(|slot| slot.position).collect()
    }

    /// Purges the log; keeps what the machine needs, and gives what is dead.
    pub(crate) fn cut_to(&mut self, upto: LogId, needs: impl Fn(u64) -> bool) -> Vec<Position> {
        let mut dead = Vec::new();
        while self.first <= upto.index {
            let Some(slot) = self.slots.pop_front() else { break };
            self.cached_bytes -= slot.cached.as_ref().map_or(0, size);
            // What came with a snapshot was committed; what lies in the log may be of a leader that lost its place.
            if self.kept_at(self.first).is_none() && needs(self.first) {
                self.kept.insert(Kept { index: self.first, position: slot.position });
            } else {
                dead.push(slot.position);
            }
            self.first += 1;
        }
        self.first = self.first.max(upto.index + 1);
        self.cached_from = self.cached_from.max(self.first);
        self.purged = self.purged.max(Some(upto));
        if self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
        dead
    }

    pub(crate) fn push(&mut self, entry: &Entry, position: Position) {
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

    /// The last vote, and its record before this.
    pub(crate) fn voted(&mut self, vote: Vote, position: Position) -> Option<Position> {
        self.vote = Some(vote);
        self.vote_record.replace(position)
    }

    /// The last purge, and its mark before this.
    pub(crate) fn marked(&mut self, position: Position) -> Option<Position> {
        self.purge_mark.replace(position)
    }

    /// The last mark of what was forgotten, and that before this.
    pub(crate) fn marked_forgotten(&mut self, position: Position) -> Option<Position> {
        self.forget_mark.replace(position)
    }

    /// The marks whose records lie in segments before this one.
    pub(crate) fn old_marks(&self, segment: u64) -> OldMarks {
        let old = |position: Option<Position>| position.is_some_and(|position| position.segment < segment);
        OldMarks {
            vote: self.vote.filter(|_| old(self.vote_record)),
            purged: self.purged.filter(|_| old(self.purge_mark)),
            forgotten: self.forgotten.filter(|_| old(self.forget_mark)),
        }
    }

    /// The segment of the first entry that was not purged.
    pub(crate) fn oldest_segment(&self) -> Option<u64> {
        self.slots.front().map(|slot| slot.position.segment)
    }

    /// Entries of the log.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// About how many bytes a payload is, in memory and on the wire.
pub(crate) fn size(payload: &Payload) -> usize {
    match payload {
        Payload::Normal(command) => command.bytes.len() + 64,
        Payload::Blank | Payload::Membership(_) => 64,
    }
}
