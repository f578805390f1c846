//! What a queue stores, the same on every replica.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use ferrymq_wire::{Malformed, Reader, Write};

/// A message in its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The message, encoded (see [`decode_message`](crate::decode_message)).
    pub message: Bytes,
    /// How often it was handed out and came back.
    pub returns: u32,
}

/// A queue: its messages by number. Numbers count up from 1 and are never used again; the order of the numbers is the
/// queue's order.
#[derive(Debug, Default)]
pub struct Queue {
    last: u64,
    messages: BTreeMap<u64, Stored>,
    bytes: u64,
}

impl Queue {
    /// Messages, handed out ones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of all messages.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A message by its number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Stored> {
        self.messages.get(&number)
    }

    /// Messages with this number or a higher one, in order.
    pub fn from(&self, number: u64) -> impl Iterator<Item = (u64, &Stored)> {
        self.messages.range(number..).map(|(number, stored)| (*number, stored))
    }

    pub(crate) fn push(&mut self, message: Bytes) -> u64 {
        self.last += 1;
        self.bytes += message.len() as u64;
        self.messages.insert(self.last, Stored { message, returns: 0 });
        self.last
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Stored> {
        let stored = self.messages.remove(&number)?;
        self.bytes -= stored.message.len() as u64;
        Some(stored)
    }

    pub(crate) fn count_return(&mut self, number: u64) -> bool {
        match self.messages.get_mut(&number) {
            Some(stored) => {
                stored.returns = stored.returns.saturating_add(1);
                true
            }
            None => false,
        }
    }

    pub(crate) fn save(&self, out: &mut BytesMut) {
        out.write_u64(self.last);
        out.write_u64(self.messages.len() as u64);
        for (number, stored) in &self.messages {
            out.write_u64(*number);
            out.write_u32(stored.returns);
            out.write_bytes(&stored.message);
        }
    }

    pub(crate) fn restore(from: &mut Reader) -> Result<Self, Malformed> {
        let mut queue = Self { last: from.u64("last")?, ..Self::default() };
        for _ in 0..from.u64("messages")? {
            let number = from.u64("number")?;
            let returns = from.u32("returns")?;
            let message = from.bytes("message")?;
            queue.bytes += message.len() as u64;
            queue.messages.insert(number, Stored { message, returns });
        }
        Ok(queue)
    }
}
