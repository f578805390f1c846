//! An entry of the log, opened: the messages that it put into queues.

use bytes::{Bytes, BytesMut};
use ferrymq_wire::{Malformed, Reader};

use crate::{
    Command, QueueId,
    command::{decode_request, encode_emptied},
};

/// The messages of an entry, by queue and ordinal. They are slices of the entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenedEntry {
    /// By queue, each queue's messages in their order.
    queues: Vec<(QueueId, Vec<Bytes>)>,
}

impl OpenedEntry {
    /// Opens an entry, of which these requests were not taken: see [`ShardMachine::left_out`](crate::ShardMachine::left_out).
    #[must_use]
    pub fn new(entry: Bytes, left_out: &[u32]) -> Self {
        let mut found: Vec<(QueueId, Vec<Bytes>)> = Vec::new();
        for (request, commands) in requests(entry) {
            if left_out.contains(&request) {
                continue;
            }
            for command in Commands(Reader::new(commands)) {
                let Command::Enqueue { queue, message } = command else { continue };
                match found.last_mut().filter(|(last, _)| *last == queue) {
                    Some((_, messages)) => messages.push(message),
                    None => found.push((queue, vec![message])),
                }
            }
        }
        Self { queues: by_queue(found) }
    }

    /// A message. An entry that was written again without what is not needed has empty ones in the place of those.
    #[must_use]
    pub fn message(&self, queue: QueueId, ordinal: u32) -> Option<&Bytes> {
        let at = self.queues.binary_search_by_key(&queue, |(queue, _)| *queue).ok()?;
        self.queues.get(at)?.1.get(ordinal as usize)
    }
}

/// Puts what belongs to the same queue together, in its order.
fn by_queue(mut found: Vec<(QueueId, Vec<Bytes>)>) -> Vec<(QueueId, Vec<Bytes>)> {
    if found.len() > 1 {
        found.sort_by_key(|(queue, _)| *queue);
        found.dedup_by(|next, one| {
            let same = next.0 == one.0;
            if same {
                one.1.append(&mut next.1);
            }
            same
        });
    }
    found
}

/// The requests of an entry: position, and commands. Ends where it cannot be read, as on every replica.
fn requests(entry: Bytes) -> impl Iterator<Item = (u32, Bytes)> {
    let mut from = Reader::new(entry);
    (0..).map_while(move |position| {
        if from.is_empty() {
            return None;
        }
        Some((position, decode_request(&mut from).ok()?.commands))
    })
}

/// Commands, up to the first that cannot be read.
pub(crate) struct Commands(pub(crate) Reader);

impl Iterator for Commands {
    type Item = Command;

    fn next(&mut self) -> Option<Command> {
        if self.0.is_empty() { None } else { Command::decode(&mut self.0).ok() }
    }
}

/// The entry with only those messages that are wanted; the others are empty, so that ordinals stay what they are, and
/// nothing else is left of it.
pub(crate) fn distil(
    entry: Bytes,
    left_out: &[u32],
    mut wanted: impl FnMut(QueueId, u32) -> bool,
) -> Result<Bytes, Malformed> {
    let mut out = BytesMut::with_capacity(entry.len());
    let mut ordinals: Vec<(QueueId, u32)> = Vec::new();
    for (request, commands) in requests(entry) {
        let length_at = encode_emptied(&mut out);
        if !left_out.contains(&request) {
            for command in Commands(Reader::new(commands)) {
                let Command::Enqueue { queue, message } = command else { continue };
                let at = ordinals.iter().position(|(known, _)| *known == queue).unwrap_or_else(|| {
                    ordinals.push((queue, 0));
                    ordinals.len() - 1
                });
                let Some((_, ordinal)) = ordinals.get_mut(at) else { continue };
                crate::command::encode_enqueue(queue, if wanted(queue, *ordinal) { &message } else { &[] }, &mut out);
                *ordinal += 1;
            }
        }
        let length = u32::try_from(out.len() - length_at - 4).unwrap_or(u32::MAX);
        out.get_mut(length_at..length_at + 4)
            .ok_or(Malformed::Short { field: "entry", wanted: 4, left: 0 })?
            .copy_from_slice(&length.to_le_bytes());
    }
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommandWriter, Request, encode_request, fixture::message};

    const A: QueueId = QueueId::MIN;

    fn body(opened: &OpenedEntry, queue: QueueId, ordinal: u32) -> String {
        let bytes = opened.message(queue, ordinal).unwrap().clone();
        String::from_utf8(crate::decode_message(bytes).unwrap().body.to_vec()).unwrap()
    }

    fn entry(requests: &[&[(QueueId, &str)]]) -> Bytes {
        let mut out = BytesMut::new();
        for (sequence, messages) in (1..).zip(requests) {
            let mut writer = CommandWriter::default();
            for (queue, text) in *messages {
                writer.enqueue(*queue, &message(text));
                writer.accept(*queue, &[99]);
            }
            encode_request(&Request { node: 1, session: 1, sequence, commands: writer.take() }, &mut out);
        }
        out.freeze()
    }

    #[test]
    fn messages_are_found_by_queue_and_ordinal_without_what_was_left_out() {
        let b = QueueId::new(2).unwrap();
        let entry = entry(&[&[(A, "a0"), (b, "b0"), (A, "a1")], &[(A, "twice")], &[(b, "b1"), (A, "a2")]]);
        let opened = OpenedEntry::new(entry, &[1]);
        assert_eq!(["a0", "a1", "a2"], [0, 1, 2].map(|ordinal| body(&opened, A, ordinal)));
        assert_eq!(["b0", "b1"], [0, 1].map(|ordinal| body(&opened, b, ordinal)));
        assert_eq!(opened.message(b, 2), None);
    }

    #[test]
    fn a_distilled_entry_has_what_is_wanted_in_its_place() {
        let whole = entry(&[&[(A, "a0"), (A, "a1")], &[(A, "twice")], &[(A, "a2")]]);
        let distilled = distil(whole.clone(), &[1], |_, ordinal| ordinal == 2).unwrap();
        assert!(distilled.len() < whole.len());
        let opened = OpenedEntry::new(distilled.clone(), &[1]);
        assert_eq!(body(&opened, A, 2), "a2");
        assert!(opened.message(A, 0).unwrap().is_empty());
        assert_eq!(distil(distilled.clone(), &[1], |_, ordinal| ordinal == 2), Ok(distilled));
    }
}
