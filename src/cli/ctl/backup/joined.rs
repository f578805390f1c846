//! Whether the parts of a log go on one behind the other.

use std::collections::BTreeMap;

use ferrymq_archive::{Base, LogPart};

/// Stretches of a log that are known not to be in the archive: bases say so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gaps(BTreeMap<u64, u64>);

impl Gaps {
    /// The gaps that these bases end.
    pub(super) fn of(bases: &[Base]) -> Self {
        Self(bases.iter().filter_map(|base| Some((base.gap?.from, base.index + 1))).collect())
    }

    /// All entries from one on and before the other are known not to be there.
    pub(super) fn cover(&self, from: u64, before: u64) -> bool {
        let mut at = from;
        while let Some(next) = self.0.get(&at).copied().filter(|next| *next > at) {
            at = next;
        }
        at >= before
    }
}

/// How far a log was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    /// The entry that comes next; not known behind a part that could not be read.
    next: Option<u64>,
    /// The term of the entry before it, where it is known.
    term: Option<u64>,
}

/// Where a log does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// Entries are not there: the first, and the first behind them that is.
    Hole { from: u64, before: u64 },
    /// A part is of another history than the one before it.
    Terms { before: u64, said: u64 },
}

impl Joined {
    /// Nothing was read; the entry that comes next is this one, or whichever is first.
    pub(super) fn new(next: Option<u64>) -> Self {
        Self { next, term: None }
    }

    /// The entry that comes next, where that is known.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Goes on behind a part; gives whether that does not follow what was before.
    pub(super) fn take(&mut self, part: &LogPart) -> Option<Break> {
        let (next, term) = (self.next, self.term);
        if next.is_none_or(|next| next < part.next()) {
            self.next = Some(part.next());
            self.term = part.entries.last().map(|entry| entry.term).or(self.term);
        }
        let next = next?;
        if part.first > next {
            return Some(Break::Hole { from: next, before: part.first });
        }
        let before = term.filter(|_| part.first == next)?;
        (before != part.term_before).then_some(Break::Terms { before, said: part.term_before })
    }

    /// Goes on behind a part that could not be read.
    pub(super) fn pass_over(&mut self) {
        *self = Self::new(None);
    }
}

#[cfg(test)]
mod tests {
    use ferrymq_archive::Entry;

    use super::*;

    fn part(first: u64, entries: usize, term_before: u64, term: u64) -> LogPart {
        LogPart { group: 1, first, term_before, entries: vec![Entry { term, time: 1, command: None }; entries] }
    }

    #[test]
    fn parts_that_follow_or_overlap_join() {
        let mut joined = Joined::new(Some(3));
        assert_eq!(joined.take(&part(1, 5, 0, 1)), None);
        assert_eq!(joined.take(&part(6, 5, 1, 2)), None);
        assert_eq!(joined.take(&part(8, 1, 1, 1)), None, "one that is in another");
        assert_eq!(joined.next(), Some(11));
    }

    #[test]
    fn a_hole_is_found_once() {
        let mut joined = Joined::new(Some(0));
        assert_eq!(joined.take(&part(2, 2, 0, 1)), Some(Break::Hole { from: 0, before: 2 }));
        assert_eq!(joined.take(&part(4, 2, 1, 1)), None);
        assert_eq!(joined.take(&part(9, 2, 1, 1)), Some(Break::Hole { from: 6, before: 9 }));
    }

    #[test]
    fn gaps_that_follow_each_other_are_one() {
        let gaps = Gaps([(6, 8), (8, 20), (30, 31)].into());
        assert!(gaps.cover(6, 20) && gaps.cover(8, 12) && gaps.cover(30, 31));
        assert!(!gaps.cover(6, 21) && !gaps.cover(7, 8) && !Gaps::default().cover(6, 8));
    }

    #[test]
    fn behind_what_could_not_be_read_anything_may_come() {
        let mut joined = Joined::new(Some(0));
        joined.pass_over();
        assert_eq!(joined.take(&part(9, 2, 1, 1)), None);
        assert_eq!(joined.next(), Some(11));
    }

    #[test]
    fn a_part_of_another_history_is_found() {
        let mut joined = Joined::new(None);
        joined.take(&part(0, 2, 0, 3));
        assert_eq!(joined.take(&part(2, 2, 2, 4)), Some(Break::Terms { before: 3, said: 2 }));
    }
}
