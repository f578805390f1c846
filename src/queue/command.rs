//! What is replicated, as bytes. These are on disks: numbers never change their meaning.
//!
//! An entry of a shard's log is a list of [`Request`]s, one after the other as they came in from the nodes. The leader puts
//! them together without reading them; [`ShardMachine::apply`](crate::ShardMachine::apply) does, on every replica.

use bytes::{BufMut, Bytes, BytesMut};
use ferrymq_core::Message;
use ferrymq_wire::{Malformed, Reader, Write};

use crate::{Holding, Numbers, QueueId, message};

const ENQUEUE: u8 = 1;
const ACCEPT: u8 = 2;
const REQUEUE: u8 = 3;
const DISCARD: u8 = 4;
const CREATE: u8 = 5;
const DELETE: u8 = 6;
const PURGE: u8 = 7;
const TRIM: u8 = 8;

/// Commands of one node for one shard. A node numbers its requests to a shard, so that one that is sent again after a
/// change of leader takes effect once, and none takes effect before an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The node.
    pub node: u64,
    /// Its run: another number each time the node starts.
    pub session: u64,
    /// Counts the requests of this run to this shard, from 1.
    pub sequence: u64,
    /// The commands, one after the other.
    pub commands: Bytes,
}

/// Puts a request at the end of an entry.
pub fn encode_request(request: &Request, out: &mut BytesMut) {
    out.reserve(28 + request.commands.len());
    out.write_u64(request.node);
    out.write_u64(request.session);
    out.write_u64(request.sequence);
    out.write_bytes(&request.commands);
}

pub(crate) fn decode_request(from: &mut Reader) -> Result<Request, Malformed> {
    Ok(Request {
        node: from.u64("node")?,
        session: from.u64("session")?,
        sequence: from.u64("sequence")?,
        commands: from.bytes("commands")?,
    })
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect, now or earlier.
    Applied,
    /// It came before its time: this one is wanted first.
    OutOfOrder {
        /// The sequence that is wanted.
        expected: u64,
    },
}

pub(crate) fn encode_outcomes(outcomes: &[Outcome]) -> Bytes {
    let mut out = BytesMut::with_capacity(outcomes.len() * 9);
    for outcome in outcomes {
        match outcome {
            Outcome::Applied => out.write_u8(0),
            Outcome::OutOfOrder { expected } => {
                out.write_u8(1);
                out.write_u64(*expected);
            }
        }
    }
    out.freeze()
}

/// The outcomes of an entry's requests, in their order, from what its application answered.
///
/// # Errors
///
/// [`Malformed`] where it is no such answer.
pub fn decode_outcomes(reply: Bytes) -> Result<Vec<Outcome>, Malformed> {
    let mut from = Reader::new(reply);
    let mut outcomes = Vec::new();
    while !from.is_empty() {
        outcomes.push(match from.u8("outcome")? {
            0 => Outcome::Applied,
            1 => Outcome::OutOfOrder { expected: from.u64("expected")? },
            value => return Err(Malformed::Unknown { field: "outcome", value: value.into() }),
        });
    }
    Ok(outcomes)
}

/// One command, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A message for a queue, which is made where it is not there yet.
    Enqueue {
        /// The queue.
        queue: QueueId,
        /// The message, encoded.
        message: Bytes,
    },
    /// These messages are done.
    Accept {
        /// The queue.
        queue: QueueId,
        /// Their numbers.
        messages: Numbers,
    },
    /// These messages go back to their places.
    Requeue {
        /// The queue.
        queue: QueueId,
        /// The node whose consumers held them.
        node: u64,
        /// How often they had come back when they were handed out.
        returns: u32,
        /// Where the leader of a shard says that the node has lost them: its term. A later leader knows by itself who
        /// holds what, so this has an effect in that term only.
        term: Option<u64>,
        /// Their numbers.
        messages: Numbers,
    },
    /// These messages are not wanted.
    Discard {
        /// The queue.
        queue: QueueId,
        /// Their numbers.
        messages: Numbers,
    },
    /// The queue is to be there.
    Create {
        /// The queue.
        queue: QueueId,
    },
    /// The queue and its messages go.
    Delete {
        /// The queue.
        queue: QueueId,
    },
    /// Messages up to a number go, but for some.
    Purge {
        /// The queue.
        queue: QueueId,
        /// The last that goes.
        upto: u64,
        /// Those that stay.
        except: Numbers,
    },
    /// The oldest messages of a log go, up to a number.
    Trim {
        /// The log.
        queue: QueueId,
        /// The last that goes.
        upto: u64,
    },
}

impl Command {
    pub(crate) fn decode(from: &mut Reader) -> Result<Self, Malformed> {
        let kind = from.u8("command")?;
        let queue = QueueId::new(from.u64("queue")?).ok_or(Malformed::Unknown { field: "queue", value: 0 })?;
        Ok(match kind {
            ENQUEUE => Self::Enqueue { queue, message: from.bytes("message")? },
            ACCEPT => Self::Accept { queue, messages: Numbers::decode(from)? },
            REQUEUE => {
                let (node, returns) = (from.u64("node")?, from.u32("returns")?);
                let term = Some(from.u64("term")?).filter(|term| *term > 0);
                Self::Requeue { queue, node, returns, term, messages: Numbers::decode(from)? }
            }
            DISCARD => Self::Discard { queue, messages: Numbers::decode(from)? },
            CREATE => Self::Create { queue },
            DELETE => Self::Delete { queue },
            PURGE => Self::Purge { queue, upto: from.u64("upto")?, except: Numbers::decode(from)? },
            TRIM => Self::Trim { queue, upto: from.u64("upto")? },
            value => return Err(Malformed::Unknown { field: "command", value: value.into() }),
        })
    }
}

