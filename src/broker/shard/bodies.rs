//! Entries of the log in memory, of which messages are handed out now or soon.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use ferrymq_queue::{OpenedEntry, Place, QueueId, ShardMachine};

/// Bytes of entries that a shard keeps in memory for its consumers; one bigger entry may be, alone.
const BUDGET: usize = 2 << 20;

/// Entries of the log, by index. The one that came first goes first.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    entries: HashMap<u64, Body>,
    order: VecDeque<u64>,
    bytes: usize,
}

#[derive(Debug)]
struct Body {
    bytes: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed(Bytes),
    Opened(OpenedEntry),
}

impl Bodies {
    /// Takes an entry.
    pub(super) fn insert(&mut self, entry: u64, bytes: Bytes) {
        let size = bytes.len();
        if self.entries.insert(entry, Body { bytes: size, state: State::Closed(bytes) }).is_some() {
            return;
        }
        self.order.push_back(entry);
        self.bytes += size;
        while self.bytes > BUDGET && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.entries.remove(&oldest).map_or(0, |body| body.bytes);
        }
    }

    pub(super) fn has(&self, entry: u64) -> bool {
        self.entries.contains_key(&entry)
    }

    /// A message, where its entry is in memory.
    pub(super) fn message(&mut self, machine: &ShardMachine, queue: QueueId, place: Place) -> Option<Bytes> {
        let body = self.entries.get_mut(&place.entry)?;
        if let State::Closed(bytes) = &body.state {
            body.state = State::Opened(machine.open(place.entry, bytes.clone()));
        }
        match &body.state {
            State::Opened(opened) => opened.message(queue, place.ordinal).cloned(),
            State::Closed(_) => None,
        }
    }

    /// Nothing lies in these entries any more.
    pub(super) fn forget(&mut self, entries: &[u64]) {
        for entry in entries {
            let Some(body) = self.entries.remove(entry) else { continue };
            self.bytes -= body.bytes;
            // It is mostly the oldest.
            if let Some(at) = self.order.iter().position(|known| known == entry) {
                self.order.remove(at);
            }
        }
    }
}
