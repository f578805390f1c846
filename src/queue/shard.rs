//! The queues of one shard: every replica applies the same commands in the same order, and ends in the same state.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use ferrymq_pages::PageStore;
use ferrymq_wire::{Fields, Malformed, Reader};

use crate::{
    Command, Holding, Numbers, OpenedEntry, Outcome, Queue, QueueId,
    command::{decode_request, encode_outcomes},
    entries::Entries,
    opened::{self, Commands},
    progress::{Progress, Turn},
    runs::Place,
    saved::{self, SavedShard},
};

/// Where and when an entry was committed; the same on every replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The entry's index in its shard's log.
    pub entry: u64,
    /// The term of the leader that took it.
    pub term: u64,
    /// Milliseconds since 1970, by the clock of the leader that took it.
    pub time: u64,
}

/// What happened, for the leader to act upon. Messages are a first number and how many follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Messages are in their queue.
    Enqueued {
        /// The queue.
        queue: QueueId,
        /// Number of the first.
        first: u64,
        /// How many.
        count: u32,
    },
    /// Messages have left their queue.
    Removed {
        /// The queue.
        queue: QueueId,
        /// Number of the first.
        first: u64,
        /// How many.
        count: u32,
    },
    /// A message is back in its place.
    Returned {
        /// The queue.
        queue: QueueId,
        /// What came back, as it was held.
        holding: Holding,
        /// The node whose consumer held it.
        node: u64,
    },
    /// All messages up to a number have left their queue, but for those that somebody holds.
    Purged {
        /// The queue.
        queue: QueueId,
        /// The last of them.
        upto: u64,
    },
    /// A queue and its messages are gone.
    Deleted {
        /// The queue.
        queue: QueueId,
    },
}

/// What applying an entry brought about.
#[derive(Debug, Default)]
pub struct Effects {
    /// What happened, in order.
    pub happened: Vec<Effect>,
    /// Entries in which nothing lies any more.
    pub freed: Vec<u64>,
}

/// The replicated state of a shard. Messages themselves stay in the log's entries; the state says which of them are live.
#[derive(Debug, Default)]
pub struct ShardMachine {
    progress: Progress,
    queues: BTreeMap<QueueId, Queue>,
    entries: Entries,
    /// Of the entry that is being applied: queues that were deleted in it, and how many messages it had put into them.
    deleted: Vec<(QueueId, u32)>,
    /// Where pages of long queues go.
    pages: Option<Arc<dyn PageStore>>,
}

impl ShardMachine {
    /// Nothing yet. Of long queues, what nobody looks at goes to these pages.
    #[must_use]
    pub fn new(pages: Option<Arc<dyn PageStore>>) -> Self {
        Self { pages, ..Self::default() }
    }

    /// Where pages of long queues go.
    #[must_use]
    pub fn pages(&self) -> Option<Arc<dyn PageStore>> {
        self.pages.clone()
    }

    /// Applies an entry, and gives the answer that [`decode_outcomes`](crate::decode_outcomes) reads. What cannot be read
    /// has no effect from there on, on every replica alike.
    pub fn apply(&mut self, at: Moment, entry: Bytes, effects: &mut Effects) -> Bytes {
        let mut from = Reader::new(entry);
        let mut outcomes = Vec::new();
        let mut left_out = Vec::new();
        self.deleted.clear();
        while !from.is_empty() {
            let Ok(request) = decode_request(&mut from) else { break };
            let turn = self.progress.turn(request.node, request.session, request.sequence);
            if turn != Turn::Take {
                left_out.push(u32::try_from(outcomes.len()).unwrap_or(u32::MAX));
            }
            outcomes.push(match turn {
                Turn::Wanted(expected) => Outcome::OutOfOrder { expected },
                Turn::Taken => Outcome::Applied,
                Turn::Take => {
                    for command in Commands(Reader::new(request.commands)) {
                        self.run(at, command, effects);
                    }
                    Outcome::Applied
                }
            });
        }
        if !left_out.is_empty() && self.entries.needs(at.entry) {
            self.entries.leave_out(at.entry, left_out);
        }
        encode_outcomes(&outcomes)
    }

