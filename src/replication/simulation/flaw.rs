//! Promises that are broken on purpose.

use std::{cell::Cell, collections::HashMap, io, path::Path};

use ferrymq_journal::Disk;
use openraft::storage::IOFlushed;

use crate::{
    log_index::LogIndex,
    snapshot,
    types::{GroupId, Types},
};

/// A promise that is broken on purpose, to prove that a simulation notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Entries count as on disk as soon as they are handed to the journal.
    ConfirmBeforeSync,
    /// A vote counts as on disk without being written.
    ForgetVote,
    /// A leader goes on handing out messages after another one has followed it.
    ServeWhenDeposed,
    /// One settlement in a while is told as done, and is not.
    DropSettlement,
    /// A snapshot that is damaged counts as one that was never made.
    DamagedSnapshotIsNone,
}

thread_local! {
    static FLAW: Cell<Option<Flaw>> = const { Cell::new(None) };
    static CHANCES: Cell<u32> = const { Cell::new(0) };
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ConfirmBeforeSync,
        Self::ForgetVote,
        Self::ServeWhenDeposed,
        Self::DropSettlement,
        Self::DamagedSnapshotIsNone,
    ];

    /// Its name, for command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfirmBeforeSync => "confirm-before-sync",
            Self::ForgetVote => "forget-vote",
            Self::ServeWhenDeposed => "serve-when-deposed",
            Self::DropSettlement => "drop-settlement",
            Self::DamagedSnapshotIsNone => "damaged-snapshot-is-none",
        }
    }

    /// What runs on this thread has this flaw from now on, or none.
    pub fn set(flaw: Option<Self>) {
        FLAW.set(flaw);
    }

    /// What runs on this thread has this flaw.
    #[must_use]
    pub fn is_set(self) -> bool {
        FLAW.get() == Some(self)
    }

    /// What runs on this thread has this flaw, and it shows at this of so many chances.
    #[must_use]
    pub fn strikes(self, one_in: u32) -> bool {
        self.is_set() && CHANCES.replace(CHANCES.get().wrapping_add(1)).is_multiple_of(one_in)
    }
}

/// What is to be told once entries are on disk; told now, where that is the flaw.
pub(crate) enum Flushed {
    Told,
    ToTell(IOFlushed<Types>),
}

/// Tells at once that entries are on disk, where that is the flaw.
pub(crate) fn confirm_early(flushed: IOFlushed<Types>) -> Flushed {
    if Flaw::ConfirmBeforeSync.is_set() {
        flushed.io_completed(Ok(()));
        return Flushed::Told;
    }
    Flushed::ToTell(flushed)
}

impl Flushed {
    pub(crate) fn io_completed(self, result: io::Result<()>) {
        if let Self::ToTell(flushed) = self {
            flushed.io_completed(result);
        }
    }
}

/// Forgets the groups whose snapshots are damaged, where that is the flaw.
pub(crate) fn forget_damaged(disk: &dyn Disk, directory: &Path, groups: &mut HashMap<GroupId, LogIndex>) {
    if !Flaw::DamagedSnapshotIsNone.is_set() {
        return;
    }
    let damaged = |group: &GroupId| snapshot::read(disk, &directory.join(snapshot::name_of(*group))).is_err();
    let damaged: Vec<GroupId> = groups.keys().copied().filter(damaged).collect();
    for group in damaged {
        groups.remove(&group);
        // It was there to be read.
        let _ = disk.remove(&directory.join(snapshot::name_of(group)));
    }
}
