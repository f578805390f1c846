//! Damage: something that was on this node's disk is not there any more as it was written.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use ferrymq_journal::{AppendError, ReadError};
use tokio::sync::watch;

use crate::snapshot::SnapshotError;

/// Something on the disk that is not what was written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in it the damage begins, in bytes.
    pub offset: u64,
    /// What is wrong, as a sentence.
    pub problem: String,
}

impl Damage {
    /// What a read of the journal found, where that is damage.
    fn of_read(error: &ReadError) -> Option<Self> {
        let ReadError::Damaged { path, offset, .. } = error else { return None };
        Some(Self { path: path.clone(), offset: *offset, problem: error.to_string() })
    }
}

type OnDamage = Box<dyn Fn(&Damage) + Send + Sync>;

/// Tells the node that its disk failed, or lost something: nothing can be promised any more, and the process must end.
#[derive(Clone)]
pub(crate) struct Failure {
    tell: watch::Sender<Option<String>>,
    on_damage: Arc<OnceLock<OnDamage>>,
}

impl Failure {
    pub(crate) fn new() -> Self {
        Self { tell: watch::channel(None).0, on_damage: Arc::default() }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.tell.subscribe()
    }

    /// Only the first call counts.
    pub(crate) fn on_damage(&self, note: OnDamage) {
        // The one who opened the store.
        let _ = self.on_damage.set(note);
    }

    pub(crate) fn report(&self, error: &AppendError) {
        if !matches!(error, AppendError::Closed) {
            tracing::error!(error = error as &dyn Error, "the journal failed");
            self.tell.send_replace(Some(error.to_string()));
        }
    }

    /// What a read of the journal found.
    pub(crate) fn read(&self, error: &ReadError) {
        if let Some(damage) = Damage::of_read(error) {
            self.damage(&damage);
        }
    }

    /// Something that is needed cannot be read. Damage was told by the journal already.
    pub(crate) fn unreadable(&self, error: &ReadError) {
        if Damage::of_read(error).is_none() {
            tracing::error!(error = error as &dyn Error, "the journal cannot be read");
            self.tell.send_replace(Some(error.to_string()));
        }
    }

    /// A snapshot cannot be written. Its replica has stopped by that, and nobody would start it again.
    pub(crate) fn unwritable(&self, path: &Path, error: &io::Error) {
        tracing::error!(path = %path.display(), error = error as &dyn Error, "a snapshot cannot be written");
        self.tell.send_replace(Some(format!("snapshot {} cannot be written: {error}", path.display())));
    }

    /// What lay there is lost, and with it the state of a group. Snapshot and log have it: the next start finds it there.
    pub(crate) fn lost_page(&self, path: &Path, offset: u64, error: &io::Error) {
        tracing::error!(path = %path.display(), offset, error = error as &dyn Error, "a page is lost");
        self.tell.send_replace(Some(format!("{} at {offset} is not as it was written: {error}", path.display())));
    }

    pub(crate) fn snapshot(&self, error: &SnapshotError) {
        if let Some(damage) = error.damage() {
            self.damage(&damage);
        }
    }

    /// It is noted first, so that the next start knows of it.
    fn damage(&self, damage: &Damage) {
        tracing::error!(path = %damage.path.display(), offset = damage.offset, problem = damage.problem, "data is damaged");
        if let Some(note) = self.on_damage.get() {
            note(damage);
        }
        self.tell.send_replace(Some(damage.problem.clone()));
    }
}
