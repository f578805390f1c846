//! The journal, opened and sorted by group; and its upkeep.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ferrymq_journal::{Disk, Journal, Options, Statistics};
use ferrymq_pages::PageStore;
use tokio::sync::watch;

use crate::{
    damage::{Damage, Failure},
    log::GroupLog,
    log_index::LogIndex,
    page_file::{self, PageFile},
    snapshot::{self, SnapshotError, SnapshotFile},
    task,
    types::GroupId,
    verify::verify_snapshots,
};

/// The journal may have this many segments' worth of what is of no use before any of it is cleaned.
const DEAD_SEGMENTS: u64 = 6;

/// The node's data could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal refused.
    #[error("cannot open the journal in {directory}")]
    Journal {
        /// Where it is.
        directory: PathBuf,
        /// Why.
        #[source]
        source: ferrymq_journal::OpenError,
    },
    /// A snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The directory of the snapshots cannot be made or read.
    #[error("cannot make or read {directory}")]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// Another process has the journal open.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Journal { source: ferrymq_journal::OpenError::Locked { .. }, .. })
    }

    /// What the disk no longer has as it was written, where that is why.
    #[must_use]
    pub fn damage(&self) -> Option<Damage> {
        match self {
            Self::Journal { source, .. } => {
                let (path, offset) = source.damage()?;
                Some(Damage { path: path.to_owned(), offset, problem: source.to_string() })
            }
            Self::Snapshot(error) => error.damage(),
            Self::Directory { .. } => None,
        }
    }
}

/// A node's journal, and what each group has in it.
pub struct Store {
    disk: Arc<dyn Disk>,
    snapshots: PathBuf,
    journal: Journal,
    /// The logs of groups: what was found on disk, until it was opened; nothing of those that were.
    logs: Mutex<HashMap<GroupId, Option<LogIndex>>>,
    pages: Arc<PageFile>,
    failure: Failure,
    /// Where entries are kept whole until somebody says that they are archived: the first that is not, as it was known at
    /// the start.
    archived: OnceLock<BTreeMap<GroupId, u64>>,
    /// Indexes of the journal are being written.
    indexing: Arc<AtomicBool>,
}

impl Store {
    /// Opens `<directory>/journal` and `<directory>/snapshots`, which are made where they are missing. Reads the
    /// journal's indexes, and its last segment: call it where blocking is allowed.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the directory is in use, or damaged; see [`OpenError::damage`].
    pub fn open(disk: Arc<dyn Disk>, directory: PathBuf, options: Options) -> Result<Self, OpenError> {
        let snapshots = directory.join("snapshots");
        disk.create_directory(&snapshots)
            .map_err(|source| OpenError::Directory { directory: snapshots.clone(), source })?;
        let path = directory.join("journal");
        let mut groups: HashMap<GroupId, LogIndex> = HashMap::new();
        let mut dead = Vec::new();
        let failure = Failure::new();
        let pages = Arc::new(PageFile::new(disk.clone(), directory.join(page_file::NAME), failure.clone()));
        let journal = Journal::open(disk.clone(), &path, options, &mut |head| {
            let group = GroupId::try_from(head.stream).map_err(|_| "a record is of no group")?;
            dead.extend(groups.entry(group).or_insert_with(|| LogIndex::new(pages.clone())).recover(&head)?);
            Ok(())
        })
        .map_err(|source| OpenError::Journal { directory: path, source })?;
        // Not before the journal is locked: it may be another process's.
        remove_left_behind(&*disk, &snapshots, &pages)
            .map_err(|source| OpenError::Directory { directory: directory.clone(), source })?;
        dead.into_iter().for_each(|position| journal.release(position));
        groups.values_mut().for_each(LogIndex::settle);
        #[cfg(feature = "simulation")]
        crate::simulation::forget_damaged(&*disk, &snapshots, &mut groups);
        remove_forgotten(&*disk, &snapshots, &groups)?;
        whole_snapshots(&*disk, &snapshots, &groups)?;
        let logs = groups.into_iter().map(|(group, log)| (group, Some(log))).collect();
        let told = failure.clone();
        journal.on_damage(move |error| told.read(error));
        Ok(Self {
            disk,
            snapshots,
            journal,
            logs: Mutex::new(logs),
            pages,
            failure,
            archived: OnceLock::new(),
            indexing: Arc::default(),
        })
    }

