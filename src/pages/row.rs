//! Rows, and the integers that they are packed with: seven bits a byte, the low ones first, as in Protocol Buffers.

/// What a [`Table`](crate::Table) is made of.
pub trait Row: Clone {
    /// Its place in the table: grows from row to row, and never changes.
    fn key(&self) -> u64;

    /// There is nothing in it any more: it may be left out.
    fn is_void(&self) -> bool {
        false
    }

    /// Writes it behind this row; the first of a page, which has none before it, as a whole.
    fn pack(&self, before: Option<&Self>, out: &mut Vec<u8>);

    /// Reads what [`Row::pack`] wrote behind this row; none where that was not written so.
    fn unpack(before: Option<&Self>, from: &mut Unpacker<'_>) -> Option<Self>;
}

/// Reads packed integers.
#[derive(Debug)]
pub struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    /// Reads these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What [`put_number`] wrote.
    pub fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// What [`put_signed`] wrote.
    pub fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

/// Writes an integer: one byte for those below 128, ten at most.
pub fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes an integer that may be below 0: one byte for those of less than 64 either way.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_number(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_they_were_written() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let signed = [0, 1, -1, 63, -64, 64, -65, i64::MAX, i64::MIN];
        let mut out = Vec::new();
        numbers.into_iter().for_each(|number| put_number(&mut out, number));
        signed.into_iter().for_each(|number| put_signed(&mut out, number));
        let mut from = Unpacker::new(&out);
        assert_eq!(numbers.map(|_| from.number().unwrap()), numbers);
        assert_eq!(signed.map(|_| from.signed().unwrap()), signed);
        assert_eq!(from.number(), None);
    }

    #[test]
    fn what_is_no_integer_is_none() {
        assert_eq!(Unpacker::new(&[0x80]).number(), None);
        assert_eq!(Unpacker::new(&[0xff; 11]).number(), None);
    }
}
