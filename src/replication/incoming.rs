//! A snapshot that comes in by pieces.

use std::{io, sync::Arc};

use ferrymq_journal::DiskFile;

use crate::state::Saved;

/// The most bytes of a state that are taken from another node; the entries that it needs are not among them.
const MAX_STATE_BYTES: u64 = 64 << 30;

/// A snapshot that comes in by pieces: the entries that its state needs go to the journal at once, the state to a file.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    file: Option<Arc<dyn DiskFile>>,
    length: u64,
    /// Needed entries up to this one have come in. An entry is the same whichever snapshot it comes with, so that one
    /// that follows another that did not come to its end goes on from there.
    entries_to: u64,
}

impl Incoming {
    /// A state begins, in this empty file.
    pub(crate) fn begin(&mut self, file: Arc<dyn DiskFile>) {
        self.file = Some(file);
        self.length = 0;
    }

    pub(crate) fn entries_to(&self) -> u64 {
        self.entries_to
    }

    pub(crate) fn has_entries_to(&mut self, index: u64) {
        self.entries_to = self.entries_to.max(index);
    }

    /// Where a part of the state is to be written: it comes behind those that were taken.
    pub(crate) fn place(&self, offset: u64, length: usize) -> Result<Arc<dyn DiskFile>, String> {
        let end = offset.saturating_add(length as u64);
        let file = self.file.clone().filter(|_| offset == self.length && end <= MAX_STATE_BYTES);
        file.ok_or_else(|| format!("a piece of a snapshot at {offset} does not fit behind {}", self.length))
    }

    /// A part of the state was written; gives the whole of it with the last one.
    pub(crate) fn add(&mut self, length: usize, last: bool) -> Option<Saved> {
        self.length += length as u64;
        if !last {
            return None;
        }
        // Entries that this state does not need are let go of: a later snapshot brings its own.
        self.entries_to = 0;
        Some(Saved::new(self.file.take()?, 0, self.length))
    }
}

/// Writes a part where it goes. Blocks for the disk.
pub(crate) fn write(file: &dyn DiskFile, part: &[u8], offset: u64) -> io::Result<()> {
    if part.is_empty() { Ok(()) } else { file.write_at(part, offset) }
}

#[cfg(test)]
mod tests {
    use ferrymq_journal::{Disk as _, SystemDisk};

    use super::*;

    #[test]
    fn a_state_is_whole_with_its_last_piece_and_pieces_do_not_skip() {
        let directory = tempfile::TempDir::new().unwrap();
        let create = || SystemDisk.create(&directory.path().join("incoming")).unwrap();
        let mut incoming = Incoming::default();
        let add = |incoming: &mut Incoming, offset, part: &[u8], last| {
            let file = incoming.place(offset, part.len())?;
            write(&*file, part, offset).unwrap();
            Ok::<_, String>(incoming.add(part.len(), last))
        };
        incoming.has_entries_to(7);
        assert!(add(&mut incoming, 0, b"ab", false).is_err(), "none has begun");
        incoming.begin(create());
        assert!(add(&mut incoming, 0, b"ab", false).unwrap().is_none());
        assert!(add(&mut incoming, 3, b"d", true).is_err());
        incoming.begin(create());
        assert_eq!(incoming.entries_to(), 7);
        assert!(add(&mut incoming, 0, b"ab", false).unwrap().is_none());
        let whole = add(&mut incoming, 2, b"c", true).unwrap().unwrap();
        assert_eq!((whole.length(), whole.read(0, 9).unwrap()), (3, "abc".into()));
        assert_eq!(incoming.entries_to(), 0);
    }
}
