//! The cases that only FerryMQ is measured by: what it does with much, and when brokers go and come back.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::brokers::{BROKERS, Brokers};
use super::load::{Generator, Load, Outcome};
use super::process::until;
use super::reading::Reading;
use super::system::Place;
use super::usage;

/// The longest that a long fill or drain may take.
pub(super) const LONG: Duration = Duration::from_secs(4 * 3600);
/// The longest that a generator may take to end once it was told.
const END_LIMIT: Duration = Duration::from_secs(90);
/// The longest that brokers which serve may take to count their messages.
const COUNT_LIMIT: Duration = Duration::from_secs(60);
/// Between two questions for the number of messages.
const LOOK: Duration = Duration::from_millis(200);

/// Bytes of a message where a journal is filled.
const LARGE: u64 = 64 << 10;
/// Connections that declare many queues.
const DECLARERS: u32 = 10;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Messages of a backlog.
    pub(super) backlog: u64,
    /// Messages of one that comes one by one.
    pub(super) singles: u64,
    /// Queues.
    pub(super) queues: u32,
    /// Bytes of messages in a journal.
    pub(super) journal_bytes: u64,
    /// Seconds of a load that a broker is killed under.
    pub(super) seconds: u64,
    /// Seconds before these.
    pub(super) warm_up: u64,
}

/// A case that only FerryMQ is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Case {
    /// FerryMQ alone: many messages without a consumer, and then with one
    Backlog,
    /// FerryMQ alone: many messages without a consumer, each committed with few others
    Singles,
    /// FerryMQ alone: many queues
    Queues,
    /// FerryMQ alone: the start with a long journal
    Restart,
    /// FerryMQ alone: the leader is killed under load
    Failover,
    /// FerryMQ alone: every broker stops and starts in turn under load
    Rolling,
}

/// Measures new brokers by one case.
///
/// # Errors
///
/// Where the brokers or the generator fail.
pub(super) fn measure(place: &Place<'_>, case: Case, sizes: Sizes) -> anyhow::Result<Vec<Reading>> {
    let brokers = place.brokers()?;
    let file = place.outcome();
    match case {
        Case::Backlog => backlog(&brokers, sizes.backlog, &FILLING, &file),
        Case::Singles => backlog(&brokers, sizes.singles, &ONE_BY_ONE, &file),
        Case::Queues => queues(brokers, sizes.queues, &file),
        Case::Restart => restart(brokers, sizes.journal_bytes, &file),
        Case::Failover => failover(brokers, sizes, &file),
        Case::Rolling => rolling(brokers, &file),
    }
}

fn backlog(brokers: &Brokers, count: u64, filling: &Load, file: &Path) -> anyhow::Result<Vec<Reading>> {
    let mut readings = memory(brokers, "before")?;
    let outcome = fill(brokers, count, &Load { size: 100, ..*filling }, file)?;
    readings.push(Reading::more("filled", "messages/s", outcome.confirmed_per_second));
    readings.extend(memory(brokers, "with the backlog")?);
    let consumers = filling.queues;
    let consuming = Load { publishers: 0, consumers, size: 100, seconds: LONG.as_secs(), ..*filling };
    let began = Instant::now();
    // As many under way as while it was filled.
    let prefetch = (2000 / consumers).max(10).to_string();
    let mut generator = brokers.load(&consuming, &["--no-declare", "--quiet", "--prefetch", &prefetch], file)?;
    until("the backlog was not consumed", LONG, || {
        sleep(LOOK);
        generator.check_runs()?;
        Ok((brokers.status()?.messages == 0).then_some(()))
    })?;
    let took = began.elapsed();
    let received = end(generator)?.received;
    if received < count {
        bail!("{received} of {count} messages were received, and none are left");
    }
    readings.push(Reading::more("drained", "messages/s", count as f64 / took.as_secs_f64()));
    Ok(readings)
}

/// What `ferrymq bench queues` measured, as far as it is told here.
#[derive(Deserialize)]
struct Declared {
    declared_per_second: f64,
}

fn queues(mut brokers: Brokers, count: u32, file: &Path) -> anyhow::Result<Vec<Reading>> {
    let mut readings = memory(&brokers, "before")?;
    let declared: Declared = brokers.declare_many(count, DECLARERS, file)?.finish(LONG)?;
    readings.push(Reading::more("declared", "queues/s", declared.declared_per_second));
    readings.extend(memory(&brokers, "with the queues")?);
    (0..BROKERS).try_for_each(|ordinal| brokers.stop_one(ordinal))?;
    readings.push(serving("all stopped, to serving", brokers.start_all()?));
    let found = brokers.status()?.queues;
    if found != u64::from(count) {
        bail!("{count} queues were declared, and {found} are there after a restart");
    }
    readings.extend(memory(&brokers, "after the restart")?);
    Ok(readings)
}

fn restart(mut brokers: Brokers, bytes: u64, file: &Path) -> anyhow::Result<Vec<Reading>> {
    let count = bytes.div_ceil(LARGE);
    fill(&brokers, count, &Load { size: u32::try_from(LARGE)?, ..FILLING }, file)?;
    let mut readings =
        vec![Reading::told("data of a broker", "GB", usage::folder_bytes(&brokers.data(0))? as f64 / 1e9)];
    (0..BROKERS).try_for_each(|ordinal| brokers.stop_one(ordinal))?;
    readings.push(serving("all stopped, to serving", brokers.start_all()?));
    readings.push(serving("and then, to all messages counted", await_messages(&brokers, count)?));
    (0..BROKERS).try_for_each(|ordinal| brokers.kill_one(ordinal))?;
    readings.push(serving("all killed, to serving", brokers.start_all()?));
    readings.push(serving("and then, to all messages counted again", await_messages(&brokers, count)?));
    Ok(readings)
}

