//! Queues with much in them: archived, backed up while clients go on, and restored.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use ferrymq_admin_api::{BackupState, RestoreOrder};

use super::store::Store;
use super::{Sizes, lag, memory};
use crate::bench::alone::{FILLING, LONG, await_messages, end, filled};
use crate::bench::brokers::{BROKERS, Brokers, Plan};
use crate::bench::load::{Load, Outcome};
use crate::bench::process::until;
use crate::bench::reading::Reading;
use crate::bench::system::Place;

const BACKUP: &str = "bench";
/// The longest that a backup may take.
const BACKUP_LIMIT: Duration = Duration::from_secs(3600);
/// Between two questions for how far it is.
const ASK: Duration = Duration::from_millis(100);
/// Clients go on for so long before a backup begins.
const BEFORE: Duration = Duration::from_secs(2);

/// What is in the queues.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contents {
    /// How many messages.
    pub(super) messages: u64,
    /// Bytes of each.
    pub(super) size: u32,
    /// Queues that they are spread over.
    pub(super) queues: u32,
}

/// Clients that use another queue meanwhile.
const CLIENTS: Load =
    Load { publishers: 1, consumers: 1, queues: 1, size: 1000, confirms: 200, rate: 1000, seconds: 0, warm_up: 1 };
const CLIENTS_OPTIONS: [&str; 4] = ["--quiet", "--varied", "--queue-prefix", "clients-"];

/// Fills new brokers that archive; `backup` says whether a backup is made, and that is restored; else what is archived.
///
/// # Errors
///
/// Where something cannot be done, or not all of it is there afterwards.
pub(super) fn measure(
    place: &Place<'_>,
    store: &Store,
    contents: Contents,
    backup: bool,
    sizes: &Sizes,
) -> anyhow::Result<Vec<Reading>> {
    let brokers = place.planned(&Plan { archive: Some(store.configuration()), ..Plan::default() })?;
    let Contents { messages, size, queues } = contents;
    let load = Load { publishers: queues.max(2), queues, size, ..FILLING };
    let outcome = filled(&brokers, messages, &load, &["--varied"], &place.outcome())?;
    let mut readings = vec![
        Reading::told("filled", "messages/s", outcome.confirmed_per_second),
        Reading::less("and then, to all archived", "s", lag::await_archived(&brokers)?.as_secs_f64()),
        Reading::told("in the store", "GB", store.bytes()? as f64 / 1e9),
    ];
    if backup {
        readings.extend(back_up(&brokers, sizes, &place.outcome())?);
    }
    drop(brokers);
    let order = RestoreOrder { backup: backup.then(|| BACKUP.to_owned()), ..RestoreOrder::default() };
    for brokers in [1, BROKERS] {
        readings.extend(restore(place, store, contents, brokers, &order)?);
    }
    Ok(readings)
}

fn back_up(brokers: &Brokers, sizes: &Sizes, file: &Path) -> anyhow::Result<Vec<Reading>> {
    memory::forget(brokers)?;
    let load = Load { seconds: sizes.seconds, ..CLIENTS };
    let before: Outcome = brokers.load(&load, &CLIENTS_OPTIONS, file)?.finish(load.limit())?;
    let mut readings = Vec::new();
    readings.extend(memory::most(brokers, "most memory of a broker, before the backup")?);
    memory::forget(brokers)?;
    let load = Load { seconds: LONG.as_secs(), ..CLIENTS };
    let mut generator = brokers.load(&load, &CLIENTS_OPTIONS, file)?;
    sleep(Duration::from_secs(load.warm_up) + BEFORE);
    let began = Instant::now();
    let bytes = until("the backup was not made", BACKUP_LIMIT, || {
        generator.check_runs()?;
        let view = brokers.back_up(BACKUP)?;
        match view.state {
            BackupState::Completed => Ok(Some(view.bytes)),
            BackupState::Failed => bail!("the backup was given up: {}", view.message),
            BackupState::Running => {
                sleep(ASK);
                Ok(None)
            }
        }
    })?;
    let took = began.elapsed().as_secs_f64();
    readings.extend(memory::most(brokers, "most memory of a broker, while it is made")?);
    let during = end(generator)?;
    readings.extend([
        Reading::less("backup, to its end", "s", took),
        Reading::told("of the backup", "MB", bytes as f64 / 1e6),
    ]);
    for (outcome, when) in [(before, "before"), (during, "while it is made")] {
        let confirm = outcome.confirm_ms.context("nothing was confirmed")?;
        readings.push(Reading::less(&format!("confirm, p99, {when}"), "ms", confirm.p99));
        readings.push(Reading::less(&format!("confirm, longest, {when}"), "ms", confirm.max));
    }
    Ok(readings)
}

fn restore(
    place: &Place<'_>,
    store: &Store,
    contents: Contents,
    count: usize,
    order: &RestoreOrder,
) -> anyhow::Result<Vec<Reading>> {
    let restore = Some((store.configuration(), order.clone()));
    let mut brokers = place.unformed(&Plan { brokers: count, archive: None, restore })?;
    let began = Instant::now();
    brokers.form(Some(order.clone()))?;
    let took = began.elapsed().as_secs_f64();
    let to = if count == 1 { "restored to one broker".to_owned() } else { format!("restored to {count} brokers") };
    let megabytes = contents.messages as f64 * f64::from(contents.size) / 1e6;
    let mut readings =
        vec![Reading::less(&format!("{to}, to serving"), "s", took), Reading::more(&to, "MB/s", megabytes / took)];
    readings.extend(memory::most(&brokers, &format!("most memory of a broker, {to}"))?);
    await_messages(&brokers, contents.messages)?;
    Ok(readings)
}
