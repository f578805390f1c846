//! Moves damaged data aside, and clears it away when it is not needed any more.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ferrymq_journal::{Disk, OpenError, is_journal, relocate};
use ferrymq_replication::task;

use super::record::{Record, State};
use crate::identity;

/// The directories in a node's data.
const JOURNAL: &str = "journal";
const SNAPSHOTS: &str = "snapshots";

/// Data could not be set aside, or not be cleared away.
#[derive(Debug, thiserror::Error)]
pub enum SetAsideError {
    /// The journal did not move.
    #[error("cannot set the damaged journal aside")]
    Journal(#[from] OpenError),
    /// Something else did not.
    #[error("cannot set damaged data aside in {path}")]
    Disk {
        /// Where it was to go, or the file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A node's data directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
}

impl Directory {
    pub(crate) fn record(&self) -> io::Result<Option<Record>> {
        Record::read(&*self.disk, &self.path)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    pub(crate) fn has_journal(&self) -> io::Result<bool> {
        is_journal(&*self.disk, &self.journal())
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.path.join(SNAPSHOTS)
    }

    /// Moves all of the node's data to a directory of its own, in which nobody looks for it. Cut short by a crash, it is
    /// to be gone on with, before anything is read from what is left.
    pub(crate) fn set_aside(&self, mut record: Record) -> Result<Record, SetAsideError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| SetAsideError::Disk { path, source }
        };
        if record.state != State::Moving {
            let now = task::time_of_day() / 1000;
            // Two within a second are two.
            let name = (now..).map(|at| format!("damaged-{at}")).find(|name| !record.sets.contains(name));
            record.sets.extend(name);
            record.state = State::Moving;
            record.write(&*self.disk, &self.path).map_err(failed(&self.path))?;
        }
        let set = self.path.join(record.sets.last().map_or("damaged", String::as_str));
        self.disk.create_directory(&set).map_err(failed(&set))?;
        // Who the node was goes first: no start finds it with a part of its data.
        self.move_files(&self.path, &set, |name| identity::NAMES.contains(&name)).map_err(failed(&set))?;
        self.move_files(&self.snapshots(), &set.join(SNAPSHOTS), |_| true).map_err(failed(&set))?;
        relocate(&*self.disk, &self.journal(), &set.join(JOURNAL))?;
        let bytes = self.bytes_of(&set).map_err(failed(&set))?;
        record.bytes = bytes;
        record.state = State::SetAside;
        record.write(&*self.disk, &self.path).map_err(failed(&self.path))?;
        tracing::error!(file = record.file, offset = record.offset, problem = record.problem, set = %set.display(), bytes,
            "the data of this broker is damaged; it is set aside, and the others fill the broker anew");
        Ok(record)
    }

    /// The node is in sync again: all but the newest of the sets are removed.
    pub(crate) fn heal(&self, mut record: Record) -> io::Result<()> {
        let newest = record.sets.pop();
        for set in &record.sets {
            let path = self.path.join(set);
            let bytes = self.bytes_of(&path)?;
            self.remove_set(&path)?;
            tracing::info!(set, bytes, "damaged data that was set aside earlier is removed");
        }
        record.sets = newest.into_iter().collect();
        record.state = State::Healed;
        record.write(&*self.disk, &self.path)?;
        if let Some(set) = record.sets.last() {
            let bytes = self.bytes_of(&self.path.join(set))?;
            tracing::info!(set, bytes, "in sync again; the damaged data is kept, and may be removed");
        }
        Ok(())
    }

    fn move_files(&self, from: &Path, to: &Path, is_meant: impl Fn(&str) -> bool) -> io::Result<()> {
        let names = match self.disk.list(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            names => names?,
        };
        self.disk.create_directory(to)?;
        for name in names.iter().filter(|name| is_meant(name)) {
            self.disk.rename(&from.join(name), &to.join(name))?;
        }
        self.disk.sync_directory(to)?;
        self.disk.sync_directory(from)
    }

    fn bytes_of(&self, set: &Path) -> io::Result<u64> {
        let mut bytes = 0;
        for file in self.files_of(set)? {
            bytes += self.disk.open(&file)?.length()?;
        }
        Ok(bytes)
    }

    fn files_of(&self, set: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for directory in [set.join(JOURNAL), set.join(SNAPSHOTS), set.to_owned()] {
            match self.disk.list(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                names => files.extend(names?.into_iter().map(|name| directory.join(name))),
            }
        }
        Ok(files)
    }

    fn remove_set(&self, set: &Path) -> io::Result<()> {
        for file in self.files_of(set)? {
            self.disk.remove(&file)?;
        }
        for directory in [set.join(JOURNAL), set.join(SNAPSHOTS), set.to_owned()] {
            match self.disk.remove_directory(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.disk.sync_directory(&self.path)
    }
}
