//! What a channel's client has not acknowledged yet.

use std::collections::VecDeque;

use ferrymq_core::{ConsumerId, DeliveryId};

#[derive(Debug)]
struct Entry {
    delivery_tag: u64,
    id: DeliveryId,
    /// None where it was got, not delivered.
    consumer: Option<ConsumerId>,
    settled: bool,
}

/// Deliveries by their tags, oldest first.
///
/// One that is settled out of turn stays as a gap until it is the oldest, or until half are gaps: no settlement moves
/// the others each time.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    entries: VecDeque<Entry>,
    gaps: usize,
}

/// No such delivery is unsettled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownTag(pub(crate) u64);

impl Unsettled {
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.gaps
    }

    /// Tags must grow.
    pub(crate) fn push(&mut self, delivery_tag: u64, id: DeliveryId, consumer: Option<ConsumerId>) {
        self.entries.push_back(Entry { delivery_tag, id, consumer, settled: false });
    }

    /// Takes out one delivery, or all up to it; tag 0 and `multiple` are all that there are.
    pub(crate) fn settle(&mut self, tag: u64, multiple: bool, ids: &mut Vec<DeliveryId>) -> Result<(), UnknownTag> {
        if multiple && tag == 0 {
            ids.extend(self.entries.drain(..).filter(|entry| !entry.settled).map(|entry| entry.id));
            self.gaps = 0;
            return Ok(());
        }
        let at = self.entries.binary_search_by_key(&tag, |entry| entry.delivery_tag).map_err(|_| UnknownTag(tag))?;
        let entry = self.entries.get_mut(at).filter(|entry| !entry.settled).ok_or(UnknownTag(tag))?;
        if multiple {
            let before = ids.len();
            ids.extend(self.entries.drain(..=at).filter(|entry| !entry.settled).map(|entry| entry.id));
            self.gaps -= at + 1 - (ids.len() - before);
        } else {
            ids.push(entry.id);
            entry.settled = true;
            self.gaps += 1;
        }
        self.close_gaps();
        Ok(())
    }

    fn close_gaps(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.settled) {
            self.entries.pop_front();
            self.gaps -= 1;
        }
        if self.gaps > 64 && self.gaps * 2 > self.entries.len() {
            self.entries.retain(|entry| !entry.settled);
            self.gaps = 0;
        }
    }

    /// All of them, with their consumers.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (DeliveryId, Option<ConsumerId>)> + '_ {
        self.gaps = 0;
        self.entries.drain(..).filter(|entry| !entry.settled).map(|entry| (entry.id, entry.consumer))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn id(message: u64) -> DeliveryId {
        DeliveryId { queue: NonZeroU64::MIN, message, reader: None }
    }

    fn unsettled(tags: impl IntoIterator<Item = u64>) -> Unsettled {
        let mut unsettled = Unsettled::default();
        for tag in tags {
            unsettled.push(tag, id(tag), None);
        }
        unsettled
    }

    fn settle(unsettled: &mut Unsettled, tag: u64, multiple: bool) -> Result<Vec<u64>, UnknownTag> {
        let mut ids = Vec::new();
        unsettled.settle(tag, multiple, &mut ids)?;
        Ok(ids.into_iter().map(|id| id.message).collect())
    }

    #[test]
    fn multiple_settles_all_that_came_before_and_are_still_there() {
        let mut unsettled = unsettled([1, 2, 4, 5, 9]);
        assert_eq!(settle(&mut unsettled, 2, false), Ok(vec![2]));
        assert_eq!(settle(&mut unsettled, 5, true), Ok(vec![1, 4, 5]));
        assert_eq!(unsettled.len(), 1);
        assert_eq!(settle(&mut unsettled, 0, true), Ok(vec![9]));
        assert_eq!(settle(&mut unsettled, 0, true), Ok(vec![]));
    }

    #[test]
    fn a_tag_that_is_settled_or_was_never_given_is_unknown() {
        let mut unsettled = unsettled([1, 2, 3]);
        assert_eq!(settle(&mut unsettled, 2, false), Ok(vec![2]));
        assert_eq!(settle(&mut unsettled, 2, false), Err(UnknownTag(2)));
        assert_eq!(settle(&mut unsettled, 0, false), Err(UnknownTag(0)));
        assert_eq!(settle(&mut unsettled, 4, true), Err(UnknownTag(4)));
    }

    #[test]
    fn one_that_is_never_settled_does_not_keep_the_others() {
        let mut unsettled = unsettled([1]);
        for tag in 2..10_000 {
            unsettled.push(tag, id(tag), None);
            assert_eq!(settle(&mut unsettled, tag, false), Ok(vec![tag]));
        }
        assert_eq!(unsettled.len(), 1);
        assert!(unsettled.entries.len() < 200);
    }
}