    /// A queue.
    #[must_use]
    pub fn queue(&self, id: QueueId) -> Option<&Queue> {
        self.queues.get(&id)
    }

    /// All queues, by number.
    pub fn queues(&self) -> impl Iterator<Item = (QueueId, &Queue)> {
        self.queues.iter().map(|(id, queue)| (*id, queue))
    }

    /// Whether messages lie in an entry that was applied.
    #[must_use]
    pub fn needs(&self, entry: u64) -> bool {
        self.entries.needs(entry)
    }

    /// Opens an entry that was applied: its bytes are those that were, or what [`ShardMachine::distil`] gave.
    #[must_use]
    pub fn open(&self, entry: u64, bytes: Bytes) -> OpenedEntry {
        OpenedEntry::new(bytes, self.entries.left_out(entry))
    }

    /// The requests of an entry that were not taken, by their places in it: what [`OpenedEntry::new`] is to know.
    #[must_use]
    pub fn left_out(&self, entry: u64) -> &[u32] {
        self.entries.left_out(entry)
    }

    /// An entry that was applied, with only those of its messages that are live: it can be kept in its place.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where it is no entry.
    pub fn distil(&self, entry: u64, bytes: Bytes) -> Result<Bytes, Malformed> {
        opened::distil(bytes, self.entries.left_out(entry), |queue, ordinal| {
            self.queues.get(&queue).is_some_and(|queue| queue.has(Place { entry, ordinal }))
        })
    }

    fn run(&mut self, at: Moment, command: Command, effects: &mut Effects) {
        match command {
            Command::Enqueue { queue, message } => {
                let stored = self.queues.entry(queue).or_insert_with(|| Queue::new(self.pages.clone()));
                let mut ordinal = stored.ordinals_used(at.entry);
                if ordinal == 0 && !self.deleted.is_empty() {
                    ordinal = self.deleted.iter().find(|(id, _)| *id == queue).map_or(0, |(_, used)| *used);
                }
                let number = stored.push(Place { entry: at.entry, ordinal }, at.time, message.len() as u64);
                self.entries.hold(at.entry, 1);
                match effects.happened.last_mut() {
                    Some(Effect::Enqueued { queue: last, first, count })
                        if *last == queue && *first + u64::from(*count) == number =>
                    {
                        *count += 1;
                    }
                    _ => effects.happened.push(Effect::Enqueued { queue, first: number, count: 1 }),
                }
            }
            // Without dead-lettering, what is not wanted just goes.
            Command::Accept { queue, messages } | Command::Discard { queue, messages } => {
                self.remove(queue, &messages, effects);
            }
            Command::Requeue { term: Some(term), .. } if term != at.term => {}
            Command::Requeue { queue, node, returns, messages, .. } => {
                let Some(stored) = self.queues.get_mut(&queue) else { return };
                for message in within(&messages, stored) {
                    if stored.count_return(message, returns) {
                        effects.happened.push(Effect::Returned { queue, holding: Holding { message, returns }, node });
                    }
                }
            }
            Command::Create { queue } => {
                self.queues.entry(queue).or_insert_with(|| Queue::new(self.pages.clone()));
            }
            Command::Delete { queue } => self.delete(at, queue, effects),
            Command::Purge { queue, upto, except } => self.purge(queue, upto, &except, effects),
            Command::Trim { queue, upto } => self.trim(queue, upto, effects),
        }
    }

    fn remove(&mut self, queue: QueueId, messages: &Numbers, effects: &mut Effects) {
        let Some(stored) = self.queues.get_mut(&queue) else { return };
        for message in within(messages, stored) {
            let Some(entry) = stored.remove(message) else { continue };
            if self.entries.let_go(entry, 1) {
                self.entries.forget(entry);
                effects.freed.push(entry);
            }
            match effects.happened.last_mut() {
                Some(Effect::Removed { queue: last, first, count })
                    if *last == queue && *first + u64::from(*count) == message =>
                {
                    *count += 1;
                }
                _ => effects.happened.push(Effect::Removed { queue, first: message, count: 1 }),
            }
        }
    }