    /// What ended the journal, or made an end necessary, once something has. The process is to stop then, and be started
    /// again.
    #[must_use]
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }

    /// Damage that is found from now on is given to `note` before [`Store::failure`] tells of it: to be noted where the
    /// next start finds it, for that one must not serve from what is left. Only the first call counts.
    pub fn on_damage(&self, note: impl Fn(&Damage) + Send + Sync + 'static) {
        self.failure.on_damage(Box::new(note));
    }

    /// Where machines may put what is long of their state and that nobody looks at.
    #[must_use]
    pub fn pages(&self) -> Arc<dyn PageStore> {
        self.pages.clone()
    }

    /// Groups that are opened from now on keep their entries whole, from the first on that is not archived as far as is
    /// known, until [`Group::hold_from`](crate::Group::hold_from) says which of them are. Only the first call counts.
    pub fn hold_logs(&self, archived: BTreeMap<GroupId, u64>) {
        // It was said before.
        let _ = self.archived.set(archived);
    }

    /// There is nothing of any group in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Writes what makes the next opening quick, in the background. To be called every few seconds.
    pub fn upkeep(&self) {
        self.refresh_closed();
        if self.indexing.swap(true, Ordering::Relaxed) {
            return;
        }
        let (journal, indexing) = (self.journal.clone(), self.indexing.clone());
        task::spawn(task::blocking(move || {
            if let Err(error) = journal.write_indexes() {
                tracing::error!(error = &error as &dyn std::error::Error, "the journal cannot be read");
            }
            indexing.store(false, Ordering::Relaxed);
        }));
    }

    /// Waits for what is being written, and closes the journal.
    pub fn close(&self) {
        self.journal.close();
    }

    /// What the journal has done since it was opened, and how much it holds.
    #[must_use]
    pub fn journal_statistics(&self) -> Statistics {
        self.journal.statistics()
    }

    /// Segments before this one are to be emptied, because most of the journal is of no use any more and what is left of
    /// it in them holds the rest.
    #[must_use]
    pub fn clean_before(&self) -> u64 {
        let segments = self.journal.segments();
        let (bytes, live) =
            segments.iter().fold((0, 0), |(bytes, live), segment| (bytes + segment.bytes, live + segment.live_bytes));
        let dead = bytes.saturating_sub(live);
        let capacity = segments.first().map_or(0, |segment| segment.capacity);
        let worth_it = dead > live && dead > capacity.saturating_mul(DEAD_SEGMENTS);
        segments.first().filter(|_| worth_it).map_or(0, |oldest| oldest.segment + 1)
    }

    /// A group's log, once. A group that was not opened in the end must not be opened again with an empty one: it would
    /// have forgotten its votes.
    pub(crate) fn log(&self, group: GroupId) -> io::Result<GroupLog> {
        let known = self.logs.lock().unwrap_or_else(PoisonError::into_inner).insert(group, None);
        let index = match known {
            None => LogIndex::new(self.pages.clone()),
            Some(Some(found)) => found,
            Some(None) => {
                return Err(io::Error::other(format!(
                    "the log of shard {group} is open already, or could not be opened"
                )));
            }
        };
        Ok(self.log_of(group, index))
    }

    fn log_of(&self, group: GroupId, index: LogIndex) -> GroupLog {
        let held_from = self.archived.get().map_or(u64::MAX, |known| known.get(&group).copied().unwrap_or(0));
        GroupLog::new(group, self.journal.clone(), index, held_from, self.failure.clone())
    }

    /// Gives back a log that is used no more: the group may be opened again.
    pub(crate) fn give_back(&self, group: GroupId, log: GroupLog) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.insert(group, Some(log.into_index()));
    }

    /// There are entries of this group, or it is open.
    #[must_use]
    pub fn holds(&self, group: GroupId) -> bool {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.get(&group).is_some_and(|log| log.as_ref().is_none_or(|log| !log.is_blank()))
    }

    /// Marks of groups that are not open are written again, so that they do not hold old segments.
    fn refresh_closed(&self) {
        let current = self.journal.current_segment();
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        for (group, log) in logs.iter_mut() {
            let Some(index) = log.take() else { continue };
            let open = self.log_of(*group, index);
            if let Err(error) = open.refresh(current) {
                tracing::warn!(group, %error, "what is left of a shard was not written again");
            }
            *log = Some(open.into_index());
        }
    }

    pub(crate) fn snapshot(&self, group: GroupId) -> SnapshotFile {
        SnapshotFile::new(self.disk.clone(), self.snapshots.join(snapshot::name_of(group)), self.failure.clone())
    }

    /// The disk has no space for much more: time to take no more messages, while it can still be written down which are
    /// done with.
    #[must_use]
    pub fn is_short_of_space(&self) -> bool {
        self.journal.is_short_of_space()
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }
}

/// What an earlier process left that means nothing to this one: pages, and states that did not come in to their end.
fn remove_left_behind(disk: &dyn Disk, snapshots: &Path, pages: &PageFile) -> io::Result<()> {
    for name in disk.list(snapshots)?.into_iter().filter(|name| snapshot::is_incoming(name)) {
        disk.remove(&snapshots.join(name))?;
    }
    pages.remove_unused()
}

/// The snapshots of groups that were forgotten, where that was not finished.
fn remove_forgotten(disk: &dyn Disk, directory: &Path, groups: &HashMap<GroupId, LogIndex>) -> Result<(), OpenError> {
    for group in groups.iter().filter(|(_, log)| log.forgotten().is_some() && log.is_blank()).map(|(group, _)| *group) {
        snapshot::remove(disk, &directory.join(snapshot::name_of(group)))
            .map_err(|source| OpenError::Directory { directory: directory.to_owned(), source })?;
    }
    Ok(())
}

/// All snapshots are as they were written, and none is missing that a log follows.
fn whole_snapshots(disk: &dyn Disk, directory: &Path, groups: &HashMap<GroupId, LogIndex>) -> Result<(), OpenError> {
    let reports = verify_snapshots(disk, directory)
        .map_err(|source| OpenError::Directory { directory: directory.to_owned(), source })?;
    for group in groups.iter().filter(|(_, log)| log.purged().is_some()).map(|(group, _)| *group) {
        let path = directory.join(snapshot::name_of(group));
        if !reports.iter().any(|report| report.path == path) {
            return Err(SnapshotError::Missing { path }.into());
        }
    }
    reports.into_iter().find_map(|report| report.problem).map_or(Ok(()), |problem| Err(problem.into()))
}
