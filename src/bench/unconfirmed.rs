//! The publishes of a channel that wait for their confirm.

use std::collections::VecDeque;

use crate::{error::Broken, scan::Confirm};

/// The time of one that was confirmed before others that were published before it.
const SETTLED: u64 = u64::MAX;
/// How many may follow one that is never confirmed.
const MOST: usize = 1 << 22;

/// Times of publishes in the order of their tags.
#[derive(Debug)]
pub(crate) struct Unconfirmed {
    /// The tag of the first.
    first: u64,
    stamps: VecDeque<u64>,
    count: usize,
    window: usize,
}

impl Unconfirmed {
    /// For so many at a time.
    pub(crate) fn new(window: usize) -> Self {
        Self { first: 1, stamps: VecDeque::new(), count: 0, window }
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// How many more may wait.
    pub(crate) fn room(&self) -> usize {
        self.window.saturating_sub(self.count).min(MOST.saturating_sub(self.stamps.len()))
    }

    pub(crate) fn push(&mut self, stamp: u64) {
        self.stamps.push_back(stamp);
        self.count += 1;
    }

    /// Tells of those that this confirms, as times and how many follow each other with that time.
    ///
    /// # Errors
    ///
    /// [`Broken::Unexpected`] where it was not published yet.
    pub(crate) fn settle(&mut self, confirm: Confirm, mut each: impl FnMut(u64, u64)) -> Result<(), Broken> {
        let next = self.first + self.stamps.len() as u64;
        let name = if confirm.negative { "basic.nack" } else { "basic.ack" };
        if confirm.tag >= next {
            return Err(Broken::Unexpected(name));
        }
        if !confirm.multiple {
            // One that is settled already is passed over.
            let Some(index) = confirm.tag.checked_sub(self.first) else { return Ok(()) };
            let Some(stamp) = usize::try_from(index).ok().and_then(|index| self.stamps.get_mut(index)) else {
                return Ok(());
            };
            if *stamp != SETTLED {
                each(std::mem::replace(stamp, SETTLED), 1);
                self.count -= 1;
            }
            while self.stamps.front() == Some(&SETTLED) {
                self.stamps.pop_front();
                self.first += 1;
            }
            return Ok(());
        }
        let last = if confirm.tag == 0 { next - 1 } else { confirm.tag };
        let (mut run, mut length) = (SETTLED, 0);
        while self.first <= last {
            let Some(stamp) = self.stamps.pop_front() else { break };
            self.first += 1;
            if stamp == SETTLED {
                continue;
            }
            self.count -= 1;
            if stamp == run {
                length += 1;
                continue;
            }
            if length > 0 {
                each(run, length);
            }
            (run, length) = (stamp, 1);
        }
        if length > 0 {
            each(run, length);
        }
        Ok(())
    }

    /// Forgets all, as their channel is gone, and gives their times.
    pub(crate) fn abandon(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.first = 1;
        self.count = 0;
        std::mem::take(&mut self.stamps).into_iter().filter(|stamp| *stamp != SETTLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(stamps: &[u64]) -> Unconfirmed {
        let mut unconfirmed = Unconfirmed::new(10);
        for stamp in stamps {
            unconfirmed.push(*stamp);
        }
        unconfirmed
    }

    fn settled(unconfirmed: &mut Unconfirmed, tag: u64, multiple: bool) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        unconfirmed
            .settle(Confirm { tag, multiple, negative: false }, |stamp, count| all.push((stamp, count)))
            .unwrap();
        all
    }

    #[test]
    fn one_word_confirms_all_up_to_it() {
        let mut unconfirmed = published(&[5, 5, 5, 8, 9]);
        assert_eq!(unconfirmed.room(), 5);
        assert_eq!(settled(&mut unconfirmed, 4, true), [(5, 3), (8, 1)]);
        assert_eq!((unconfirmed.count(), unconfirmed.room()), (1, 9));
        assert_eq!(settled(&mut unconfirmed, 4, true), []);
        assert_eq!(settled(&mut unconfirmed, 0, true), [(9, 1)]);
    }

    #[test]
    fn what_overtakes_others_is_confirmed_once() {
        let mut unconfirmed = published(&[1, 2, 3, 4]);
        assert_eq!(settled(&mut unconfirmed, 2, false), [(2, 1)]);
        assert_eq!(settled(&mut unconfirmed, 2, false), []);
        assert_eq!(settled(&mut unconfirmed, 3, true), [(1, 1), (3, 1)]);
        assert_eq!(settled(&mut unconfirmed, 1, false), []);
        assert_eq!(settled(&mut unconfirmed, 4, false), [(4, 1)]);
        assert_eq!(unconfirmed.count(), 0);
    }

    #[test]
    fn a_confirm_of_what_was_never_published_is_told() {
        let mut unconfirmed = published(&[1]);
        let confirm = Confirm { tag: 2, multiple: true, negative: false };
        assert!(unconfirmed.settle(confirm, |_, _| {}).is_err());
    }

    #[test]
    fn tags_begin_anew_on_the_next_channel() {
        let mut unconfirmed = published(&[1, 2, 3]);
        settled(&mut unconfirmed, 2, false);
        assert_eq!(unconfirmed.abandon().collect::<Vec<_>>(), [1, 3]);
        unconfirmed.push(7);
        assert_eq!(settled(&mut unconfirmed, 1, false), [(7, 1)]);
    }
}
