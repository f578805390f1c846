//! Why an archive cannot be looked at.

use std::path::PathBuf;

use ferrymq_archive::{ArchiveError, DestinationError, ObjectError, Problem};
use ferrymq_server::ArchiveOpenError;

use crate::told::told;

/// Why an archive cannot be looked at. What it came from is part of the sentence, because this is the last one that is read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What was typed is no place.
    #[error(
        "--archive {given} is no place: {reason}; give a directory, s3://bucket/prefix, gs://bucket/prefix or \
         azure://account/container/prefix"
    )]
    Place {
        /// What was typed.
        given: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An option that goes with S3 only.
    #[error("--{option} goes with s3:// only, and --archive is {given}; leave it out")]
    NotS3 {
        /// The option.
        option: &'static str,
        /// What was typed as the archive.
        given: String,
    },
    /// There are no secrets where they should be.
    #[error("--secrets {path} is no directory; give the one that has the files in it")]
    Secrets {
        /// What was typed.
        path: PathBuf,
    },
    /// It cannot be opened.
    #[error("{0}")]
    Open(String),
    /// There is nothing in it.
    #[error(
        "there is no archive of a cluster in {place}; look whether the brokers archive there, and under this prefix"
    )]
    Empty {
        /// Where was looked.
        place: String,
    },
    /// It has not this cluster.
    #[error("{place} has no archive of {wanted}; it has those of {}", there.join(", "))]
    NoCluster {
        /// Where was looked.
        place: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        there: Vec<String>,
    },
    /// It has more than one, and none was named.
    #[error("{place} has the archives of {}; name one by --cluster", there.join(", "))]
    Several {
        /// Where was looked.
        place: String,
        /// What there is.
        there: Vec<String>,
    },
    /// There is no backup of this name.
    #[error(
        "the archive of {cluster} has no backup {name}; it has {}",
        if there.is_empty() { "none".to_owned() } else { there.join(", ") }
    )]
    NoBackup {
        /// Whose archive.
        cluster: String,
        /// What was asked for.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// Something cannot be read.
    #[error("{0}{advice}", advice = advice(.0))]
    Read(ArchiveError),
}

impl BackupError {
    /// What is in the archive is why, and not how it was looked at.
    pub(in crate::ctl) fn is_of_the_archive(&self) -> bool {
        match self {
            Self::Empty { .. } | Self::NoCluster { .. } | Self::NoBackup { .. } => true,
            Self::Read(error) => error.is_lost(),
            _ => false,
        }
    }
}

impl From<ArchiveOpenError> for BackupError {
    fn from(error: ArchiveOpenError) -> Self {
        Self::Open(told(&error))
    }
}

// What it came from is in the sentence, and is not said again as the source.
impl From<ArchiveError> for BackupError {
    fn from(error: ArchiveError) -> Self {
        Self::Read(error)
    }
}

impl From<DestinationError> for BackupError {
    fn from(error: DestinationError) -> Self {
        Self::Read(error.into())
    }
}

/// What to do about it.
fn advice(error: &ArchiveError) -> &'static str {
    match error {
        ArchiveError::Object(ObjectError { problem: Problem::NoKey, .. }) => {
            "; give the directory that has the key in a file encryption-key by --secrets"
        }
        ArchiveError::Object(ObjectError { problem: Problem::OtherKey, .. }) => {
            "; give the directory with the key that it was written with by --secrets"
        }
        _ => "",
    }
}