/// Puts the head of a request of which only messages are left, without the length of its commands; gives where that is to
/// be put.
pub(crate) fn encode_emptied(out: &mut BytesMut) -> usize {
    (0..3).for_each(|_| out.write_u64(0));
    let length_at = out.len();
    out.put_u32_le(0);
    length_at
}

/// Puts a message, encoded already, for a queue.
pub(crate) fn encode_enqueue(queue: QueueId, message: &[u8], out: &mut BytesMut) {
    out.write_u8(ENQUEUE);
    out.write_u64(queue.get());
    out.write_bytes(message);
}

/// Puts commands one after the other into a request's bytes.
#[derive(Debug, Default)]
pub struct CommandWriter {
    out: BytesMut,
}

impl CommandWriter {
    /// A message for a queue.
    pub fn enqueue(&mut self, queue: QueueId, message: &Message) {
        self.out.reserve(message.size() + 32);
        self.head(ENQUEUE, queue);
        let length_at = self.out.len();
        self.out.put_u32_le(0);
        message::encode(message, &mut self.out);
        let length = u32::try_from(self.out.len() - length_at - 4).unwrap_or(u32::MAX);
        self.out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// These messages are done.
    pub fn accept(&mut self, queue: QueueId, messages: &[u64]) {
        self.numbers(ACCEPT, queue, messages);
    }

    /// These messages, which consumers of this node held, go back to their places.
    pub fn requeue(&mut self, queue: QueueId, node: u64, held: &[Holding]) {
        self.back(queue, node, held, None);
    }

    /// These messages, which a node has lost, go back to their places: so says the leader of a term, from 1.
    pub fn take_back(&mut self, queue: QueueId, node: u64, held: &[Holding], term: u64) {
        self.back(queue, node, held, Some(term));
    }

    fn back(&mut self, queue: QueueId, node: u64, held: &[Holding], term: Option<u64>) {
        for alike in held.chunk_by(|one, next| one.returns == next.returns) {
            self.head(REQUEUE, queue);
            self.out.write_u64(node);
            self.out.write_u32(alike.first().map_or(0, |holding| holding.returns));
            self.out.write_u64(term.unwrap_or(0));
            let messages: Vec<u64> = alike.iter().map(|holding| holding.message).collect();
            Numbers::of(&messages).encode(&mut self.out);
        }
    }

    /// These messages are not wanted.
    pub fn discard(&mut self, queue: QueueId, messages: &[u64]) {
        self.numbers(DISCARD, queue, messages);
    }

    /// The queue is to be there.
    pub fn create(&mut self, queue: QueueId) {
        self.head(CREATE, queue);
    }

    /// The queue and its messages go.
    pub fn delete(&mut self, queue: QueueId) {
        self.head(DELETE, queue);
    }

    /// Messages up to this number go, but for these.
    pub fn purge(&mut self, queue: QueueId, upto: u64, except: &[u64]) {
        self.head(PURGE, queue);
        self.out.write_u64(upto);
        Numbers::of(except).encode(&mut self.out);
    }

    /// The oldest messages of a log go, up to this number.
    pub fn trim(&mut self, queue: QueueId, upto: u64) {
        self.head(TRIM, queue);
        self.out.write_u64(upto);
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Nothing was put.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The commands so far; the writer is empty again.
    pub fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    fn head(&mut self, kind: u8, queue: QueueId) {
        self.out.write_u8(kind);
        self.out.write_u64(queue.get());
    }

    fn numbers(&mut self, kind: u8, queue: QueueId, numbers: &[u64]) {
        self.head(kind, queue);
        Numbers::of(numbers).encode(&mut self.out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_as_they_were_written() {
        let queue = QueueId::new(5).unwrap();
        let mut writer = CommandWriter::default();
        writer.create(queue);
        writer.accept(queue, &[1, 2, 3]);
        writer.requeue(queue, 1, &[Holding { message: 4, returns: 2 }]);
        writer.take_back(queue, 3, &[Holding { message: 5, returns: 0 }], 8);
        writer.purge(queue, 9, &[4, 6]);
        writer.trim(queue, 7);
        writer.delete(queue);
        let mut from = Reader::new(writer.take());
        assert_eq!(Command::decode(&mut from), Ok(Command::Create { queue }));
        assert_eq!(Command::decode(&mut from), Ok(Command::Accept { queue, messages: Numbers::of(&[1, 2, 3]) }));
        assert_eq!(
            Command::decode(&mut from),
            Ok(Command::Requeue { queue, node: 1, returns: 2, term: None, messages: Numbers::of(&[4]) })
        );
        assert_eq!(
            Command::decode(&mut from),
            Ok(Command::Requeue { queue, node: 3, returns: 0, term: Some(8), messages: Numbers::of(&[5]) })
        );
        let purge = Command::Purge { queue, upto: 9, except: Numbers::of(&[4, 6]) };
        assert_eq!(Command::decode(&mut from), Ok(purge));
        assert_eq!(Command::decode(&mut from), Ok(Command::Trim { queue, upto: 7 }));
        assert_eq!(Command::decode(&mut from), Ok(Command::Delete { queue }));
        assert!(from.is_empty());
    }

    #[test]
    fn outcomes_are_read_as_they_were_written() {
        let outcomes = [Outcome::Applied, Outcome::OutOfOrder { expected: 7 }, Outcome::Applied];
        assert_eq!(decode_outcomes(encode_outcomes(&outcomes)), Ok(outcomes.to_vec()));
    }
}
