//! Reading of logs, from any replica of their shard. A replica keeps nothing of who reads: a reader asks for what follows
//! an offset, and waits here while there is nothing.
//!
//! What has just come is read from memory, where readers that keep up share it; the rest is read from the journal by the
//! thread that reads old entries, so that what is written never waits for it.

use std::{collections::HashMap, time::Duration};

use bytes::{Bytes, BytesMut};
use ferrymq_core::LogPosition;
use ferrymq_queue::{Effect, Effects, OpenedEntry, Place, QueueId, ShardMachine};
use ferrymq_replication::{DiskReader, Group};
use ferrymq_wire::{Malformed, Reader as Fields, Write};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{Replica, ShardState, bodies::Bodies};

/// Bytes of the messages of one answer; one bigger message may be, alone.
const BATCH_BYTES: u64 = 256 << 10;
/// Messages of one answer.
const BATCH_MESSAGES: usize = 1024;
/// Bytes of entries that are read from the journal for one answer: messages of other queues lie in them too. One bigger
/// entry may be, alone.
const BATCH_ENTRY_BYTES: usize = 4 << 20;
/// A log to which so many entries came while nobody waited for them is not read any more.
const UNHEEDED: usize = 256;

/// What is asked of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogRead {
    pub(crate) queue: QueueId,
    /// From this message on.
    pub(crate) from: u64,
    /// How long to wait while there is none.
    pub(crate) wait: Duration,
}

/// Messages of a log, encoded, in order; none where none came in time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LogBatch {
    pub(crate) messages: Vec<(u64, Bytes)>,
}

impl LogBatch {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.messages.iter().map(|(_, bytes)| bytes.len() + 12).sum());
        for (number, bytes) in &self.messages {
            out.write_u64(*number);
            out.write_bytes(bytes);
        }
        out.freeze()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut from = Fields::new(bytes);
        let mut messages = Vec::new();
        while !from.is_empty() {
            messages.push((from.u64("number")?, from.bytes("message")?));
        }
        Ok(Self { messages })
    }
}

/// Logs that are being read from this replica.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// Logs that are read.
    tails: HashMap<QueueId, Tail>,
    /// The entries that came last to such logs.
    recent: Bodies,
}

/// The end of a log that is read.
#[derive(Debug, Default)]
struct Tail {
    /// Changes with the log.
    changes: watch::Sender<()>,
    /// Entries that came to it since somebody waited for one.
    unheeded: usize,
}

impl Logs {
    /// Changes whenever this log does.
    fn changes(&mut self, queue: QueueId) -> watch::Receiver<()> {
        let tail = self.tails.entry(queue).or_default();
        tail.unheeded = 0;
        tail.changes.subscribe()
    }

    /// An entry was applied.
    pub(super) fn follow(&mut self, entry: u64, command: &Bytes, effects: &Effects, machine: &ShardMachine) {
        if self.tails.is_empty() {
            return;
        }
        self.recent.forget(&effects.freed);
        for effect in &effects.happened {
            let (Effect::Enqueued { queue, .. } | Effect::Deleted { queue }) = *effect else { continue };
            let Some(tail) = self.tails.get_mut(&queue) else { continue };
            if tail.changes.receiver_count() == 0 {
                tail.unheeded += 1;
                if tail.unheeded > UNHEEDED {
                    self.tails.remove(&queue);
                    continue;
                }
            }
            tail.changes.send_replace(());
            if machine.needs(entry) && !self.recent.has(entry) {
                self.recent.insert(entry, command.clone());
            }
        }
        if self.tails.is_empty() {
            self.recent = Bodies::default();
        }
    }

    /// The state is another one.
    pub(super) fn restored(&mut self) {
        self.recent = Bodies::default();
        self.tails.values().for_each(|tail| {
            tail.changes.send_replace(());
        });
    }
}