/// Waits until the cluster counts what was confirmed: a new leader may serve before it has applied all of its log.
///
/// # Errors
///
/// Where it does not.
pub(super) fn await_messages(brokers: &Brokers, count: u64) -> anyhow::Result<Duration> {
    let (began, mut found) = (Instant::now(), 0);
    let counted = until("not all messages are there after a restart", COUNT_LIMIT, || {
        found = brokers.status()?.messages;
        Ok((found >= count).then_some(()))
    });
    counted.with_context(|| format!("{count} messages were confirmed, and {found} are counted"))?;
    Ok(began.elapsed())
}

fn failover(mut brokers: Brokers, sizes: Sizes, file: &Path) -> anyhow::Result<Vec<Reading>> {
    let Sizes { seconds, warm_up, .. } = sizes;
    brokers.declare(QUEUE)?;
    let load = Load { seconds, warm_up, ..STEADY };
    let mut generator = brokers.load(&load, &["--no-declare", "--quiet"], file)?;
    sleep(Duration::from_secs(warm_up) + Duration::from_secs(seconds) / 3);
    generator.check_runs()?;
    // Not the one that led at first: leaders are spread over the brokers a little later.
    let leader = brokers.leader(QUEUE)?;
    brokers.kill_one(leader)?;
    // It stays away while the others take over.
    sleep(Duration::from_secs(seconds) / 3);
    brokers.start_one(leader)?;
    let outcome: Outcome = generator.finish(load.limit())?;
    brokers.await_healthy()?;
    Ok(disturbed(&outcome))
}

fn rolling(mut brokers: Brokers, file: &Path) -> anyhow::Result<Vec<Reading>> {
    brokers.declare(QUEUE)?;
    let load = Load { seconds: LONG.as_secs(), warm_up: 0, ..STEADY };
    let mut generator = brokers.load(&load, &["--no-declare", "--quiet"], file)?;
    let mut slowest = Duration::ZERO;
    for ordinal in 0..BROKERS {
        // Something is under way when it stops.
        sleep(Duration::from_secs(2));
        generator.check_runs()?;
        let began = Instant::now();
        brokers.stop_one(ordinal)?;
        brokers.start_all()?;
        slowest = slowest.max(began.elapsed());
    }
    sleep(Duration::from_secs(2));
    let mut readings = disturbed(&end(generator)?);
    readings.push(Reading::less("slowest stop and start, until in sync", "s", slowest.as_secs_f64()));
    Ok(readings)
}

/// The queue that is declared before a load.
const QUEUE: &str = "bench-0";

/// A client of each kind on every broker.
const STEADY: Load =
    Load { publishers: 3, consumers: 3, queues: 1, size: 1000, confirms: 200, rate: 1000, seconds: 0, warm_up: 0 };

/// Publishers that only publish.
pub(super) const FILLING: Load =
    Load { publishers: 2, consumers: 0, queues: 1, size: 0, confirms: 1000, rate: 0, seconds: 0, warm_up: 0 };

/// Publishers that wait for each confirm before they publish again: what is committed together is of many queues.
const ONE_BY_ONE: Load = Load { publishers: 100, queues: 100, confirms: 1, ..FILLING };

/// Publishes so many messages that nobody fetches.
fn fill(brokers: &Brokers, count: u64, load: &Load, file: &Path) -> anyhow::Result<Outcome> {
    filled(brokers, count, load, &[], file)
}

/// The same, with further options for the generator.
///
/// # Errors
///
/// Where not all of them are confirmed.
pub(super) fn filled(
    brokers: &Brokers,
    count: u64,
    load: &Load,
    options: &[&str],
    file: &Path,
) -> anyhow::Result<Outcome> {
    let load = Load { seconds: LONG.as_secs(), ..*load };
    let messages = count.to_string();
    let options = [&["--messages", &messages, "--quiet"], options].concat();
    let outcome: Outcome = brokers.load(&load, &options, file)?.finish(LONG)?;
    if outcome.confirmed < count {
        bail!("{} of {count} messages were confirmed, with {} errors", outcome.confirmed, outcome.errors);
    }
    Ok(outcome)
}

/// Ends a load that would go on.
///
/// # Errors
///
/// Where it does not say what it measured.
pub(super) fn end(generator: Generator) -> anyhow::Result<Outcome> {
    generator.interrupt()?;
    generator.finish(END_LIMIT)
}

fn disturbed(outcome: &Outcome) -> Vec<Reading> {
    vec![
        Reading::less("longest pause of a publisher", "ms", outcome.longest_pause_ms),
        Reading::less("publishes refused", "messages", outcome.nacked as f64),
        Reading::less("confirms that went with a connection", "messages", outcome.lost_confirms as f64),
        Reading::less("delivered again", "messages", outcome.redelivered as f64),
        Reading::told("connections opened again", "", outcome.reconnects as f64),
        Reading::told("published", "messages", outcome.published as f64),
    ]
}

fn serving(what: &str, took: Duration) -> Reading {
    Reading::less(what, "s", took.as_secs_f64())
}

fn memory(brokers: &Brokers, when: &str) -> anyhow::Result<Vec<Reading>> {
    let named = |(ordinal, process): (usize, u32)| {
        let bytes = usage::memory(process)?;
        Ok(Reading::less(&format!("memory of broker {ordinal}, {when}"), "MB", bytes as f64 / 1e6))
    };
    brokers.ids().into_iter().enumerate().map(named).collect()
}
