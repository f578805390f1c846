//! The cases that every system is measured by.

use std::time::{Duration, Instant};

use anyhow::bail;

use super::load::{Latency, Load, Outcome};
use super::machine::DiskLimit;
use super::reading::Reading;
use super::system::Running;
use super::usage;

/// Replicas of every message, all of them on this machine's one disk.
const COPIES: f64 = 3.0;

/// Nodes that just started are left alone for so long before their idleness is measured, for as long again.
const IDLE: Duration = Duration::from_secs(10);

/// How long each load is measured for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Seconds that are measured.
    pub(super) seconds: u64,
    /// Seconds before these.
    pub(super) warm_up: u64,
}

/// A case that every system is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Case {
    /// Three nodes that nobody uses: memory and processor time
    Idle,
    /// One queue, one publisher, one consumer, 12 bytes
    Small,
    /// The same with 1,000 bytes
    Kilobyte,
    /// Ten queues, ten publishers, ten consumers, 1,000 bytes
    Ten,
    /// 1,000 messages a second of 1,000 bytes
    Steady,
    /// One queue, 64 KiB: how much of what the disk allows
    Large,
}

impl Case {
    /// The load, where there is one.
    fn load(self, times: Times) -> Option<Load> {
        let Times { seconds, warm_up } = times;
        let one = Load { publishers: 1, consumers: 1, queues: 1, size: 1000, confirms: 200, rate: 0, seconds, warm_up };
        match self {
            Self::Idle => None,
            Self::Small => Some(Load { size: 12, ..one }),
            Self::Kilobyte => Some(one),
            Self::Ten => Some(Load { publishers: 10, consumers: 10, queues: 10, ..one }),
            Self::Steady => Some(Load { rate: 1000, ..one }),
            Self::Large => Some(Load { size: 64 << 10, confirms: 64, ..one }),
        }
    }
}

/// What a case gave.
pub(super) struct Measured {
    /// What is told of it.
    pub(super) readings: Vec<Reading>,
    /// All that the generator measured, where there was a load.
    pub(super) outcome: Option<Outcome>,
}

/// Measures a system that runs by one case. `disk` has the disk's own limits, the smallest writes first.
///
/// # Errors
///
/// Where the load cannot be made, or nothing came through.
pub(super) fn measure(running: &Running<'_>, case: Case, times: Times, disk: &[DiskLimit]) -> anyhow::Result<Measured> {
    let Some(load) = case.load(times) else {
        return Ok(Measured { readings: idle(&running.ids()?)?, outcome: None });
    };
    let outcome: Outcome = running.load(&load)?.finish(load.limit())?;
    if outcome.received == 0 {
        bail!("nothing was received: {} messages were published, with {} errors", outcome.published, outcome.errors);
    }
    let readings = match case {
        Case::Steady => {
            let mut readings = vec![Reading::told("received", "messages/s", outcome.received_per_second)];
            readings.extend(latencies(&outcome));
            readings
        }
        Case::Large => {
            let rate = |per_second: f64| per_second * f64::from(load.size) / 1e6;
            let received = rate(outcome.received_per_second);
            let mut readings = vec![
                Reading::more("received", "MB/s", received),
                Reading::told("confirmed", "MB/s", rate(outcome.confirmed_per_second)),
            ];
            let limit = disk.last().map(|limit| limit.megabytes_per_second() / COPIES);
            readings.extend(limit.map(|limit| Reading::more("of what the disk allows", "%", received / limit * 100.0)));
            readings
        }
        Case::Small | Case::Kilobyte | Case::Ten | Case::Idle => {
            let mut readings = vec![
                Reading::more("received", "messages/s", outcome.received_per_second),
                Reading::told("confirmed", "messages/s", outcome.confirmed_per_second),
            ];
            readings.extend(latencies(&outcome));
            readings
        }
    };
    Ok(Measured { readings, outcome: Some(outcome) })
}

fn latencies(outcome: &Outcome) -> Vec<Reading> {
    let Some(Latency { p50, p99, .. }) = outcome.confirm_ms else { return Vec::new() };
    vec![Reading::less("confirm, p50", "ms", p50), Reading::less("confirm, p99", "ms", p99)]
}

fn idle(nodes: &[u32]) -> anyhow::Result<Vec<Reading>> {
    std::thread::sleep(IDLE);
    let time = || nodes.iter().map(|node| usage::processor_time(*node)).sum::<anyhow::Result<Duration>>();
    let (before, since) = (time()?, Instant::now());
    std::thread::sleep(IDLE);
    let share = time()?.saturating_sub(before).as_secs_f64() / since.elapsed().as_secs_f64();
    let memory = nodes.iter().map(|node| usage::memory(*node)).sum::<anyhow::Result<u64>>()?;
    Ok(vec![
        Reading::less("memory of three nodes", "MB", memory as f64 / 1e6),
        Reading::less("processor, of one core", "%", share * 100.0),
    ])
}
