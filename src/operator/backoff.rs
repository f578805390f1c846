//! How long to wait before a resource whose reconcile did not go on is looked at again: longer each time, so that an API
//! server in trouble, or a refusal that stays, costs a few calls a minute.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The longest that a resource waits for its next attempt, unless the API server asks for more.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// The longest that is waited because the API server asks for it.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(300);

/// A failure that is as old as that is not of the same row.
const FORGOTTEN: Duration = Duration::from_secs(900);

/// How often in a row something did not go on, by what it was.
#[derive(Default)]
pub(crate) struct Backoff(Mutex<HashMap<String, Row>>);

/// Failures, one after the other.
struct Row {
    count: u32,
    last: Instant,
}

impl Backoff {
    /// It did not go on, once more; gives how often in a row.
    pub(crate) fn failed(&self, what: &str) -> u32 {
        let now = Instant::now();
        let mut rows = self.rows();
        // Of what is gone meanwhile nobody says that it went on.
        rows.retain(|_, row| now.duration_since(row.last) < FORGOTTEN);
        let row = rows.entry(what.to_owned()).or_insert(Row { count: 0, last: now });
        (row.count, row.last) = (row.count.saturating_add(1), now);
        row.count
    }

    /// How often in a row it did not go on, and when it was tried last.
    pub(crate) fn failures(&self, what: &str) -> Option<(u32, Instant)> {
        self.rows().get(what).map(|row| (row.count, row.last))
    }

    /// It went on.
    pub(crate) fn went_on(&self, what: &str) {
        self.rows().remove(what);
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<String, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait after so many failures in a row: twice as long each time, and at least as long as was asked for.
pub(crate) fn pause(failures: u32, first: Duration, asked_for: Option<Duration>) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    doubled.max(asked_for.unwrap_or_default().min(LONGEST_ASKED_FOR))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_attempt_waits_longer_than_the_one_before_up_to_a_minute() {
        let pauses: Vec<u64> = (1..=9).map(|failures| pause(failures, SECOND, None).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause(u32::MAX, SECOND, None), LONGEST);
    }

    #[test]
    fn an_api_server_that_asks_for_time_gets_it_within_reason() {
        assert_eq!(pause(1, SECOND, Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(pause(1, SECOND, Some(Duration::from_secs(86_400))), LONGEST_ASKED_FOR);
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_ends_when_it_goes_on_and_when_it_is_long_ago() {
        let backoff = Backoff::default();
        assert_eq!((backoff.failed("orders"), backoff.failed("orders"), backoff.failed("other")), (1, 2, 1));
        backoff.went_on("orders");
        assert_eq!(backoff.failed("orders"), 1);
        tokio::time::advance(FORGOTTEN).await;
        assert_eq!(backoff.failed("other"), 1);
    }
}
