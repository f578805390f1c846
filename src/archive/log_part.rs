//! Entries of a shard's log.
//!
//! ```text
//!   group 4 | first index 8 | term of the entry before the first 8 | number of entries 4
//!   entry     term 8 | time 8 | is a command 1 | length 4 | command
//! ```

use bytes::{Bytes, BytesMut};
use ferrymq_wire::{Malformed, Reader, Write as _};

/// Bytes of an entry beside its command.
const ENTRY_BYTES: usize = 8 + 8 + 1 + 4;

/// An entry of a shard's log, committed: it never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The term of the leader that took it.
    pub term: u64,
    /// Milliseconds since 1970, by that leader's clock; 0 where it is no command.
    pub time: u64,
    /// The command, in the encoding of the shard's machine; none where the entry is the log's own, such as a change of members.
    pub command: Option<Bytes>,
}

/// Entries of a shard's log, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// The shard; 0 is the catalogue.
    pub group: u32,
    /// The index of the first of them.
    pub first: u64,
    /// The term of the entry before the first; 0 where there is none.
    pub term_before: u64,
    /// The entries.
    pub entries: Vec<Entry>,
}

impl LogPart {
    /// The index of the entry that comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first.saturating_add(self.entries.len() as u64)
    }

    /// Bytes that an entry takes in a part.
    #[must_use]
    pub fn bytes_of(entry: &Entry) -> usize {
        ENTRY_BYTES + entry.command.as_ref().map_or(0, Bytes::len)
    }

    pub(crate) fn pack(&self, out: &mut BytesMut) {
        out.reserve(24 + self.entries.iter().map(Self::bytes_of).sum::<usize>());
        out.write_u32(self.group);
        out.write_u64(self.first);
        out.write_u64(self.term_before);
        out.write_u32(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        for Entry { term, time, command } in &self.entries {
            out.write_u64(*term);
            out.write_u64(*time);
            out.write_u8(u8::from(command.is_some()));
            out.write_bytes(command.as_deref().unwrap_or_default());
        }
    }

    pub(crate) fn unpack(content: Bytes) -> Result<Self, Malformed> {
        let mut from = Reader::new(content);
        let (group, first, term_before) = (from.u32("group")?, from.u64("first")?, from.u64("term before")?);
        let count = from.u32("entries")? as usize;
        let mut entries = Vec::with_capacity(count.min(from.left() / ENTRY_BYTES));
        let mut last = term_before;
        for _ in 0..count {
            let (term, time) = (from.u64("term")?, from.u64("time")?);
            if term < last {
                return Err(Malformed::Unknown { field: "term", value: term });
            }
            last = term;
            let is_command = from.u8("command")? == 1;
            let command = from.bytes("command")?;
            entries.push(Entry { term, time, command: is_command.then_some(command) });
        }
        if !from.is_empty() {
            return Err(Malformed::Unknown { field: "bytes after the last entry", value: from.left() as u64 });
        }
        Ok(Self { group, first, term_before, entries })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn packed(part: &LogPart) -> Bytes {
        let mut out = BytesMut::new();
        part.pack(&mut out);
        out.freeze()
    }

    #[test]
    fn terms_never_go_back_and_nothing_is_left_over() {
        let entry = |term| Entry { term, time: 7, command: Some(Bytes::from_static(b"publish")) };
        let part = LogPart { group: 3, first: 10, term_before: 4, entries: vec![entry(4), entry(5)] };
        assert_eq!(part.next(), 12);
        assert_eq!(LogPart::unpack(packed(&part)).unwrap(), part);
        let back = LogPart { entries: vec![entry(5), entry(4)], ..part.clone() };
        assert_eq!(LogPart::unpack(packed(&back)), Err(Malformed::Unknown { field: "term", value: 4 }));
        let before = LogPart { term_before: 5, ..part.clone() };
        assert_eq!(LogPart::unpack(packed(&before)), Err(Malformed::Unknown { field: "term", value: 4 }));
        let more = [&*packed(&part), b"more"].concat();
        assert!(LogPart::unpack(more.into()).unwrap_err().to_string().contains("after the last entry"));
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = (0..3_u64, any::<u64>(), any::<Option<Vec<u8>>>());
        vec(entry, 0..20).prop_map(|entries| {
            let mut term = 0;
            let rising = entries.into_iter().map(|(more, time, command)| {
                term += more;
                Entry { term, time, command: command.map(Bytes::from) }
            });
            rising.collect()
        })
    }

    proptest! {
        #[test]
        fn any_part_comes_back(group: u32, first: u64, entries in entries()) {
            let part = LogPart { group, first, term_before: 0, entries };
            prop_assert_eq!(packed(&part).len(), 24 + part.entries.iter().map(LogPart::bytes_of).sum::<usize>());
            prop_assert_eq!(LogPart::unpack(packed(&part)).unwrap(), part);
        }

        #[test]
        fn what_is_no_part_is_refused_or_read(content: Vec<u8>) {
            let _ = LogPart::unpack(content.into());
        }
    }
}
