//! The state of a shard at an index: what a restore begins with, before the log behind it.

use bytes::{Bytes, BytesMut};
use ferrymq_wire::{Malformed, Reader, Write as _};
use serde::{Deserialize, Serialize};

/// What a base is, and of how many parts. It is written last: a base without it is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// The shard; 0 is the catalogue.
    pub group: u32,
    /// Its name among the bases of the shard: see [`Base::id`].
    pub id: String,
    /// The term of the last entry that is in the state.
    pub term: u64,
    /// The index of that entry.
    pub index: u64,
    /// The last entry that was applied when all of it was read. What the state needs and was given free up to there is not
    /// in the base: it serves for this index and later ones.
    pub complete_from: u64,
    /// When that was, in milliseconds since 1970.
    pub complete_at: u64,
    /// The part of the log that has the entry behind the base begins with this one.
    pub log_from: u64,
    /// What the archive has not got between the log before it and the base; none where there is no such gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// Parts with entries that the state needs: numbers 0, 1, ...
    pub entry_parts: u32,
    /// Parts of the state, which come after those.
    pub state_parts: u32,
    /// Bytes of all parts, before they are compressed.
    pub bytes: u64,
}

/// Some of a shard's log that is not in the archive, up to a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The first entry that is missing.
    pub from: u64,
    /// All that was confirmed before this time is archived, in milliseconds since 1970; 0 where that is not known.
    pub complete_until: u64,
}

impl Base {
    /// The name of a base at this index. Of two that are made at the same index, each has its own.
    #[must_use]
    pub fn id(index: u64, random: u32) -> String {
        format!("{index:020}-{random:08x}")
    }

    /// The index in an id of [`Base::id`], which sorts as it does.
    #[must_use]
    pub fn index_in(id: &str) -> &str {
        id.split('-').next().unwrap_or(id)
    }

    /// Whether all that its state needs is there where the log's last entry is the one before `log_ends`: what was given free
    /// while it was made is in the log behind it only.
    #[must_use]
    pub fn is_whole(&self, log_ends: u64) -> bool {
        self.complete_from == self.index || self.complete_from < log_ends
    }
}

/// Entries that a state needs, index and record.
pub type NeededEntry = (u64, Bytes);

/// Entries as a part of a base.
pub(crate) fn pack_entries(entries: &[NeededEntry], out: &mut BytesMut) {
    out.reserve(entries.iter().map(|(_, record)| 12 + record.len()).sum());
    for (index, record) in entries {
        out.write_u64(*index);
        out.write_bytes(record);
    }
}

pub(crate) fn unpack_entries(content: Bytes) -> Result<Vec<NeededEntry>, Malformed> {
    let mut from = Reader::new(content);
    let mut entries = Vec::new();
    while !from.is_empty() {
        entries.push((from.u64("index")?, from.bytes("entry")?));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_come_back(entries: Vec<(u64, Vec<u8>)>) {
            let entries: Vec<NeededEntry> = entries.into_iter().map(|(index, record)| (index, record.into())).collect();
            let mut out = BytesMut::new();
            pack_entries(&entries, &mut out);
            prop_assert_eq!(unpack_entries(out.freeze()).unwrap(), entries);
        }

        #[test]
        fn what_is_none_is_refused_or_read(content: Vec<u8>) {
            let _ = unpack_entries(content.into());
        }
    }
}
