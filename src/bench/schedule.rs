//! When messages are due, where a rate was asked for.

/// Messages that follow each other faster than this are due together: no timer wakes faster for less than it costs.
const TICK_NANOSECONDS: f64 = 500_000.0;

/// The messages of all publishers, which take turns: of `n` publishers the first sends the messages 0, `n`, `2n`, ...
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    start: u64,
    interval: f64,
}

impl Schedule {
    /// From `start`, in nanoseconds. `rate`: messages a second, at least 1.
    pub(crate) fn new(start: u64, rate: u32) -> Self {
        Self { start, interval: 1e9 / f64::from(rate) }
    }

    /// When the message `index` is due, in nanoseconds.
    pub(crate) fn due(&self, index: u64) -> u64 {
        let exact = self.interval * index as f64;
        let due =
            if self.interval < TICK_NANOSECONDS { (exact / TICK_NANOSECONDS).ceil() * TICK_NANOSECONDS } else { exact };
        self.start + due as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn messages_are_due_evenly() {
        let schedule = Schedule::new(5 * SECOND, 1000);
        assert_eq!(
            [0, 1, 250, 1000].map(|index| schedule.due(index) - 5 * SECOND),
            [0, 1_000_000, 250_000_000, SECOND]
        );
    }

    #[test]
    fn a_second_has_as_many_as_the_rate_says() {
        for rate in [1, 7, 1000, 50_000, 1_000_000] {
            let schedule = Schedule::new(0, rate);
            let due = (0..).take_while(|index| schedule.due(*index) < 10 * SECOND).count();
            assert!(due.abs_diff(10 * rate as usize) <= rate as usize / 1000 + 1, "{due} at {rate}");
        }
    }

    #[test]
    fn what_is_fast_is_due_in_ticks_and_never_early() {
        let schedule = Schedule::new(0, 100_000);
        for index in 0..1000 {
            let due = schedule.due(index);
            assert_eq!(due % 500_000, 0);
            assert!(due >= index * 10_000 && due < index * 10_000 + 500_000);
        }
    }
}
