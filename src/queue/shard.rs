//! The queues of one shard: every replica applies the same commands in the same order, and ends in the same state.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use ferrymq_wire::{Malformed, Reader, Write};

use crate::{
    Command, Outcome, Queue, QueueId,
    command::{decode_request, encode_outcomes},
    progress::{Progress, Turn},
};

const SNAPSHOT_FORMAT: u8 = 1;

/// What happened, for the leader to act upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A message is in its queue.
    Enqueued {
        /// The queue.
        queue: QueueId,
        /// Its number.
        message: u64,
    },
    /// A message has left its queue.
    Removed {
        /// The queue.
        queue: QueueId,
        /// Its number.
        message: u64,
    },
    /// A message is back in its place.
    Returned {
        /// The queue.
        queue: QueueId,
        /// Its number.
        message: u64,
    },
    /// A queue and its messages are gone.
    Deleted {
        /// The queue.
        queue: QueueId,
    },
}

/// The replicated state of a shard.
#[derive(Debug, Default)]
pub struct ShardMachine {
    progress: Progress,
    queues: BTreeMap<QueueId, Queue>,
    bytes: u64,
}

impl ShardMachine {
    /// Applies an entry, and gives the answer that [`decode_outcomes`](crate::decode_outcomes) reads. What cannot be read
    /// has no effect from there on, on every replica alike.
    pub fn apply(&mut self, entry: Bytes, effects: &mut Vec<Effect>) -> Bytes {
        let mut from = Reader::new(entry);
        let mut outcomes = Vec::new();
        while !from.is_empty() {
            let Ok(request) = decode_request(&mut from) else { break };
            let turn = self.progress.turn(request.node, request.session, request.sequence);
            outcomes.push(match turn {
                Turn::Wanted(expected) => Outcome::OutOfOrder { expected },
                Turn::Taken => Outcome::Applied,
                Turn::Take => {
                    self.take(request.commands, effects);
                    Outcome::Applied
                }
            });
        }
        encode_outcomes(&outcomes)
    }

    /// A queue.
    #[must_use]
    pub fn queue(&self, id: QueueId) -> Option<&Queue> {
        self.queues.get(&id)
    }

    /// Bytes of all messages.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All queues, by number.
    pub fn queues(&self) -> impl Iterator<Item = (QueueId, &Queue)> {
        self.queues.iter().map(|(id, queue)| (*id, queue))
    }

    fn take(&mut self, commands: Bytes, effects: &mut Vec<Effect>) {
        let mut from = Reader::new(commands);
        while !from.is_empty() {
            let Ok(command) = Command::decode(&mut from) else { break };
            self.run(command, effects);
        }
    }

    fn run(&mut self, command: Command, effects: &mut Vec<Effect>) {
        match command {
            Command::Enqueue { queue, message } => {
                self.bytes += message.len() as u64;
                let message = self.queues.entry(queue).or_default().push(message);
                effects.push(Effect::Enqueued { queue, message });
            }
            // Without dead-lettering, what is not wanted just goes.
            Command::Accept { queue, messages } | Command::Discard { queue, messages } => {
                let Some(stored) = self.queues.get_mut(&queue) else { return };
                for message in messages {
                    if let Some(removed) = stored.remove(message) {
                        self.bytes -= removed.message.len() as u64;
                        effects.push(Effect::Removed { queue, message });
                    }
                }
            }
            Command::Requeue { queue, messages } => {
                let Some(stored) = self.queues.get_mut(&queue) else { return };
                for message in messages {
                    if stored.count_return(message) {
                        effects.push(Effect::Returned { queue, message });
                    }
                }
            }
            Command::Create { queue } => {
                self.queues.entry(queue).or_default();
            }
            Command::Delete { queue } => {
                if let Some(removed) = self.queues.remove(&queue) {
                    self.bytes -= removed.bytes();
                    effects.push(Effect::Deleted { queue });
                }
            }
        }
    }

    /// The whole state, as bytes.
    #[must_use]
    pub fn snapshot(&self) -> Bytes {
        let bytes = self.bytes + self.queues.values().map(|queue| 16 * queue.len() as u64 + 32).sum::<u64>();
        let mut out = BytesMut::with_capacity(usize::try_from(bytes).unwrap_or(0) + 64);
        out.write_u8(SNAPSHOT_FORMAT);
        self.progress.save(&mut out);
        out.write_u64(self.queues.len() as u64);
        for (id, queue) in &self.queues {
            out.write_u64(id.get());
            queue.save(&mut out);
        }
        out.freeze()
    }

