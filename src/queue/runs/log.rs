//! What is asked of a queue that is a log: its messages stay until they are trimmed, oldest first.

use ferrymq_pages::At;

use super::{Place, Run, Runs};

impl Runs {
    /// The first message that there is; where there is none, the next one that there will be.
    pub(crate) fn first(&self) -> u64 {
        self.next(0).unwrap_or(self.last + 1)
    }

    /// The first of the last run; where there is none, the next message that there will be.
    pub(crate) fn last_run(&self) -> u64 {
        let run = self.runs.last_that(|run| run.live > 0);
        run.and_then(|run| self.next(run.first)).unwrap_or(self.last + 1)
    }

    /// The first message of the first run that came at this time or after it. Where the clocks of leaders differed, times
    /// may go back by as much, and so may the answer.
    pub(crate) fn at_time(&self, time: u64) -> u64 {
        let run = self.runs.get(self.runs.find(|run| run.time < time));
        run.and_then(|run| self.next(run.first)).unwrap_or(self.last + 1)
    }

    /// Messages from this number on, and where they lie: at most so many, and of about so many bytes, but one at least.
    pub(crate) fn places_from(&self, number: u64, messages: usize, bytes: u64) -> Vec<(u64, Place)> {
        let mut places = Vec::new();
        let mut left = bytes;
        for run in self.runs.iter_from(self.runs.find(|run| run.end() <= number)).filter(|run| run.live > 0) {
            let each = run.bytes / u64::from(run.live);
            let skipped = u32::try_from(number.saturating_sub(run.first)).unwrap_or(u32::MAX);
            for offset in (skipped..run.count).filter(|offset| run.has(*offset)) {
                if places.len() >= messages || !places.is_empty() && left < each {
                    return places;
                }
                left = left.saturating_sub(each);
                let place = Place { entry: run.place.entry, ordinal: run.place.ordinal + offset };
                places.push((run.first + u64::from(offset), place));
            }
        }
        places
    }

    /// The last message of the runs that are to go where those from before a time go, and the oldest ones over so many
    /// bytes; the last run never goes for its bytes.
    pub(crate) fn surplus(&self, before: Option<u64>, bytes: Option<u64>) -> Option<u64> {
        let mut left = self.bytes;
        let mut upto = None;
        let mut runs = self.runs.iter().peekable();
        while let Some(run) = runs.next() {
            let is_old = before.is_some_and(|before| run.time < before);
            let is_over = runs.peek().is_some() && bytes.is_some_and(|bytes| left > bytes);
            if !is_old && !is_over {
                break;
            }
            left -= run.bytes;
            upto = Some(run.end() - 1);
        }
        upto
    }

    /// Removes all messages up to a number, and tells of each entry how many of its messages went.
    pub(crate) fn trim(&mut self, upto: u64, mut went: impl FnMut(u64, u32)) {
        while self.runs.look(At::FIRST, |run| run.end() - 1 <= upto) == Some(true) {
            let Some(Run { place, live, bytes, .. }) = self.runs.pop_front() else { break };
            if live == 0 {
                continue;
            }
            self.live -= u64::from(live);
            self.bytes -= bytes;
            went(place.entry, live);
        }
        while let Some(number) = self.next(0).filter(|number| *number <= upto) {
            let Some(entry) = self.remove(number) else { break };
            went(entry, 1);
        }
        self.runs.leave_out_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entry, time and messages, each of 10 bytes.
    fn log(entries: &[(u64, u64, u32)]) -> Runs {
        let mut runs = Runs::default();
        for (entry, time, count) in entries {
            for ordinal in 0..*count {
                runs.push(Place { entry: *entry, ordinal }, *time, 10);
            }
        }
        runs
    }

    #[test]
    fn a_log_is_looked_up_by_time() {
        let log = log(&[(1, 100, 2), (4, 200, 3), (9, 300, 1)]);
        let found = [0, 100, 101, 200, 250, 300, 301].map(|time| log.at_time(time));
        assert_eq!(found, [1, 1, 3, 3, 6, 6, 7]);
        assert_eq!((log.first(), log.last_run()), (1, 6));
        let empty = Runs::default();
        assert_eq!((empty.at_time(5), empty.first(), empty.last_run()), (1, 1, 1));
    }

    #[test]
    fn a_log_is_read_from_any_message_on_within_bounds() {
        let log = log(&[(1, 100, 2), (4, 200, 3)]);
        let numbers = |from, messages, bytes| {
            let places = log.places_from(from, messages, bytes);
            places.into_iter().map(|(number, _)| number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(0, 10, 1000), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(2, 2, 1000), [2, 3]);
        assert_eq!(numbers(2, 10, 30), [2, 3, 4]);
        assert_eq!(numbers(5, 10, 1), [5]);
        assert_eq!(numbers(6, 10, 1000), []);
        assert_eq!(log.places_from(4, 1, 10), [(4, Place { entry: 4, ordinal: 1 })]);
    }

    #[test]
    fn what_is_too_old_or_too_much_goes_by_whole_runs_and_the_last_stays_for_its_bytes() {
        let log = log(&[(1, 100, 2), (4, 200, 3), (9, 300, 1)]);
        assert_eq!(log.surplus(None, None), None);
        assert_eq!(log.surplus(Some(100), None), None);
        assert_eq!(log.surplus(Some(101), None), Some(2));
        assert_eq!(log.surplus(Some(1000), None), Some(6));
        assert_eq!(log.surplus(None, Some(60)), None);
        assert_eq!(log.surplus(None, Some(59)), Some(2));
        assert_eq!(log.surplus(None, Some(0)), Some(5));
        assert_eq!(log.surplus(Some(101), Some(10)), Some(5));
    }

    #[test]
    fn trimming_tells_which_entries_lost_how_many() {
        let mut log = log(&[(1, 100, 2), (4, 200, 3), (9, 300, 1)]);
        let mut went = Vec::new();
        log.trim(3, |entry, count| went.push((entry, count)));
        assert_eq!(went, [(1, 2), (4, 1)]);
        assert_eq!((log.first(), log.len(), log.bytes()), (4, 3, 30));
        log.trim(2, |_, _| panic!("it has gone already"));
        assert_eq!(log.push(Place { entry: 10, ordinal: 0 }, 400, 10), 7);
    }
}
