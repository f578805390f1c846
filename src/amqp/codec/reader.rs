//! Reads the elementary types, section 4.2.5.

use bytes::Bytes;
use bytestring::ByteString;

use super::DecodeError;

/// Walks over the payload of a frame. What it gives out shares the payload's memory.
#[derive(Debug)]
pub struct Reader<'a> {
    whole: &'a Bytes,
    at: usize,
    end: usize,
    /// The octet that bits are taken from, and the next bit of it; 8 where none is begun.
    bits: u8,
    next_bit: u8,
}

impl<'a> Reader<'a> {
    /// From the start.
    #[must_use]
    pub fn new(whole: &'a Bytes) -> Self {
        Self { whole, at: 0, end: whole.len(), bits: 0, next_bit: 8 }
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.end - self.at
    }

    /// Steps over so many bytes and gives them.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        self.next_bit = 8;
        let left = self.left();
        let slice = (count <= left)
            .then(|| self.whole.get(self.at..self.at + count))
            .flatten()
            .ok_or(DecodeError::Truncated { wanted: count, left })?;
        self.at += count;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// So many bytes, not copied.
    pub(crate) fn shared(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        let from = self.at;
        self.take(count)?;
        Ok(if count == 0 { Bytes::new() } else { self.whole.slice(from..from + count) })
    }

    /// Ends the walk after so many bytes, and gives the end that was there before.
    pub(crate) fn narrow(&mut self, count: usize) -> Result<usize, DecodeError> {
        let left = self.left();
        if count > left {
            return Err(DecodeError::Truncated { wanted: count, left });
        }
        Ok(std::mem::replace(&mut self.end, self.at + count))
    }

    /// Undoes [`Self::narrow`].
    pub(crate) fn widen(&mut self, end: usize) {
        self.end = end;
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// The next bit; bits that follow each other share an octet.
    pub(crate) fn bit(&mut self) -> Result<bool, DecodeError> {
        if self.next_bit == 8 {
            self.bits = self.u8()?;
            self.next_bit = 0;
        }
        let bit = self.bits >> self.next_bit & 1 == 1;
        self.next_bit += 1;
        Ok(bit)
    }

    pub(crate) fn short_string(&mut self) -> Result<ByteString, DecodeError> {
        let length = self.u8()?;
        if length == 0 {
            return Ok(ByteString::new());
        }
        ByteString::try_from(self.shared(length.into())?).map_err(|_| DecodeError::NotText)
    }

    pub(crate) fn long_string(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.u32()?;
        self.shared(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Checks that all was read.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Trailing`] where it was not.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}
