//! The journal's work without threads: done turn by turn by whoever simulates the disk.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, TryLockError},
};

use crate::{journal::Shared, writer::Writer};

/// The work of a journal that has no threads of its own. Clones are the same work.
#[derive(Clone)]
pub struct Turns {
    shared: Arc<Shared>,
    /// Nothing once the journal is closed.
    writer: Arc<Mutex<Option<Writer>>>,
}

impl Turns {
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer) -> Self {
        Self { shared, writer: Arc::new(Mutex::new(Some(writer))) }
    }

    /// Writes and syncs one batch of what waits, and sees to the spare segments; gives whether more waits. With
    /// `again`, it is tried once more to make a segment that there was no space for before.
    pub fn turn(&self, again: bool) -> bool {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(writer) = writer.as_mut() else { return false };
        let more = writer.turn();
        if let Err(error) = self.shared.spares.turn(again) {
            self.shared.poison(error);
            return true;
        }
        more
    }

    /// Does what is left, and no more after that. Does nothing when called by a `done`, which is within a turn.
    pub(crate) fn end(&self) {
        let mut writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if let Some(writer) = writer.take() {
            writer.end();
            self.shared.spares.stop();
        }
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}
