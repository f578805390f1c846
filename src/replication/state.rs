//! A machine's state, by pieces: as it is written, where it lies, as it is read.

use std::{io, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use ferrymq_journal::DiskFile;
use ferrymq_wire::{Fields, Malformed};

/// Bytes of a state that are in memory at a time.
const PIECE: usize = 256 << 10;
/// The most bytes of a state that are taken into memory as a whole.
const MAX_WHOLE_BYTES: u64 = 1 << 30;

/// A machine's state as it was at a moment, to be written while the machine goes on.
pub trait State: Send + 'static {
    /// Writes all of it, piece by piece.
    ///
    /// # Errors
    ///
    /// Those of `pass`, which takes the pieces.
    fn write(&self, pass: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>;
}

impl State for Bytes {
    fn write(&self, pass: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        pass(self)
    }
}

/// A state that lies in a file, from a place in it to its end. The file stays as it is for as long as this is there.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    file: Arc<dyn DiskFile>,
    from: u64,
    length: u64,
}

impl Saved {
    pub(crate) fn new(file: Arc<dyn DiskFile>, from: u64, length: u64) -> Self {
        Self { file, from, length }
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// At most so many bytes from a place in the state on; none at its end. Blocks for the disk.
    pub(crate) fn read(&self, at: u64, most: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut piece = vec![0; left.min(most)];
        self.file.read_at(&mut piece, self.from + at)?;
        Ok(piece.into())
    }
}

impl State for Saved {
    fn write(&self, pass: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut at = 0;
        while at < self.length {
            let piece = self.read(at, PIECE)?;
            pass(&piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

/// Reads a state, a piece in memory at a time. Blocks for the disk.
#[derive(Debug)]
pub struct StateReader {
    piece: Bytes,
    /// What comes behind the piece, and how far it was read.
    rest: Option<(Saved, u64)>,
    failed: Option<io::Error>,
}

impl StateReader {
    pub(crate) fn new(saved: Saved) -> Self {
        Self { piece: Bytes::new(), rest: Some((saved, 0)), failed: None }
    }

    /// A state that is in memory as a whole.
    #[must_use]
    pub fn of(state: Bytes) -> Self {
        Self { piece: state, rest: None, failed: None }
    }

    /// All that was not read yet, for states that are small.
    ///
    /// # Errors
    ///
    /// A sentence: it cannot be read, or is of more than a GiB.
    pub fn whole(&mut self) -> Result<Bytes, String> {
        let left = self.rest.as_ref().map_or(0, |(saved, at)| saved.length() - at);
        if left > MAX_WHOLE_BYTES {
            return Err(format!("a state of {left} bytes is too much"));
        }
        let wanted = self.piece.len() + usize::try_from(left).map_err(|error| error.to_string())?;
        self.have("state", wanted).map_err(|error| error.to_string())?;
        Ok(std::mem::take(&mut self.piece))
    }

    /// What the disk said, where reading ended by that.
    pub(crate) fn failed(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    fn have(&mut self, field: &'static str, wanted: usize) -> Result<(), Malformed> {
        while self.piece.len() < wanted {
            let left = self.piece.len();
            let short = Malformed::Short { field, wanted, left };
            let Some((saved, at)) = &mut self.rest else { return Err(short) };
            match saved.read(*at, PIECE.max(wanted - left)) {
                Ok(next) if next.is_empty() => return Err(short),
                Ok(next) => {
                    *at += next.len() as u64;
                    self.piece = if left == 0 { next } else { Bytes::from([&*self.piece, &next].concat()) };
                }
                Err(error) => {
                    self.failed = Some(error);
                    return Err(short);
                }
            }
        }
        Ok(())
    }
}

impl Fields for StateReader {
    fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.have(field, 1)?;
        Ok(self.piece.get_u8())
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.have(field, 4)?;
        Ok(self.piece.get_u32_le())
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, Malformed> {
        self.have(field, 8)?;
        Ok(self.piece.get_u64_le())
    }

    fn bytes_within(&mut self, field: &'static str, limit: u32) -> Result<Bytes, Malformed> {
        let length = self.u32(field)?;
        if length > limit {
            return Err(Malformed::Unknown { field, value: length.into() });
        }
        self.have(field, length as usize)?;
        Ok(self.piece.split_to(length as usize))
    }
}

/// All that a state is written as, in memory.
///
/// # Errors
///
/// It cannot be written, because part of it cannot be read.
pub fn in_memory(state: &dyn State) -> io::Result<Bytes> {
    let mut out = BytesMut::new();
    state.write(&mut |piece| {
        out.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use ferrymq_journal::{Disk as _, SystemDisk};

    use super::*;

    #[test]
    fn fields_are_read_across_pieces() {
        let directory = tempfile::TempDir::new().unwrap();
        let file = SystemDisk.create(&directory.path().join("state")).unwrap();
        let mut out = BytesMut::from(&b"head"[..]);
        for number in 0..100_000_u32 {
            out.put_u8(7);
            out.put_u64_le(number.into());
            out.put_u32_le(5);
            out.extend_from_slice(b"abcde");
        }
        file.write_at(&out, 0).unwrap();
        let saved = Saved::new(file, 4, out.len() as u64 - 4);
        let mut from = StateReader::new(saved.clone());
        for number in 0..100_000 {
            assert_eq!((from.u8("a"), from.u64("b")), (Ok(7), Ok(number)));
            assert_eq!(from.bytes_within("c", 5).unwrap(), "abcde");
        }
        assert!(from.u8("a").is_err());
        assert_eq!(StateReader::new(saved.clone()).whole().unwrap(), out[4..]);
        assert_eq!(in_memory(&saved).unwrap(), out[4..]);
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_read() {
        let mut from = StateReader::of(Bytes::from_static(&[255, 255, 255, 255, 1]));
        assert_eq!(from.bytes_within("c", 5), Err(Malformed::Unknown { field: "c", value: u32::MAX.into() }));
    }
}
