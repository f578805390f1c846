//! Which entries of a shard's log are still needed, because messages lie in them.

use std::collections::BTreeMap;

/// Entries that are counted together.
const CHUNK: u64 = 256;

/// Messages that are live in each entry: four bytes an entry, whatever is in it.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    chunks: BTreeMap<u64, Chunk>,
    /// Positions of the requests that were not taken, for entries that have such.
    left_out: BTreeMap<u64, Box<[u32]>>,
}

#[derive(Debug)]
struct Chunk {
    live: Box<[u32; CHUNK as usize]>,
    needed: u32,
}

impl Entries {
    /// So many more messages lie in this entry.
    pub(crate) fn hold(&mut self, entry: u64, messages: u32) {
        let chunk = self.chunks.entry(entry / CHUNK);
        let chunk = chunk.or_insert_with(|| Chunk { live: Box::new([0; CHUNK as usize]), needed: 0 });
        if let Some(live) = chunk.live.get_mut((entry % CHUNK) as usize) {
            chunk.needed += u32::from(*live == 0 && messages > 0);
            *live += messages;
        }
    }

    /// So many messages of this entry have gone. Gives whether it is not needed any more.
    pub(crate) fn let_go(&mut self, entry: u64, messages: u32) -> bool {
        let Some(chunk) = self.chunks.get_mut(&(entry / CHUNK)) else { return false };
        let Some(live) = chunk.live.get_mut((entry % CHUNK) as usize).filter(|live| **live > 0) else { return false };
        *live = live.saturating_sub(messages);
        if *live > 0 {
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
        let chunk = self.chunks.get(&(entry / CHUNK));
        chunk.and_then(|chunk| chunk.live.get((entry % CHUNK) as usize)).is_some_and(|live| *live > 0)
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
}
