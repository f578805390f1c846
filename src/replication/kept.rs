//! Where an entry lies that the log has purged and the machine needs.

use ferrymq_journal::Position;
use ferrymq_pages::{Row, Unpacker, put_number, put_signed};

/// An entry that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its index in the log.
    pub(crate) index: u64,
    pub(crate) position: Position,
}

/// Behind another that lies before it in the same segment, mostly five bytes.
impl Row for Kept {
    fn key(&self) -> u64 {
        self.index
    }

    fn pack(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        let (index, segment, end) = ends(before);
        let Position { segment: in_segment, offset, length } = self.position;
        put_number(out, self.index.wrapping_sub(index));
        put_signed(out, in_segment.wrapping_sub(segment).cast_signed());
        put_signed(out, offset.wrapping_sub(end).cast_signed());
        put_number(out, length.into());
    }

    fn unpack(before: Option<&Self>, from: &mut Unpacker<'_>) -> Option<Self> {
        let (index, segment, end) = ends(before);
        let index = index.wrapping_add(from.number()?);
        let segment = segment.wrapping_add(from.signed()?.cast_unsigned());
        let offset = end.wrapping_add(from.signed()?.cast_unsigned());
        let length = u32::try_from(from.number()?).ok()?;
        Some(Self { index, position: Position { segment, offset, length } })
    }
}

/// Index, segment, and about the end of an entry; zeros where there is none.
fn ends(kept: Option<&Kept>) -> (u64, u64, u64) {
    kept.map_or((0, 0, 0), |kept| {
        let Position { segment, offset, length } = kept.position;
        (kept.index, segment, offset.wrapping_add(length.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_as_it_was_written_wherever_it_lies() {
        let kept = |index, segment, offset, length| Kept { index, position: Position { segment, offset, length } };
        let all = [
            kept(7, 3, 4096, 100),
            kept(8, 3, 4240, 100),
            kept(9, 2, 64, u32::MAX),
            kept(u64::MAX, u64::MAX, u64::MAX, 0),
        ];
        let mut out = Vec::new();
        let mut before = None;
        for kept in &all {
            kept.pack(before, &mut out);
            before = Some(kept);
        }
        let mut from = Unpacker::new(&out);
        let mut before = None;
        for kept in all {
            before = Kept::unpack(before.as_ref(), &mut from);
            assert_eq!(before, Some(kept));
        }
    }
}