    /// The state that was saved by [`ShardMachine::snapshot`], of this or an earlier version.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where it is no such state.
    pub fn restore(snapshot: Bytes) -> Result<Self, Malformed> {
        let mut from = Reader::new(snapshot);
        match from.u8("format")? {
            SNAPSHOT_FORMAT => {}
            value => return Err(Malformed::Unknown { field: "format", value: value.into() }),
        }
        let progress = Progress::restore(&mut from)?;
        let mut queues = BTreeMap::new();
        for _ in 0..from.u64("queues")? {
            let id = from.u64("queue")?;
            let id = QueueId::new(id).ok_or(Malformed::Unknown { field: "queue", value: id })?;
            queues.insert(id, Queue::restore(&mut from)?);
        }
        let bytes = queues.values().map(Queue::bytes).sum();
        Ok(Self { progress, queues, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommandWriter, Request, encode_request};

    const QUEUE: QueueId = QueueId::MIN;

    fn entry(sequence: u64, write: impl FnOnce(&mut CommandWriter)) -> Bytes {
        let mut writer = CommandWriter::default();
        write(&mut writer);
        let mut out = BytesMut::new();
        encode_request(&Request { node: 1, session: 1, sequence, commands: writer.take() }, &mut out);
        out.freeze()
    }

    fn message(body: &'static str) -> ferrymq_core::Message {
        ferrymq_core::Message {
            exchange: ferrymq_core::ExchangeName::default_exchange(),
            routing_key: ferrymq_core::RoutingKey::new("q").unwrap(),
            properties: ferrymq_core::Properties::default(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_request_that_comes_twice_takes_effect_once() {
        let mut shard = ShardMachine::default();
        let request = entry(1, |commands| commands.enqueue(QUEUE, &message("m")));
        shard.apply(request.clone(), &mut Vec::new());
        shard.apply(request, &mut Vec::new());
        assert_eq!(shard.queue(QUEUE).unwrap().len(), 1);
    }

    #[test]
    fn a_message_that_comes_back_keeps_its_place_and_is_counted() {
        let mut shard = ShardMachine::default();
        let mut effects = Vec::new();
        shard.apply(entry(1, |commands| commands.enqueue(QUEUE, &message("m"))), &mut effects);
        shard.apply(entry(2, |commands| commands.requeue(QUEUE, &[1])), &mut effects);
        assert_eq!(
            effects,
            [Effect::Enqueued { queue: QUEUE, message: 1 }, Effect::Returned { queue: QUEUE, message: 1 }]
        );
        assert_eq!(shard.queue(QUEUE).unwrap().get(1).unwrap().returns, 1);
    }

    #[test]
    fn what_is_settled_already_has_no_effect() {
        let mut shard = ShardMachine::default();
        shard.apply(entry(1, |commands| commands.enqueue(QUEUE, &message("m"))), &mut Vec::new());
        shard.apply(entry(2, |commands| commands.accept(QUEUE, &[1])), &mut Vec::new());
        let mut effects = Vec::new();
        shard.apply(entry(3, |commands| commands.requeue(QUEUE, &[1])), &mut effects);
        assert_eq!(effects, []);
    }

    #[test]
    fn a_restored_state_goes_on_where_the_saved_one_was() {
        let mut shard = ShardMachine::default();
        shard.apply(entry(1, |commands| commands.enqueue(QUEUE, &message("m1"))), &mut Vec::new());
        shard.apply(entry(2, |commands| commands.enqueue(QUEUE, &message("m2"))), &mut Vec::new());
        shard.apply(entry(3, |commands| commands.accept(QUEUE, &[2])), &mut Vec::new());
        let mut restored = ShardMachine::restore(shard.snapshot()).unwrap();
        let mut effects = Vec::new();
        restored.apply(entry(4, |commands| commands.enqueue(QUEUE, &message("m3"))), &mut effects);
        assert_eq!(effects, [Effect::Enqueued { queue: QUEUE, message: 3 }]);
        assert_eq!(restored.queue(QUEUE).unwrap().len(), 2);
    }
}
