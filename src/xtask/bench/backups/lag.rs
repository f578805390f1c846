//! How long what was confirmed waits to be archived, under a load that the machine can bear.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};

use super::{Sizes, memory};
use crate::bench::brokers::Brokers;
use crate::bench::load::{Load, Outcome};
use crate::bench::process::until;
use crate::bench::reading::Reading;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// The longest that the archive may take to have what was confirmed.
const ARCHIVED_LIMIT: Duration = Duration::from_secs(600);

/// 50 MB/s.
const LOAD: Load =
    Load { publishers: 10, consumers: 10, queues: 10, size: 10_000, confirms: 200, rate: 5000, seconds: 0, warm_up: 0 };

/// Measures new brokers that archive.
///
/// # Errors
///
/// Where the load cannot be made, or the brokers archive nothing.
pub(super) fn measure(brokers: &Brokers, sizes: &Sizes, file: &std::path::Path) -> anyhow::Result<Vec<Reading>> {
    let load = Load { seconds: sizes.lag_seconds, warm_up: sizes.warm_up, ..LOAD };
    let generator = brokers.load(&load, &["--quiet", "--varied"], file)?;
    sleep(Duration::from_secs(load.warm_up));
    let lags = watch(brokers, Duration::from_secs(load.seconds))?;
    let outcome: Outcome = generator.finish(load.limit())?;
    let megabytes = |per_second: f64| per_second * f64::from(load.size) / 1e6;
    let mut readings = vec![
        Reading::told("confirmed", "MB/s", megabytes(outcome.confirmed_per_second)),
        Reading::told("received", "MB/s", megabytes(outcome.received_per_second)),
    ];
    for (what, share) in
        [("not archived yet, p50", 0.5), ("not archived yet, p99", 0.99), ("not archived yet, longest", 1.0)]
    {
        readings.push(Reading::less(what, "s", quantile(&lags, share).context("nothing was looked at")?));
    }
    readings.extend(memory::most(brokers, "most memory of a broker")?);
    Ok(readings)
}

/// Looks at the archive for so long: each time, for how many seconds the oldest that was confirmed and is not archived may
/// have waited, at the broker where that is the most.
fn watch(brokers: &Brokers, length: Duration) -> anyhow::Result<Vec<f64>> {
    let (began, mut lags) = (Instant::now(), Vec::new());
    while began.elapsed() < length {
        sleep(LOOK);
        lags.push(oldest(brokers)?.as_secs_f64());
    }
    Ok(lags)
}

fn oldest(brokers: &Brokers) -> anyhow::Result<Duration> {
    let mut most = Duration::ZERO;
    // Asked for before: what is confirmed while a broker answers is not late.
    let now = now()?;
    for view in brokers.archives()? {
        if let Some(problem) = view.problem {
            bail!("a broker does not archive: {problem}");
        }
        let lag = match view.archived_until.filter(|until| *until > 0) {
            Some(until) => now.saturating_sub(Duration::from_millis(until)),
            // It leads something since just now, and knows only since when that waits.
            None => Duration::from_millis(view.lag_milliseconds),
        };
        most = most.max(lag);
    }
    Ok(most)
}

/// Waits until all that was confirmed before now is archived; how long that took.
///
/// # Errors
///
/// Where it is not archived in time.
pub(super) fn await_archived(brokers: &Brokers) -> anyhow::Result<Duration> {
    let (began, confirmed) = (Instant::now(), u64::try_from(now()?.as_millis())?);
    until("what was confirmed was not archived", ARCHIVED_LIMIT, || {
        sleep(LOOK);
        let views = brokers.archives()?;
        Ok(views.iter().all(|view| view.archived_until >= Some(confirmed)).then_some(()))
    })?;
    Ok(began.elapsed())
}

fn now() -> anyhow::Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

/// What so large a share of the values is at most.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<_> = (1..=200).rev().map(f64::from).collect();
        let found = [0.0, 0.5, 0.99, 1.0].map(|share| quantile(&values, share));
        assert_eq!(found, [Some(1.0), Some(100.0), Some(198.0), Some(200.0)]);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
