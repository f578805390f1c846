//! A snapshot that comes in by pieces.

use bytes::{Bytes, BytesMut};

/// The most bytes of a state that are taken from another node; the entries that it needs are not among them.
const MAX_STATE_BYTES: usize = 4 << 30;

/// A snapshot that comes in by pieces: the entries that its state needs go to the journal at once, the state gathers here.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    state: BytesMut,
    /// Needed entries up to this one have come in. An entry is the same whichever snapshot it comes with, so that one
    /// that follows another that did not come to its end goes on from there.
    entries_to: u64,
}

impl Incoming {
    pub(crate) fn begin(&mut self) {
        self.state = BytesMut::new();
    }

    pub(crate) fn entries_to(&self) -> u64 {
        self.entries_to
    }

    pub(crate) fn has_entries_to(&mut self, index: u64) {
        self.entries_to = self.entries_to.max(index);
    }

    /// Takes a part of the state; gives the whole of it with the last one.
    pub(crate) fn add(&mut self, offset: u64, part: &[u8], last: bool) -> Result<Option<Bytes>, String> {
        if self.state.len() as u64 != offset || self.state.len() + part.len() > MAX_STATE_BYTES {
            return Err(format!("a piece of a snapshot at {offset} does not fit behind {}", self.state.len()));
        }
        self.state.extend_from_slice(part);
        if !last {
            return Ok(None);
        }
        // Entries that this state does not need are let go of: a later snapshot brings its own.
        self.entries_to = 0;
        Ok(Some(std::mem::take(&mut self.state).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_whole_with_its_last_piece_and_pieces_do_not_skip() {
        let mut incoming = Incoming::default();
        incoming.has_entries_to(7);
        assert_eq!(incoming.add(0, b"ab", false), Ok(None));
        assert!(incoming.add(3, b"d", true).is_err());
        incoming.begin();
        assert_eq!(incoming.entries_to(), 7);
        assert_eq!(incoming.add(0, b"ab", false), Ok(None));
        assert_eq!(incoming.add(2, b"c", true), Ok(Some(Bytes::from_static(b"abc"))));
        assert_eq!(incoming.entries_to(), 0);
    }
}
