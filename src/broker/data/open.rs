//! Opening a node's data, or what is to be done where it is damaged.

use std::{io, path::PathBuf, time::Duration};

use ferrymq_replication::{Damage, Store, task};
use tokio::time::{Instant, sleep};

use super::{
    record::{Record, State},
    set_aside::Directory,
    verify,
};
use crate::{
    identity::{Identity, IdentityFile},
    node::{Settings, StartError},
};

/// How long a start waits for another process to let go of the data: one that was deleted by force, or whose node was out
/// of reach, may still be stopping in order while the next one starts.
const DATA_IN_USE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A node's data, opened.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) file: IdentityFile,
    pub(crate) identity: Identity,
    /// Damage for which the node is being filled anew.
    pub(crate) damage: Option<Record>,
}

/// Opens a node's data as [`open`] does, once no other process has it open; waits a minute for that.
///
/// # Errors
///
/// As [`open`].
pub(crate) async fn open_when_free(settings: &Settings) -> Result<Opened, StartError> {
    let until = Instant::now() + DATA_IN_USE;
    let mut told = false;
    loop {
        let directory = settings.directory.clone();
        let to_open = settings.clone();
        let opened = task::blocking(move || open(&to_open)).await;
        match opened.map_err(|error| StartError::Directory { directory, source: io::Error::other(error) })? {
            Err(StartError::Store(error)) if error.is_in_use() && Instant::now() < until => {
                if !std::mem::replace(&mut told, true) {
                    let directory = settings.directory.display();
                    tracing::warn!(%directory, "another process has the data open; waits until it has ended");
                }
                // Nobody is told when the lock on a file is free.
                sleep(LOOK_AGAIN).await;
            }
            opened => return opened,
        }
    }
}

/// Opens a node's data. What is damaged is set aside, where there are others to fill the node anew: it is then a new node.
/// Blocks.
///
/// # Errors
///
/// [`StartError::Damaged`] where there are no others; otherwise whatever keeps the data from being opened, and is no
/// damage.
pub(crate) fn open(settings: &Settings) -> Result<Opened, StartError> {
    let directory = Directory { disk: settings.disk.clone(), path: settings.directory.clone() };
    let unusable = |source| StartError::Directory { directory: settings.directory.clone(), source };
    settings.disk.create_directory(&settings.directory).map_err(unusable)?;
    let mut record = directory.record().map_err(unusable)?;
    record = match record {
        Some(record) if record.state == State::Moving => Some(directory.set_aside(record)?),
        Some(found) if found.state == State::Found => after(&directory, found)?,
        other => other,
    };
    let opened = match try_open(settings, &directory, record.clone()) {
        Err(error) => match error.damage() {
            Some(damage) => {
                let found = Record::found(&directory.path, &damage, record.as_ref());
                let is_being_filled = record.is_some_and(|record| record.state == State::SetAside);
                if !is_being_filled && !has_others(&directory) {
                    return Err(alone(&directory, &found));
                }
                let record = directory.set_aside(found)?;
                try_open(settings, &directory, Some(record))?
            }
            None => return Err(error),
        },
        Ok(opened) => opened,
    };
    note_damage(&opened.store, directory);
    Ok(opened)
}

/// What an earlier run found decides, whether it shows now or not. Only a node that is alone looks again: it may have been
/// restored since.
fn after(directory: &Directory, found: Record) -> Result<Option<Record>, StartError> {
    if has_others(directory) {
        return Ok(Some(directory.set_aside(found)?));
    }
    match verify(&directory.disk, &directory.path) {
        Ok(report) if report.problems.iter().all(|problem| problem.mended_by_start) => {
            let healed = Record { state: State::Healed, ..found };
            let written = healed.write(&*directory.disk, &directory.path);
            written.map_err(|source| StartError::Directory { directory: directory.path.clone(), source })?;
            tracing::warn!("the damage that was found before is not there any more");
            Ok(Some(healed))
        }
        _ => Err(alone(directory, &found)),
    }
}

fn try_open(settings: &Settings, directory: &Directory, record: Option<Record>) -> Result<Opened, StartError> {
    let unusable = |source| StartError::Directory { directory: directory.path.clone(), source };
    let file = IdentityFile::new(directory.disk.clone(), &directory.path);
    // Before an empty one is made in its place: who a node is was written after its journal was made.
    if file.is_there().map_err(unusable)? && !directory.has_journal().map_err(unusable)? {
        return Err(StartError::NoJournal { path: directory.journal() });
    }
    // It holds the lock on the directory.
    let store = Store::open(settings.disk.clone(), settings.directory.clone(), settings.journal)?;
    let identity = file.start(store.is_empty())?;
    let damage = record.filter(|record| record.state == State::SetAside);
    Ok(Opened { store, file, identity, damage })
}

/// Other nodes are known, by the last membership that can be read.
fn has_others(directory: &Directory) -> bool {
    let file = IdentityFile::new(directory.disk.clone(), &directory.path);
    file.last_known().is_some_and(|membership| membership.has_others())
}

fn alone(directory: &Directory, record: &Record) -> StartError {
    StartError::Damaged {
        directory: directory.path.clone(),
        file: PathBuf::from(&record.file),
        offset: record.offset,
        problem: record.problem.clone(),
    }
}

/// What is found from now on is noted for the next start.
fn note_damage(store: &Store, directory: Directory) {
    store.on_damage(move |damage: &Damage| {
        let noted = directory.record().and_then(|earlier| match earlier {
            // The first one stays.
            Some(earlier) if earlier.state == State::Found => Ok(()),
            earlier => {
                Record::found(&directory.path, damage, earlier.as_ref()).write(&*directory.disk, &directory.path)
            }
        });
        if let Err(error) = noted {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the damage could not be noted for the next start"
            );
        }
    });
}
