//! Numbers of messages, as ranges: what is settled together mostly follows each other.

use bytes::BytesMut;
use ferrymq_wire::{Malformed, Reader, Write};

/// Bytes of a range.
const RANGE_BYTES: usize = 12;

/// Numbers of messages, in the order in which they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// First number, and how many follow each other.
    ranges: Vec<(u64, u32)>,
}

impl Numbers {
    /// These numbers.
    #[must_use]
    pub fn of(numbers: &[u64]) -> Self {
        let mut ranges: Vec<(u64, u32)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((first, count)) if first.checked_add(u64::from(*count)) == Some(*number) && *count < u32::MAX => {
                    *count += 1;
                }
                _ => ranges.push((*number, 1)),
            }
        }
        Self { ranges }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().flat_map(|(first, count)| *first..first.saturating_add(u64::from(*count)))
    }

    /// First number and count of each range.
    pub(crate) fn ranges(&self) -> &[(u64, u32)] {
        &self.ranges
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.reserve(4 + self.ranges.len() * RANGE_BYTES);
        out.write_u32(u32::try_from(self.ranges.len()).unwrap_or(u32::MAX));
        for (first, count) in &self.ranges {
            out.write_u64(*first);
            out.write_u32(*count);
        }
    }

    pub(crate) fn decode(from: &mut Reader) -> Result<Self, Malformed> {
        let count = from.u32("ranges")? as usize;
        let mut ranges = Vec::with_capacity(count.min(from.left() / RANGE_BYTES));
        for _ in 0..count {
            ranges.push((from.u64("first")?, from.u32("count")?));
        }
        Ok(Self { ranges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_in_their_order() {
        let numbers = [5, 6, 7, 2, 3, 9, 9];
        let ranges = Numbers::of(&numbers);
        assert_eq!(ranges.ranges(), [(5, 3), (2, 2), (9, 1), (9, 1)]);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), numbers);
        let mut out = BytesMut::new();
        ranges.encode(&mut out);
        assert_eq!(Numbers::decode(&mut Reader::new(out.freeze())), Ok(ranges));
    }
}
