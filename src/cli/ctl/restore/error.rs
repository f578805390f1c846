//! Why nothing is restored.

use std::{io, path::PathBuf};

use crate::{ctl::backup::BackupError, dev::PlaceError};

/// Why nothing is restored. What was made in the directory until then is removed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive cannot be looked at.
    #[error(transparent)]
    Archive(#[from] BackupError),
    /// There is something in the directory.
    #[error("{path} is not empty; give a directory that is not there, or empty one by --to-dir: nothing was changed")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be used.
    #[error("cannot use {path} to restore to: {reason}; nothing was changed")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// A file cannot be written there.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The broker that restores did not start, or did not go on.
    #[error("the broker that restores {what}")]
    Broker {
        /// What is the matter with it.
        what: String,
    },
    /// What is in the archive makes no cluster.
    #[error("nothing is restored: {why}{advice}")]
    Refused {
        /// Why not.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// Somebody has stopped it.
    #[error("nothing is restored: it was stopped")]
    Stopped,
}

impl RestoreError {
    /// What is in the archive is why: trying again does not help.
    pub(in crate::ctl) fn is_of_the_archive(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Archive(error) => error.is_of_the_archive(),
            _ => false,
        }
    }
}