    fn purge(&mut self, queue: QueueId, upto: u64, except: &Numbers, effects: &mut Effects) {
        let Some(stored) = self.queues.get_mut(&queue) else { return };
        let mut except: Vec<u64> = within(except, stored).collect();
        except.sort_unstable();
        let mut at = 0;
        while let Some(message) = stored.next(at).filter(|message| *message <= upto) {
            at = message + 1;
            if except.binary_search(&message).is_ok() {
                continue;
            }
            if let Some(entry) = stored.remove(message)
                && self.entries.let_go(entry, 1)
            {
                self.entries.forget(entry);
                effects.freed.push(entry);
            }
        }
        effects.happened.push(Effect::Purged { queue, upto });
    }

    fn trim(&mut self, queue: QueueId, upto: u64, effects: &mut Effects) {
        let Self { queues, entries, .. } = self;
        let Some(stored) = queues.get_mut(&queue) else { return };
        stored.trim(upto, |entry, messages| {
            if entries.let_go(entry, messages) {
                entries.forget(entry);
                effects.freed.push(entry);
            }
        });
        effects.happened.push(Effect::Purged { queue, upto });
    }

    fn delete(&mut self, at: Moment, queue: QueueId, effects: &mut Effects) {
        let Some(removed) = self.queues.remove(&queue) else { return };
        for (entry, messages) in removed.entries() {
            if self.entries.let_go(entry, messages) {
                self.entries.forget(entry);
                effects.freed.push(entry);
            }
        }
        let used = removed.ordinals_used(at.entry);
        if used > 0 {
            self.deleted.retain(|(id, _)| *id != queue);
            self.deleted.push((queue, used));
        }
        effects.happened.push(Effect::Deleted { queue });
    }

    /// The whole state as it is now; the messages that are live stay in their entries.
    #[must_use]
    pub fn save(&self) -> SavedShard {
        let left_out = self.entries.all_left_out().map(|(entry, requests)| (entry, requests.into()));
        SavedShard {
            progress: self.progress.clone(),
            queues: self.queues.iter().map(|(id, queue)| (*id, queue.clone())).collect(),
            left_out: left_out.collect(),
        }
    }

    /// The state that was written by [`SavedShard::write`], of this or an earlier version; its pages go there.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where it is no such state.
    pub fn restore(from: &mut impl Fields, pages: Option<Arc<dyn PageStore>>) -> Result<Self, Malformed> {
        let format = from.u8("format")?;
        if ![saved::FORMAT, saved::FORMAT_OF_WHOLE_RUNS].contains(&format) {
            return Err(Malformed::Unknown { field: "format", value: format.into() });
        }
        let mut machine = Self { progress: Progress::restore(from)?, pages, ..Self::default() };
        for _ in 0..from.u64("queues")? {
            let id = from.u64("queue")?;
            let id = QueueId::new(id).ok_or(Malformed::Unknown { field: "queue", value: id })?;
            let queue = Queue::restore(from, format, machine.pages.clone())?;
            queue.entries().for_each(|(entry, messages)| machine.entries.hold(entry, messages));
            machine.queues.insert(id, queue);
        }
        for _ in 0..from.u64("entries")? {
            let entry = from.u64("entry")?;
            let count = from.u32("requests")?;
            let requests = (0..count).map(|_| from.u32("request")).collect::<Result<Vec<u32>, Malformed>>()?;
            machine.entries.leave_out(entry, requests);
        }
        Ok(machine)
    }
}

