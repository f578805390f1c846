//! What clients get while all is archived, beside what they get without.

use std::path::Path;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::bail;

use super::store::Store;
use super::{Sizes, memory};
use crate::bench::brokers::Brokers;
use crate::bench::load::{Load, Outcome};
use crate::bench::reading::Reading;
use crate::bench::usage;

/// As many of each as in the comparison with others.
pub(super) const LOADS: [(&str, Load); 2] = [
    ("one queue", Load { publishers: 1, consumers: 1, queues: 1, ..KILOBYTE }),
    ("ten queues", Load { publishers: 10, consumers: 10, queues: 10, ..KILOBYTE }),
];

const KILOBYTE: Load =
    Load { publishers: 0, consumers: 0, queues: 0, size: 1000, confirms: 200, rate: 0, seconds: 0, warm_up: 0 };

/// What a load gave.
pub(super) struct Given {
    received_per_second: f64,
    /// The part of the machine's processors that the store took.
    store_share: f64,
    readings: Vec<Reading>,
}

/// Measures new brokers; `store` is where they archive.
///
/// # Errors
///
/// Where the load cannot be made, or nothing came through.
pub(super) fn measure(
    brokers: &Brokers,
    store: Option<&Store>,
    load: &Load,
    sizes: &Sizes,
    file: &Path,
) -> anyhow::Result<Given> {
    let load = Load { seconds: sizes.seconds, warm_up: sizes.warm_up, ..*load };
    let generator = brokers.load(&load, &["--quiet", "--varied", "--delete"], file)?;
    sleep(Duration::from_secs(load.warm_up));
    let time = || -> anyhow::Result<(Duration, Duration)> {
        let brokers = brokers.ids().into_iter().map(usage::processor_time).sum::<anyhow::Result<Duration>>()?;
        Ok((brokers, store.map_or(Ok(Duration::ZERO), Store::processor_time)?))
    };
    let (before, since) = (time()?, Instant::now());
    let outcome: Outcome = generator.finish(load.limit())?;
    let (after, length) = (time()?, since.elapsed().as_secs_f64());
    if outcome.received == 0 {
        bail!("nothing was received: {} messages were published, with {} errors", outcome.published, outcome.errors);
    }
    let how = if store.is_some() { "with archiving" } else { "without" };
    let received = outcome.received_per_second;
    let each = after.0.saturating_sub(before.0).as_secs_f64() / (received * length);
    let mut readings = vec![
        Reading::more(&format!("received, {how}"), "messages/s", received),
        Reading::less(&format!("processor of the brokers for a message, {how}"), "µs", each * 1e6),
    ];
    if let Some(confirm) = outcome.confirm_ms {
        readings.push(Reading::less(&format!("confirm, p99, {how}"), "ms", confirm.p99));
    }
    readings.extend(memory::most(brokers, &format!("most memory of a broker, {how}"))?);
    let of_store = after.1.saturating_sub(before.1).as_secs_f64() / length;
    if store.is_some() {
        readings.push(Reading::told("the store's own processor, of one core", "%", of_store * 100.0));
    }
    let store_share = of_store / thread::available_parallelism()?.get() as f64;
    Ok(Given { received_per_second: received, store_share, readings })
}

/// What is told of the one beside the other.
pub(super) fn beside(without: &Given, with: Given) -> Vec<Reading> {
    let share = with.received_per_second / without.received_per_second * 100.0;
    let left = share / (1.0 - with.store_share).max(f64::EPSILON);
    let shares = [
        Reading::more("received with archiving, of that without", "%", share),
        Reading::more("the same, of the processors that the store left", "%", left),
    ];
    without.readings.iter().cloned().chain(with.readings).chain(shares).collect()
}
