//! What is counted and measured while a run goes on.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told apart from longer ones, in microseconds: an hour.
const LONGEST_MICROSECONDS: u64 = 3_600_000_000;
/// Errors that are kept in words.
const ERRORS_KEPT: usize = 8;

/// Counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) published: u64,
    pub(crate) confirmed: u64,
    pub(crate) received: u64,
    pub(crate) redelivered: u64,
    pub(crate) nacked: u64,
    /// Connections that failed, and connections and channels that the broker closed with an error.
    pub(crate) errors: u64,
    pub(crate) reconnects: u64,
    /// Publishes of which nobody will ever say what became of them.
    pub(crate) lost_confirms: u64,
    /// Messages that were due by the rate and could not be published.
    pub(crate) behind: u64,
}

/// Latencies: of the window that goes on, and of all since the measurement began.
#[derive(Debug)]
pub(crate) struct Latency {
    window: Histogram<u64>,
    all: Histogram<u64>,
}

/// Points of a distribution, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl Latency {
    /// Three digits of every value are kept.
    fn new() -> Self {
        let window = Histogram::new_with_bounds(1, LONGEST_MICROSECONDS, 3)
            .expect("1 is a lower bound, an hour is more than twice of it, and 3 is a number of digits");
        Self { all: window.clone(), window }
    }

    /// So many took so long.
    pub(crate) fn record(&mut self, nanoseconds: u64, count: u64) {
        self.window.saturating_record_n(nanoseconds.div_ceil(1000), count);
    }

    /// Ends the window, and gives its 99th percentile in microseconds; none where nothing was recorded.
    pub(crate) fn turn(&mut self) -> Option<u64> {
        let p99 = (!self.window.is_empty()).then(|| self.window.value_at_quantile(0.99));
        // Both have the same bounds, so all of it fits in.
        let _ = self.all.add(&self.window);
        self.window.reset();
        p99
    }

    fn clear(&mut self) {
        self.window.reset();
        self.all.reset();
    }

    /// Of all; none where nothing was recorded.
    pub(crate) fn quantiles(&mut self) -> Option<Quantiles> {
        self.turn();
        let at = |quantile| self.all.value_at_quantile(quantile);
        (!self.all.is_empty()).then(|| Quantiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.all.max(),
        })
    }
}

/// All that is measured. One for all connections: they share it for a batch at a time.
#[derive(Debug)]
pub(crate) struct Measures {
    pub(crate) counts: Counts,
    /// Messages that were under way when the measurement began.
    carried: u64,
    pub(crate) confirm: Latency,
    pub(crate) end_to_end: Latency,
    /// The longest time in which a publisher waited for confirms and got none, in nanoseconds.
    pub(crate) longest_pause: u64,
    blocked: Blocked,
    told: Vec<String>,
}

impl Measures {
    pub(crate) fn new() -> Self {
        Self {
            counts: Counts::default(),
            carried: 0,
            confirm: Latency::new(),
            end_to_end: Latency::new(),
            longest_pause: 0,
            blocked: Blocked::default(),
            told: Vec::new(),
        }
    }

    /// Begins anew at this time: the warm-up is over. What goes on, such as being blocked, counts from here.
    pub(crate) fn begin(&mut self, now: u64) {
        self.carried = self.under_way();
        self.counts = Counts::default();
        self.confirm.clear();
        self.end_to_end.clear();
        self.longest_pause = 0;
        self.blocked.begin(now);
    }

    /// Messages that were published and not received yet.
    pub(crate) fn under_way(&self) -> u64 {
        let Counts { published, nacked, received, redelivered, .. } = self.counts;
        (self.carried + published).saturating_sub(nacked + received.saturating_sub(redelivered))
    }

    pub(crate) fn paused(&mut self, nanoseconds: u64) {
        self.longest_pause = self.longest_pause.max(nanoseconds);
    }

    /// A publisher is told to wait.
    pub(crate) fn blocked(&mut self, now: u64) {
        self.blocked.enter(now);
    }

    /// A publisher may go on.
    pub(crate) fn unblocked(&mut self, now: u64) {
        self.blocked.leave(now);
    }

    /// Nanoseconds in which at least one publisher had to wait.
    pub(crate) fn blocked_for(&self, now: u64) -> u64 {
        self.blocked.total(now)
    }

    /// Counts an error, and gives its words where they are new.
    pub(crate) fn failed(&mut self, words: String) {
        self.counts.errors += 1;
        if self.told.len() < ERRORS_KEPT && !self.told.contains(&words) {
            self.told.push(words);
        }
    }

    /// What went wrong, each kind once.
    pub(crate) fn told(&self) -> &[String] {
        &self.told
    }
}

/// How long one or more are within something.
#[derive(Debug, Default)]
struct Blocked {
    count: u64,
    since: u64,
    before: u64,
}

impl Blocked {
    fn begin(&mut self, now: u64) {
        (self.since, self.before) = (now, 0);
    }

    fn enter(&mut self, now: u64) {
        if self.count == 0 {
            self.since = now;
        }
        self.count += 1;
    }

    fn leave(&mut self, now: u64) {
        self.before = self.total(now);
        self.since = now;
        self.count = self.count.saturating_sub(1);
    }

    fn total(&self, now: u64) -> u64 {
        self.before + if self.count > 0 { now.saturating_sub(self.since) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    #[test]
    fn a_window_forgets_and_the_whole_does_not() {
        let mut latency = Latency::new();
        assert_eq!(latency.turn(), None);
        assert_eq!(latency.quantiles(), None);
        latency.record(2 * MILLISECOND, 99);
        latency.record(50 * MILLISECOND, 1);
        assert_eq!(latency.turn(), Some(2000));
        latency.record(4 * MILLISECOND, 900);
        assert_eq!(latency.turn(), Some(4001));
        assert_eq!(latency.turn(), None);
        let all = latency.quantiles().unwrap();
        assert_eq!((all.p50, all.p99, all.p999), (4001, 4001, 4001));
        assert!(all.max.abs_diff(50_000) <= 50, "{}", all.max);
    }

    #[test]
    fn what_is_longer_than_an_hour_counts_as_an_hour() {
        let mut latency = Latency::new();
        latency.record(u64::MAX, 1);
        assert!(latency.quantiles().unwrap().max >= LONGEST_MICROSECONDS);
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let mut measures = Measures::new();
        measures.counts.published = 5;
        measures.counts.received = 2;
        measures.confirm.record(1, 5);
        measures.paused(9);
        measures.blocked(10);
        measures.begin(100);
        assert_eq!((measures.counts, measures.longest_pause), (Counts::default(), 0));
        assert_eq!(measures.confirm.quantiles(), None);
        assert_eq!(measures.blocked_for(130), 30);
        assert_eq!(measures.under_way(), 3);
    }

    #[test]
    fn blocked_is_the_time_in_which_anyone_was() {
        let mut blocked = Blocked::default();
        blocked.enter(10);
        blocked.enter(20);
        blocked.leave(30);
        assert_eq!(blocked.total(35), 25);
        blocked.leave(40);
        assert_eq!(blocked.total(1000), 30);
    }

    #[test]
    fn an_error_is_told_once_and_counted_always() {
        let mut measures = Measures::new();
        for words in ["a", "b", "a"] {
            measures.failed(words.to_owned());
        }
        assert_eq!((measures.told(), measures.counts.errors), (&["a".to_owned(), "b".to_owned()][..], 3));
    }
}