impl ShardState {
    /// The number of the message at a position of a log; `None` where this replica does not lead, so that what was confirmed
    /// may be missing here.
    pub(crate) fn find_in_log(&self, queue: QueueId, position: LogPosition) -> Option<u64> {
        if !self.is_leading() {
            return None;
        }
        let Some(queue) = self.machine().queue(queue) else { return Some(1) };
        Some(match position {
            LogPosition::First => queue.first(),
            LogPosition::Last => queue.last_run(),
            LogPosition::Next => queue.last() + 1,
            // Numbers count from 1, offsets from 0.
            LogPosition::Offset(offset) => offset.saturating_add(1).clamp(queue.first(), queue.last() + 1),
            LogPosition::Time(time) => queue.at_time(time),
        })
    }

    /// What is to be read, where there is anything, and what of it is in memory.
    fn look(&mut self, read: &LogRead) -> (Vec<(u64, Place)>, LogBatch) {
        let (machine, logs) = self.machine_and_logs();
        let places = machine.queue(read.queue).map(|queue| queue.places_from(read.from, BATCH_MESSAGES, BATCH_BYTES));
        let places = places.unwrap_or_default();
        let in_memory = places
            .iter()
            .map_while(|(number, place)| Some((*number, logs.recent.message(machine, read.queue, *place)?)));
        let messages = in_memory.collect();
        (places, LogBatch { messages })
    }
}

impl Replica {
    /// Reads messages of a log that this replica has applied.
    pub(crate) async fn read_log(&self, reader: &DiskReader, read: &LogRead) -> LogBatch {
        let until = Instant::now() + read.wait;
        let mut changes = self.group.machine().logs.changes(read.queue);
        loop {
            changes.borrow_and_update();
            let (places, in_memory) = self.group.machine().look(read);
            if !in_memory.messages.is_empty() {
                return in_memory;
            }
            if !places.is_empty() {
                let (tell, told) = oneshot::channel();
                let (group, queue) = (self.group.clone(), read.queue);
                reader.read(move || {
                    // Whoever asked may have gone.
                    let _ = tell.send(read_places(&group, queue, &places));
                });
                return told.await.unwrap_or_default();
            }
            let changed = timeout_at(until, changes.changed()).await;
            // Where it was deleted, whoever asks finds that out from the catalogue.
            if !matches!(changed, Ok(Ok(()))) || self.group.machine().machine().queue(read.queue).is_none() {
                return LogBatch::default();
            }
        }
    }
}

/// Reads messages from the journal. Where an entry is gone, because it was trimmed meanwhile, so are its messages.
fn read_places(group: &Group<ShardState>, queue: QueueId, places: &[(u64, Place)]) -> LogBatch {
    let mut messages = Vec::with_capacity(places.len());
    let mut read = 0;
    for of_entry in places.chunk_by(|(_, one), (_, next)| one.entry == next.entry) {
        let Some((_, Place { entry, .. })) = of_entry.first() else { continue };
        if read > BATCH_ENTRY_BYTES && !messages.is_empty() {
            break;
        }
        let Ok(bytes) = group.command(*entry) else { continue };
        read += bytes.len();
        // Whoever applies entries does not wait while this one is opened.
        let left_out = group.machine().machine().left_out(*entry).to_vec();
        let opened = OpenedEntry::new(bytes, &left_out);
        for (number, place) in of_entry {
            // Copied, so that a slow reader holds what it reads and not whole entries. What was emptied has gone meanwhile.
            let message = opened.message(queue, place.ordinal).filter(|message| !message.is_empty());
            messages.extend(message.map(|message| (*number, Bytes::copy_from_slice(message))));
        }
    }
    LogBatch { messages }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        let batch = LogBatch { messages: vec![(7, Bytes::from_static(b"seven")), (9, Bytes::new())] };
        assert_eq!(LogBatch::decode(batch.encode()), Ok(batch));
        assert!(LogBatch::decode(Bytes::from_static(&[1, 2])).is_err());
    }
}
