//! Which entries of a shard's log are still needed, because messages lie in them.

use std::collections::BTreeMap;

/// Entries that are counted together.
const CHUNK: u64 = 256;

/// Messages that are live in each entry, whatever is in it: a bit an entry where each has one at most, else four bytes.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    chunks: BTreeMap<u64, Chunk>,
    /// Positions of the requests that were not taken, for entries that have such.
    left_out: BTreeMap<u64, Box<[u32]>>,
}

#[derive(Debug)]
struct Chunk {
    live: Live,
    needed: u32,
}

#[derive(Debug)]
enum Live {
    Ones([u64; CHUNK as usize / 64]),
    Many(Box<[u32; CHUNK as usize]>),
}

impl Live {
    fn get(&self, at: usize) -> u32 {
        match self {
            Self::Ones(words) => words.get(at / 64).map_or(0, |word| (word >> (at % 64) & 1) as u32),
            Self::Many(counts) => counts.get(at).copied().unwrap_or(0),
        }
    }

    fn set(&mut self, at: usize, live: u32) {
        if live > 1 && matches!(self, Self::Ones(_)) {
            *self = Self::Many(Box::new(std::array::from_fn(|at| self.get(at))));
        }
        match self {
            Self::Ones(words) => {
                if let Some(word) = words.get_mut(at / 64) {
                    *word = *word & !(1 << (at % 64)) | u64::from(live) << (at % 64);
                }
            }
            Self::Many(counts) => {
                if let Some(count) = counts.get_mut(at) {
                    *count = live;
                }
            }
        }
    }
}

impl Entries {
    /// So many more messages lie in this entry.
    pub(crate) fn hold(&mut self, entry: u64, messages: u32) {
        let chunk = self.chunks.entry(entry / CHUNK);
        let chunk = chunk.or_insert_with(|| Chunk { live: Live::Ones([0; CHUNK as usize / 64]), needed: 0 });
        let at = (entry % CHUNK) as usize;
        let live = chunk.live.get(at);
        chunk.needed += u32::from(live == 0 && messages > 0);
        chunk.live.set(at, live + messages);
    }

    /// So many messages of this entry have gone. Gives whether it is not needed any more.
    pub(crate) fn let_go(&mut self, entry: u64, messages: u32) -> bool {
        let Some(chunk) = self.chunks.get_mut(&(entry / CHUNK)) else { return false };
        let at = (entry % CHUNK) as usize;
        let live = chunk.live.get(at);
        if live == 0 {
            return false;
        }
        let live = live.saturating_sub(messages);
        chunk.live.set(at, live);
        if live > 0 {
            return false;
        }
        chunk.needed -= 1;
        if chunk.needed == 0 {
            self.chunks.remove(&(entry / CHUNK));
        }
        true
    }

    /// Messages lie in this entry.
    pub(crate) fn needs(&self, entry: u64) -> bool {
        self.chunks.get(&(entry / CHUNK)).is_some_and(|chunk| chunk.live.get((entry % CHUNK) as usize) > 0)
    }

    /// These requests of an entry were not taken: messages in them do not count.
    pub(crate) fn leave_out(&mut self, entry: u64, requests: Vec<u32>) {
        self.left_out.insert(entry, requests.into());
    }

    /// The requests of an entry that were not taken.
    pub(crate) fn left_out(&self, entry: u64) -> &[u32] {
        self.left_out.get(&entry).map(AsRef::as_ref).unwrap_or_default()
    }

    /// Forgets what was left out of an entry.
    pub(crate) fn forget(&mut self, entry: u64) {
        if !self.left_out.is_empty() {
            self.left_out.remove(&entry);
        }
    }

    /// All entries that are needed and have requests that were not taken.
    pub(crate) fn all_left_out(&self) -> impl Iterator<Item = (u64, &[u32])> {
        self.left_out.iter().map(|(entry, requests)| (*entry, &**requests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_needed_until_its_last_message_goes() {
        let mut entries = Entries::default();
        entries.hold(7, 2);
        entries.hold(700, 1);
        assert!(entries.needs(7) && entries.needs(700) && !entries.needs(8));
        assert!(!entries.let_go(7, 1));
        assert!(entries.let_go(7, 1));
        assert!(!entries.needs(7));
        assert!(!entries.let_go(7, 1));
        assert!(entries.let_go(700, 1));
        assert!(entries.chunks.is_empty());
    }

    #[test]
    fn an_entry_with_many_messages_lies_among_those_with_one() {
        let mut entries = Entries::default();
        (0..CHUNK).for_each(|entry| entries.hold(entry, 1));
        entries.hold(64, 300);
        assert!(entries.needs(63) && entries.needs(64) && entries.needs(255));
        assert!(entries.let_go(63, 1) && !entries.let_go(63, 1));
        assert!(!entries.let_go(64, 300) && entries.let_go(64, 1));
        assert!(!entries.needs(64) && entries.needs(65));
    }
}
