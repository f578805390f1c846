//! Which messages a queue has, and in which entries of the log they lie: a run for all messages that an entry put into one
//! queue, however many and however big. Of a long queue, only the runs at its ends are in memory as they are.

mod log;
mod save;

use std::sync::Arc;

use ferrymq_pages::{At, PageStore, Row, Table, Unpacker, put_number, put_signed};

/// Where a message lies: it is the one with this ordinal among those that the entry put into its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The entry's index in its shard's log.
    pub entry: u64,
    /// Counts from 0.
    pub ordinal: u32,
}

/// Messages of one entry, which follow each other in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    /// Number of its first message.
    first: u64,
    /// Messages that there were, and that there are.
    count: u32,
    live: u32,
    /// Where its first message lies.
    place: Place,
    /// When the entry was taken: milliseconds since 1970.
    time: u64,
    /// Bytes of the messages that there are; where some have gone, by their average.
    bytes: u64,
    /// A bit for each message that has gone, where some have.
    gone: Option<Box<[u64]>>,
}

impl Run {
    /// A whole run, without the messages whose bits are set; none where those are more than there are.
    fn without(self, gone: Vec<u64>) -> Option<Self> {
        let went = gone.iter().map(|word| word.count_ones()).sum::<u32>();
        let live = self.count.checked_sub(went)?;
        Some(Self { live, gone: Some(gone).filter(|words| !words.is_empty()).map(Into::into), ..self })
    }

    fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    fn has(&self, offset: u32) -> bool {
        offset < self.count && self.live > 0 && !self.is_gone(offset)
    }

    fn is_gone(&self, offset: u32) -> bool {
        let word = self.gone.as_ref().and_then(|words| words.get(offset as usize / 64));
        word.is_some_and(|word| word >> (offset % 64) & 1 == 1)
    }

    fn remove(&mut self, offset: u32) -> bool {
        if !self.has(offset) {
            return false;
        }
        self.bytes -= self.bytes / u64::from(self.live);
        self.live -= 1;
        if self.live == 0 {
            self.gone = None;
            return true;
        }
        let words = (self.count as usize).div_ceil(64);
        let gone = self.gone.get_or_insert_with(|| vec![0; words].into());
        if let Some(word) = gone.get_mut(offset as usize / 64) {
            *word |= 1 << (offset % 64);
        }
        true
    }

    fn next_live(&self, offset: u32) -> Option<u32> {
        if self.live == 0 {
            return None;
        }
        (offset..self.count).find(|offset| !self.is_gone(*offset))
    }
}

/// Behind another run, mostly ten bytes.
impl Row for Run {
    fn key(&self) -> u64 {
        self.first
    }

    fn is_void(&self) -> bool {
        self.live == 0
    }

    fn pack(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        let (end, entry, time) = ends(before);
        put_number(out, self.first.wrapping_sub(end));
        put_number(out, self.count.into());
        put_number(out, self.place.entry.wrapping_sub(entry));
        put_number(out, self.place.ordinal.into());
        put_signed(out, self.time.wrapping_sub(time).cast_signed());
        put_number(out, self.bytes);
        let gone = self.gone.as_deref().unwrap_or_default();
        put_number(out, gone.len() as u64);
        gone.iter().for_each(|word| put_number(out, *word));
    }

    fn unpack(before: Option<&Self>, from: &mut Unpacker<'_>) -> Option<Self> {
        let (end, entry, time) = ends(before);
        let first = from.number()?.wrapping_add(end);
        let count = u32::try_from(from.number()?).ok()?;
        let entry = from.number()?.wrapping_add(entry);
        let ordinal = u32::try_from(from.number()?).ok()?;
        let time = time.wrapping_add(from.signed()?.cast_unsigned());
        let bytes = from.number()?;
        let gone = (0..from.number()?).map(|_| from.number()).collect::<Option<Vec<u64>>>()?;
        Self { first, count, live: count, place: Place { entry, ordinal }, time, bytes, gone: None }.without(gone)
    }
}

/// Behind the last message, entry, and time of a run; zeros where there is none.
fn ends(run: Option<&Run>) -> (u64, u64, u64) {
    run.map_or((0, 0, 0), |run| (run.end(), run.place.entry, run.time))
}

/// The messages of a queue, by number. Numbers count up from 1 and are never used again.
#[derive(Debug, Default, Clone)]
pub(crate) struct Runs {
    last: u64,
    runs: Table<Run>,
    live: u64,
    bytes: u64,
    /// The last entry that put messages, and how many. Of no use once the next entry is applied: it is not saved.
    filling: Option<(u64, u32)>,
}