/// Those of the numbers that the queue can have: a range from elsewhere may be any.
fn within(messages: &Numbers, queue: &Queue) -> impl Iterator<Item = u64> + use<> {
    let last = queue.last();
    let ranges: Vec<(u64, u64)> = messages
        .ranges()
        .iter()
        .map(|(first, count)| (*first, first.saturating_add(u64::from(*count)).min(last.saturating_add(1))))
        .collect();
    ranges.into_iter().flat_map(|(from, to)| from..to)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{
        CommandWriter, Request, encode_request,
        fixture::{message, restored},
    };

    const QUEUE: QueueId = QueueId::MIN;
    const TERM: u64 = 4;

    struct Shard {
        machine: ShardMachine,
        log: Vec<Bytes>,
    }

    impl Shard {
        fn new() -> Self {
            Self { machine: ShardMachine::default(), log: Vec::new() }
        }

        fn apply(&mut self, entry: Bytes) -> Effects {
            let mut effects = Effects::default();
            let at = Moment { entry: self.log.len() as u64, term: TERM, time: 5 };
            self.machine.apply(at, entry.clone(), &mut effects);
            self.log.push(entry);
            effects
        }

        fn write(&mut self, write: impl FnOnce(&mut CommandWriter)) -> Effects {
            let sequence = self.log.len() as u64 + 1;
            self.apply(entry([(sequence, write)]))
        }

        fn body(&self, number: u64) -> Option<String> {
            let place = self.machine.queue(QUEUE)?.place(number)?;
            let opened = self.machine.open(place.entry, self.log[place.entry as usize].clone());
            let message = crate::decode_message(opened.message(QUEUE, place.ordinal)?.clone()).unwrap();
            Some(String::from_utf8(message.body.to_vec()).unwrap())
        }
    }

    fn entry<W: FnOnce(&mut CommandWriter)>(requests: impl IntoIterator<Item = (u64, W)>) -> Bytes {
        let mut out = BytesMut::new();
        for (sequence, write) in requests {
            let mut writer = CommandWriter::default();
            write(&mut writer);
            encode_request(&Request { node: 1, session: 1, sequence, commands: writer.take() }, &mut out);
        }
        out.freeze()
    }

    fn put(text: &'static str) -> impl FnOnce(&mut CommandWriter) {
        move |commands| commands.enqueue(QUEUE, &message(text))
    }

    #[test]
    fn a_request_that_comes_twice_takes_effect_once_and_what_follows_is_found() {
        let mut shard = Shard::new();
        shard.apply(entry([(1, put("a"))]));
        shard.apply(entry([(1, put("a")), (2, put("b")), (2, put("b")), (3, put("c"))]));
        assert_eq!(shard.machine.queue(QUEUE).unwrap().len(), 3);
        assert_eq!(["a", "b", "c"], [1, 2, 3].map(|number| shard.body(number).unwrap()).each_ref().map(String::as_str));
        shard.machine = restored(&shard.machine);
        assert_eq!(shard.body(3).as_deref(), Some("c"));
    }

    #[test]
    fn a_message_that_comes_back_keeps_its_place_and_is_counted() {
        let mut shard = Shard::new();
        let effects = shard.write(put("m"));
        assert_eq!(effects.happened, [Effect::Enqueued { queue: QUEUE, first: 1, count: 1 }]);
        let held = [Holding { message: 1, returns: 0 }];
        let effects = shard.write(|commands| commands.requeue(QUEUE, 1, &held));
        assert_eq!(effects.happened, [Effect::Returned { queue: QUEUE, holding: held[0], node: 1 }]);
        shard.write(|commands| commands.requeue(QUEUE, 1, &held));
        assert_eq!(shard.machine.queue(QUEUE).unwrap().returns(1), 1);
    }

    #[test]
    fn what_a_leader_takes_back_for_a_node_counts_in_its_own_term_only() {
        let mut shard = Shard::new();
        shard.write(put("m"));
        let held = [Holding { message: 1, returns: 0 }];
        let effects = shard.write(|commands| commands.take_back(QUEUE, 2, &held, TERM - 1));
        assert_eq!(effects.happened, [], "it was handed out anew by the leader that followed");
        let effects = shard.write(|commands| commands.take_back(QUEUE, 2, &held, TERM));
        assert_eq!(effects.happened, [Effect::Returned { queue: QUEUE, holding: held[0], node: 2 }]);
    }

    #[test]
    fn what_is_settled_already_has_no_effect() {
        let mut shard = Shard::new();
        shard.write(put("m"));
        let effects = shard.write(|commands| commands.accept(QUEUE, &[1]));
        assert_eq!((effects.happened.len(), effects.freed), (1, vec![0]));
        assert_eq!(
            shard
                .write(|commands| commands.requeue(QUEUE, 1, &[1, 7].map(|message| Holding { message, returns: 0 })))
                .happened,
            []
        );
    }

    #[test]
    fn an_entry_is_free_when_its_last_message_has_gone() {
        let mut shard = Shard::new();
        shard.write(|commands| ["a", "b", "c"].iter().for_each(|text| commands.enqueue(QUEUE, &message(text))));
        assert!(shard.machine.needs(0));
        let effects = shard.write(|commands| commands.accept(QUEUE, &[1, 2]));
        assert_eq!(effects.happened, [Effect::Removed { queue: QUEUE, first: 1, count: 2 }]);
        assert_eq!(effects.freed, Vec::<u64>::new());
        let kept = shard.machine.distil(0, shard.log[0].clone()).unwrap();
        assert!(kept.len() < shard.log[0].len());
        shard.log[0] = kept;
        assert_eq!(shard.body(3).as_deref(), Some("c"));
        assert_eq!(shard.write(|commands| commands.accept(QUEUE, &[3])).freed, [0]);
        assert!(!shard.machine.needs(0));
    }

    #[test]
    fn a_purge_spares_what_is_held() {
        let mut shard = Shard::new();
        shard.write(|commands| ["a", "b", "c"].iter().for_each(|text| commands.enqueue(QUEUE, &message(text))));
        shard.write(put("d"));
        let effects = shard.write(|commands| commands.purge(QUEUE, 3, &[2]));
        assert_eq!(effects.happened, [Effect::Purged { queue: QUEUE, upto: 3 }]);
        let queue = shard.machine.queue(QUEUE).unwrap();
        assert_eq!((queue.len(), queue.next(0), queue.next(3)), (2, Some(2), Some(4)));
    }

    #[test]
    fn a_trimmed_log_lets_go_of_its_oldest_entries_and_its_numbers_stay() {
        let mut shard = Shard::new();
        for texts in [["a", "b"], ["c", "d"], ["e", "f"]] {
            shard.write(|commands| texts.iter().for_each(|text| commands.enqueue(QUEUE, &message(text))));
        }
        let effects = shard.write(|commands| commands.trim(QUEUE, 3));
        assert_eq!((effects.happened, effects.freed), (vec![Effect::Purged { queue: QUEUE, upto: 3 }], vec![0]));
        let kept = shard.machine.distil(1, shard.log[1].clone()).unwrap();
        shard.log[1] = kept;
        shard.machine = restored(&shard.machine);
        let log = shard.machine.queue(QUEUE).unwrap();
        assert_eq!((log.first(), log.last(), log.len()), (4, 6, 3));
        assert_eq!(shard.body(4).as_deref(), Some("d"));
        let effects = shard.write(|commands| commands.trim(QUEUE, u64::MAX));
        assert_eq!(effects.freed, [1, 2]);
        let log = shard.machine.queue(QUEUE).unwrap();
        assert_eq!((log.first(), log.len(), log.bytes()), (7, 0, 0));
    }

    #[test]
    fn a_queue_that_is_deleted_and_filled_in_one_entry_has_the_later_messages() {
        let mut shard = Shard::new();
        let effects = shard.write(|commands| {
            commands.enqueue(QUEUE, &message("before"));
            commands.delete(QUEUE);
            commands.enqueue(QUEUE, &message("after"));
        });
        assert_eq!(effects.happened.len(), 3);
        assert_eq!(shard.body(1).as_deref(), Some("after"));
        assert!(shard.machine.needs(0));
    }

    #[test]
    fn a_restored_state_goes_on_where_the_saved_one_was() {
        let mut shard = Shard::new();
        shard.write(put("m1"));
        shard.write(put("m2"));
        shard.write(|commands| commands.accept(QUEUE, &[2]));
        shard.machine = restored(&shard.machine);
        assert!(shard.machine.needs(0) && !shard.machine.needs(1));
        let effects = shard.write(put("m3"));
        assert_eq!(effects.happened, [Effect::Enqueued { queue: QUEUE, first: 3, count: 1 }]);
        assert_eq!(shard.machine.queue(QUEUE).unwrap().len(), 2);
        assert_eq!(shard.body(1).as_deref(), Some("m1"));
    }
}
