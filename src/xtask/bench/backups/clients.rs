//! What clients get while all is archived, beside what they get without.

use std::path::Path;
use std::thread::sleep;
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
    if store.is_some() {
        let share = after.1.saturating_sub(before.1).as_secs_f64() / length;
        readings.push(Reading::told("the store's own processor, of one core", "%", share * 100.0));
    }
    Ok(Given { received_per_second: received, readings })
}

/// What is told of the one beside the other.
pub(super) fn beside(without: &Given, with: Given) -> Vec<Reading> {
    let share = with.received_per_second / without.received_per_second * 100.0;
    let share = Reading::more("received with archiving, of that without", "%", share);
    without.readings.iter().cloned().chain(with.readings).chain([share]).collect()
}