impl Runs {
    pub(crate) fn new(pages: Option<Arc<dyn PageStore>>) -> Self {
        Self { runs: Table::new(pages), ..Self::default() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.live
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of the last message that there ever was.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Puts a message at the end, and gives its number. Entries come in their order, and the messages of each in theirs.
    pub(crate) fn push(&mut self, place: Place, time: u64, bytes: u64) -> u64 {
        self.last += 1;
        self.live += 1;
        self.bytes += bytes;
        self.filling = Some((place.entry, place.ordinal + 1));
        match self.runs.last_mut().filter(|run| run.place.entry == place.entry && run.gone.is_none() && run.live > 0) {
            Some(run) => {
                run.count += 1;
                run.live += 1;
                run.bytes += bytes;
            }
            None => {
                let run = Run { first: self.last, count: 1, live: 1, place, time, bytes, gone: None };
                self.runs.push(run);
            }
        }
        self.last
    }

    /// Removes a message, and gives the entry in which it lay.
    pub(crate) fn remove(&mut self, number: u64) -> Option<u64> {
        let (entry, bytes, live) = self.runs.update(self.find(number), |run| {
            let before = run.bytes;
            let removed = run.remove(offset_in(run, number)?);
            removed.then(|| (run.place.entry, before - run.bytes, run.live))
        })??;
        self.bytes -= bytes;
        self.live -= 1;
        if live == 0 {
            self.runs.leave_out_front();
        }
        Some(entry)
    }

    /// Where a message lies, if it is there.
    pub(crate) fn place(&self, number: u64) -> Option<Place> {
        self.runs.look(self.find(number), |run| {
            let offset = offset_in(run, number).filter(|offset| run.has(*offset))?;
            Some(Place { entry: run.place.entry, ordinal: run.place.ordinal + offset })
        })?
    }

    /// Bytes of a message, by the average of those that are there of its entry.
    pub(crate) fn size(&self, number: u64) -> u64 {
        self.runs.look(self.find(number), |run| run.bytes.checked_div(run.live.into())).flatten().unwrap_or(0)
    }

    /// The first message with this number or a higher one.
    pub(crate) fn next(&self, number: u64) -> Option<u64> {
        let next_of = |run: &Run| {
            let offset = u32::try_from(number.saturating_sub(run.first)).ok()?;
            run.next_live(offset).map(|offset| run.first + u64::from(offset))
        };
        let from = self.find(number);
        // Mostly it is the one with that number.
        let here = self.runs.look(from, next_of)?;
        here.or_else(|| self.runs.iter_from(from).find_map(|run| next_of(&run)))
    }

    /// The entries in which this message and those after it lie, in order, with their bytes that are live.
    pub(crate) fn entries_from(&self, number: u64) -> impl Iterator<Item = (u64, u64)> {
        let runs = self.runs.iter_from(self.find(number));
        runs.filter(|run| run.live > 0).map(|run| (run.place.entry, run.bytes))
    }

    /// Every entry in which a message lies, with how many lie there.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, u32)> {
        self.runs.iter().filter(|run| run.live > 0).map(|run| (run.place.entry, run.live))
    }

    /// Whether a message lies there.
    pub(crate) fn has(&self, place: Place) -> bool {
        let from = self.runs.find(|run| run.place.entry < place.entry);
        let of_entry = self.runs.iter_from(from).take_while(|run| run.place.entry == place.entry);
        let mut offsets =
            of_entry.map(|run| place.ordinal.checked_sub(run.place.ordinal).map(|offset| run.has(offset)));
        offsets.any(|has| has == Some(true))
    }

    /// Messages that the entry has put into the queue so far, where that is the last one that put any.
    pub(crate) fn ordinals_used(&self, entry: u64) -> u32 {
        self.filling.filter(|(last, _)| *last == entry).map_or(0, |(_, used)| used)
    }

    /// The run with this message, or the one that follows.
    fn find(&self, number: u64) -> At {
        // What is settled is mostly at the front.
        if self.runs.first_at_hand().is_some_and(|run| run.end() > number) {
            return At::FIRST;
        }
        self.runs.find(|run| run.end() <= number)
    }
}

fn offset_in(run: &Run, number: u64) -> Option<u32> {
    u32::try_from(number.checked_sub(run.first)?).ok()
}

#[cfg(test)]
mod tests {
    use ferrymq_wire::Reader;

    use super::*;
    use crate::saved;

    /// The same, once it was written and read.
    fn restored(runs: &Runs) -> Runs {
        let mut out = Vec::new();
        saved::in_pieces(&mut out, |pieces| runs.save(pieces));
        Runs::restore(&mut Reader::new(out.into()), saved::FORMAT, None).unwrap()
    }

