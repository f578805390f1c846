//! What is counted as messages pass.
//!
//! Every thread adds to a lane of its own, so that no two wait for each other's cache line. Whoever reads adds the lanes up.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use ferrymq_core::{Delivery, Settlement};

/// Lanes; where there are more threads, some share one.
const LANES: usize = 16;
/// How many [`Count`]s there are.
const COUNTS: usize = Count::ElectionsWon as usize + 1;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Published,
    PublishedBytes,
    Unroutable,
    Confirmed,
    Delivered,
    DeliveredBytes,
    Redelivered,
    Acknowledged,
    Requeued,
    Discarded,
    LoginsRefused,
    ElectionsWon,
}

impl From<Settlement> for Count {
    fn from(settlement: Settlement) -> Self {
        match settlement {
            Settlement::Accept => Self::Acknowledged,
            Settlement::Requeue => Self::Requeued,
            Settlement::Discard => Self::Discarded,
        }
    }
}

/// The counters of a node, since it was started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    lanes: [Lane; LANES],
}

/// Two cache lines, as some processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane([AtomicU64; COUNTS]);

impl Counters {
    /// Counts so many more.
    pub(crate) fn add(&self, what: Count, by: u64) {
        if let Some(count) = self.lanes.get(lane()).and_then(|Lane(counts)| counts.get(what as usize)) {
            count.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Counts messages that go to a client.
    pub(crate) fn delivered(&self, deliveries: &[Delivery]) {
        let bytes = deliveries.iter().map(|delivery| delivery.message.size() as u64).sum();
        let again = deliveries.iter().filter(|delivery| delivery.redelivered).count() as u64;
        self.add(Count::Delivered, deliveries.len() as u64);
        self.add(Count::DeliveredBytes, bytes);
        if again > 0 {
            self.add(Count::Redelivered, again);
        }
    }

    /// How many were counted.
    pub(crate) fn total(&self, what: Count) -> u64 {
        let counts = self.lanes.iter().filter_map(|Lane(counts)| counts.get(what as usize));
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// The lane of this thread.
fn lane() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    LANE.with(|lane| match lane.get() {
        Some(lane) => lane,
        None => {
            let own = THREADS.fetch_add(1, Ordering::Relaxed) % LANES;
            lane.set(Some(own));
            own
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_is_added_up() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * LANES {
                scope.spawn(|| (0..1000).for_each(|_| counters.add(Count::Published, 2)));
            }
        });
        assert_eq!(counters.total(Count::Published), 2 * 1000 * 2 * LANES as u64);
        assert_eq!(counters.total(Count::ElectionsWon), 0);
    }

    #[test]
    fn threads_do_not_share_a_lane_while_there_are_enough() {
        let own = lane();
        assert_eq!(lane(), own);
        assert_ne!(std::thread::spawn(lane).join().unwrap(), own);
    }
}
