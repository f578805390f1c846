//! Binary fields in and out: what FerryMQ's own formats (log entries, link frames, snapshots) are written with.
//!
//! Integers are little-endian and of fixed width, byte strings are a 32-bit length and the bytes. [`Reader`] shares the
//! buffer that it reads from: a byte string is a slice of it, never a copy. No length is believed: each is checked
//! against the bytes that are left before anything is taken or made room for.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;

/// What was read is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends in the middle of a field.
    #[error("{field} wants {wanted} bytes where {left} are left")]
    Short {
        /// The field.
        field: &'static str,
        /// How many bytes it wants.
        wanted: usize,
        /// How many there are.
        left: usize,
    },
    /// A text is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotText {
        /// The field.
        field: &'static str,
    },
    /// A number has no meaning there.
    #[error("{field} is {value}, which means nothing here")]
    Unknown {
        /// The field.
        field: &'static str,
        /// The number.
        value: u64,
    },
}

/// Takes fields off the front of a buffer.
#[derive(Debug, Clone)]
pub struct Reader {
    buffer: Bytes,
}

macro_rules! integer {
    ($name:ident, $type:ty, $get:ident) => {
        /// Takes an integer.
        ///
        /// # Errors
        ///
        /// [`Malformed::Short`] where too few bytes are left.
        pub fn $name(&mut self, field: &'static str) -> Result<$type, Malformed> {
            self.need(field, size_of::<$type>())?;
            Ok(self.buffer.$get())
        }
    };
}

impl Reader {
    /// Reads this buffer.
    #[must_use]
    pub fn new(buffer: Bytes) -> Self {
        Self { buffer }
    }

    integer!(u8, u8, get_u8);
    integer!(u16, u16, get_u16_le);
    integer!(u32, u32, get_u32_le);
    integer!(u64, u64, get_u64_le);

    /// Takes a byte string.
    ///
    /// # Errors
    ///
    /// [`Malformed::Short`] where it is longer than what is left.
    pub fn bytes(&mut self, field: &'static str) -> Result<Bytes, Malformed> {
        let length = self.u32(field)? as usize;
        self.need(field, length)?;
        Ok(self.buffer.split_to(length))
    }

    /// Takes a byte string that is UTF-8.
    ///
    /// # Errors
    ///
    /// [`Malformed`] where it is longer than what is left, or no UTF-8.
    pub fn text(&mut self, field: &'static str) -> Result<ByteString, Malformed> {
        ByteString::try_from(self.bytes(field)?).map_err(|_| Malformed::NotText { field })
    }

    /// Whether all is read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.buffer.len()
    }

    /// All that is left.
    #[must_use]
    pub fn rest(self) -> Bytes {
        self.buffer
    }

    fn need(&self, field: &'static str, wanted: usize) -> Result<(), Malformed> {
        let left = self.buffer.len();
        if left < wanted { Err(Malformed::Short { field, wanted, left }) } else { Ok(()) }
    }
}

/// Fields that are taken one after another: from a buffer, or from what comes by pieces.
pub trait Fields {
    /// Takes an integer.
    ///
    /// # Errors
    ///
    /// [`Malformed::Short`] where too few bytes are left; so for all of them.
    fn u8(&mut self, field: &'static str) -> Result<u8, Malformed>;

    /// Takes an integer.
    ///
    /// # Errors
    ///
    /// As [`Fields::u8`].
    fn u32(&mut self, field: &'static str) -> Result<u32, Malformed>;

    /// Takes an integer.
    ///
    /// # Errors
    ///
    /// As [`Fields::u8`].
    fn u64(&mut self, field: &'static str) -> Result<u64, Malformed>;

    /// Takes so many bytes, which are at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`Fields::u8`]; [`Malformed::Unknown`] where they are more.
    fn bytes_within(&mut self, field: &'static str, limit: u32) -> Result<Bytes, Malformed>;
}

impl Fields for Reader {
    fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        Self::u8(self, field)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        Self::u32(self, field)
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, Malformed> {
        Self::u64(self, field)
    }

    fn bytes_within(&mut self, field: &'static str, limit: u32) -> Result<Bytes, Malformed> {
        let bytes = self.bytes(field)?;
        if bytes.len() > limit as usize {
            return Err(Malformed::Unknown { field, value: bytes.len() as u64 });
        }
        Ok(bytes)
    }
}

/// Puts fields at the end of a buffer.
pub trait Write: BufMut {
    /// Puts an 8-bit integer.
    fn write_u8(&mut self, value: u8) {
        self.put_u8(value);
    }

    /// Puts a 32-bit integer.
    fn write_u32(&mut self, value: u32) {
        self.put_u32_le(value);
    }

    /// Puts a 64-bit integer.
    fn write_u64(&mut self, value: u64) {
        self.put_u64_le(value);
    }

    /// Puts a byte string of at most 4 GiB; a longer one is cut, which no caller comes near.
    fn write_bytes(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.put_u32_le(length);
        self.put_slice(bytes.get(..length as usize).unwrap_or(bytes));
    }
}

impl Write for BytesMut {}
impl Write for Vec<u8> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut buffer = BytesMut::new();
        buffer.write_u8(7);
        buffer.write_u32(70_000);
        buffer.write_u64(u64::MAX);
        buffer.write_bytes(b"text");
        let mut reader = Reader::new(buffer.freeze());
        assert_eq!(reader.u8("a"), Ok(7));
        assert_eq!(reader.u32("b"), Ok(70_000));
        assert_eq!(reader.u64("c"), Ok(u64::MAX));
        assert_eq!(reader.text("d").unwrap(), "text");
        assert!(reader.is_empty());
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        let mut reader = Reader::new(Bytes::from_static(&[255, 255, 255, 255, 1]));
        assert_eq!(reader.bytes("body"), Err(Malformed::Short { field: "body", wanted: u32::MAX as usize, left: 1 }));
    }
}