    fn runs(entries: &[(u64, u32)]) -> Runs {
        let mut runs = Runs::default();
        for (entry, count) in entries {
            for _ in 0..*count {
                let ordinal = runs.ordinals_used(*entry);
                runs.push(Place { entry: *entry, ordinal }, 0, 10);
            }
        }
        runs
    }

    #[test]
    fn messages_are_found_where_they_lie() {
        let runs = runs(&[(5, 3), (9, 2)]);
        assert_eq!(runs.place(1), Some(Place { entry: 5, ordinal: 0 }));
        assert_eq!(runs.place(3), Some(Place { entry: 5, ordinal: 2 }));
        assert_eq!(runs.place(4), Some(Place { entry: 9, ordinal: 0 }));
        assert_eq!(runs.place(6), None);
        assert_eq!(runs.place(0), None);
        assert_eq!(runs.entries().collect::<Vec<_>>(), [(5, 3), (9, 2)]);
    }

    #[test]
    fn what_is_removed_is_gone_once_and_the_rest_is_in_order() {
        let mut runs = runs(&[(1, 3), (2, 3)]);
        assert_eq!(runs.remove(2), Some(1));
        assert_eq!(runs.remove(2), None);
        assert_eq!(runs.remove(4), Some(2));
        let mut left = Vec::new();
        let mut at = 0;
        while let Some(number) = runs.next(at) {
            left.push(number);
            at = number + 1;
        }
        assert_eq!(left, [1, 3, 5, 6]);
        assert_eq!((runs.len(), runs.bytes()), (4, 40));
        for number in left {
            assert!(runs.remove(number).is_some());
        }
        assert_eq!((runs.len(), runs.bytes(), runs.next(0)), (0, 0, None));
        assert_eq!(runs.push(Place { entry: 3, ordinal: 0 }, 0, 1), 7);
    }

    #[test]
    fn an_entry_that_lost_messages_before_it_ended_goes_on_in_its_place() {
        let mut runs = runs(&[(1, 2)]);
        runs.remove(1);
        runs.remove(2);
        assert_eq!(runs.ordinals_used(1), 2);
        runs.push(Place { entry: 1, ordinal: 2 }, 0, 10);
        assert_eq!(runs.place(3), Some(Place { entry: 1, ordinal: 2 }));
    }

    #[test]
    fn what_was_saved_is_restored() {
        let mut runs = runs(&[(1, 70), (2, 1), (4, 3)]);
        [1, 65, 71].into_iter().for_each(|number| {
            runs.remove(number);
        });
        let restored = restored(&runs);
        assert_eq!((restored.len(), restored.bytes(), restored.last()), (71, 710, 74));
        assert_eq!(restored.next(1), Some(2));
        assert_eq!(restored.place(65), None);
        assert_eq!(restored.place(72), Some(Place { entry: 4, ordinal: 0 }));
    }

    /// Entry and messages: long enough that most of it is packed.
    fn long() -> (Runs, Vec<(u64, Place)>) {
        let (mut runs, mut all) = (Runs::default(), Vec::new());
        for entry in (1..9000).filter(|entry| entry % 4 > 0) {
            for ordinal in 0..(entry % 3 * 40) as u32 + 1 {
                let place = Place { entry, ordinal };
                all.push((runs.push(place, 1_000_000 - entry % 7, 10 + u64::from(ordinal)), place));
            }
        }
        (runs, all)
    }

    #[test]
    fn a_long_queue_has_its_messages_where_they_lie() {
        let (mut runs, mut all) = long();
        all.retain(|(number, place)| {
            let stays = number % 3 > 0 && place.entry % 10 > 0;
            if !stays {
                assert_eq!(runs.remove(*number), Some(place.entry));
            }
            stays
        });
        let again = restored(&runs);
        for runs in [runs, again] {
            assert_eq!(runs.len(), all.len() as u64);
            let mut at = 0;
            for (number, place) in &all {
                assert_eq!((runs.next(at), runs.place(*number), runs.has(*place)), (Some(*number), Some(*place), true));
                at = number + 1;
            }
            assert_eq!(runs.next(at), None);
            assert!(!runs.has(Place { entry: 10, ordinal: 0 }));
            assert_eq!(runs.entries().map(|(_, count)| u64::from(count)).sum::<u64>(), runs.len());
            assert_eq!(runs.entries_from(0).map(|(_, bytes)| bytes).sum::<u64>(), runs.bytes());
        }
    }
}
