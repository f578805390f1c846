//! What a queue stores, the same on every replica: which messages there are and where in the log they lie, never the
//! messages themselves.

use std::{collections::BTreeMap, sync::Arc};

use ferrymq_pages::PageStore;
use ferrymq_wire::{Fields, Malformed, Write};

use crate::{
    runs::{Place, Runs},
    saved::Pieces,
};

/// A queue: its messages by number. Numbers count up from 1 and are never used again; the order of the numbers is the
/// queue's order.
#[derive(Debug, Default, Clone)]
pub struct Queue {
    runs: Runs,
    /// How often a message was handed out and came back, where it did.
    returns: BTreeMap<u64, u32>,
}

impl Queue {
    pub(crate) fn new(pages: Option<Arc<dyn PageStore>>) -> Self {
        Self { runs: Runs::new(pages), returns: BTreeMap::new() }
    }

    /// Messages, handed out ones too.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.runs.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.len() == 0
    }

    /// Bytes of all messages; where some of an entry have gone, the rest by their average.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.runs.bytes()
    }

    /// Number of the last message that there ever was; 0 where there was none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.runs.last()
    }

    /// Whether a message is there.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.runs.place(number).is_some()
    }

    /// Where a message lies, if it is there.
    #[must_use]
    pub fn place(&self, number: u64) -> Option<Place> {
        self.runs.place(number)
    }

    /// Bytes of a message; where several of its entry are there, their average. 0 where it is not there.
    #[must_use]
    pub fn size(&self, number: u64) -> u64 {
        self.runs.size(number)
    }

    /// How often a message was handed out and came back.
    #[must_use]
    pub fn returns(&self, number: u64) -> u32 {
        self.returns.get(&number).copied().unwrap_or(0)
    }

    /// The first message with this number or a higher one.
    #[must_use]
    pub fn next(&self, number: u64) -> Option<u64> {
        self.runs.next(number)
    }

    /// The entries in which this message and those after it lie, in order, with their bytes that are live.
    pub fn entries_from(&self, number: u64) -> impl Iterator<Item = (u64, u64)> {
        self.runs.entries_from(number)
    }

    /// The first message that there is; of an empty queue, the next one that there will be.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.runs.first()
    }

    /// The first of the messages that came last and together; of an empty queue, the next one that there will be.
    #[must_use]
    pub fn last_run(&self) -> u64 {
        self.runs.last_run()
    }

    /// The first message that came at this time (milliseconds since 1970) or after it; where there is none, the next one
    /// that there will be. Messages that came together have one time.
    #[must_use]
    pub fn at_time(&self, time: u64) -> u64 {
        self.runs.at_time(time)
    }

    /// Messages from this number on, and where they lie: at most so many, and of about so many bytes, but one at least
    /// where there is one.
    #[must_use]
    pub fn places_from(&self, number: u64, messages: usize, bytes: u64) -> Vec<(u64, Place)> {
        self.runs.places_from(number, messages, bytes)
    }

    /// The last of the messages that are to go where those that came before a time (milliseconds since 1970) go, and the
    /// oldest ones over so many bytes, but never for their bytes those that came last. Messages that came together go
    /// together.
    #[must_use]
    pub fn surplus(&self, before: Option<u64>, bytes: Option<u64>) -> Option<u64> {
        self.runs.surplus(before, bytes)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, u32)> {
        self.runs.entries()
    }

    /// Whether a message of the queue lies there.
    pub(crate) fn has(&self, place: Place) -> bool {
        self.runs.has(place)
    }

    pub(crate) fn ordinals_used(&self, entry: u64) -> u32 {
        self.runs.ordinals_used(entry)
    }

    pub(crate) fn push(&mut self, place: Place, time: u64, bytes: u64) -> u64 {
        self.runs.push(place, time, bytes)
    }

    /// Removes a message, and gives the entry in which it lay.
    pub(crate) fn remove(&mut self, number: u64) -> Option<u64> {
        let entry = self.runs.remove(number)?;
        if !self.returns.is_empty() {
            self.returns.remove(&number);
        }
        Some(entry)
    }

    /// Removes all messages up to a number, and tells of each entry how many of its messages went.
    pub(crate) fn trim(&mut self, upto: u64, went: impl FnMut(u64, u32)) {
        self.runs.trim(upto, went);
        if !self.returns.is_empty() {
            self.returns = self.returns.split_off(&upto.saturating_add(1));
        }
    }

    pub(crate) fn count_return(&mut self, number: u64, before: u32) -> bool {
        if !self.contains(number) {
            return false;
        }
        // Returned twice by who held it once, it came back once.
        if self.returns(number) == before {
            self.returns.insert(number, before.saturating_add(1));
        }
        true
    }

    pub(crate) fn save<E>(&self, out: &mut Pieces<'_, E>) -> Result<(), E> {
        self.runs.save(out)?;
        out.fields().write_u64(self.returns.len() as u64);
        for (number, returns) in &self.returns {
            out.fields().write_u64(*number);
            out.fields().write_u32(*returns);
            out.pass_on()?;
        }
        Ok(())
    }

    pub(crate) fn restore(
        from: &mut impl Fields,
        format: u8,
        pages: Option<Arc<dyn PageStore>>,
    ) -> Result<Self, Malformed> {
        let runs = Runs::restore(from, format, pages)?;
        let mut returns = BTreeMap::new();
        for _ in 0..from.u64("returns")? {
            returns.insert(from.u64("number")?, from.u32("returns")?);
        }
        Ok(Self { runs, returns })
    }
}
