//! What can go wrong, for each of opening, appending and reading.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why a journal could not be opened. Nothing was changed on disk by then.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another journal of this one, has the directory.
    #[error("the journal in {} is in use by another process; stop that one first", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The disk refused.
    #[error("cannot {action} {}", path.display())]
    Disk {
        /// What was tried: "read", "list" and so on.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something that was on disk once is not what was written. What is to be done is for the owner to say.
    #[error(
        "segment {segment} of the journal is damaged at byte {offset} of {}: checksum {found:08x} where {expected:08x} \
         was written",
        path.display()
    )]
    Damaged {
        /// The segment's number.
        segment: u64,
        /// Where in the file the damage begins.
        offset: u64,
        /// The checksum that is on disk.
        expected: u32,
        /// The checksum of what is on disk.
        found: u32,
        /// The file.
        path: PathBuf,
    },
    /// A segment's file is not as long as it was made.
    #[error(
        "segment {segment} of the journal was cut: {} has {found} bytes of {expected}",
        path.display()
    )]
    Cut {
        /// The segment's number.
        segment: u64,
        /// The length that it must have.
        expected: u64,
        /// The length that it has.
        found: u64,
        /// The file.
        path: PathBuf,
    },
    /// A segment between two others is not there.
    #[error(
        "segment {segment} of the journal is missing: there is no {}, but there are earlier and later ones",
        path.display()
    )]
    Missing {
        /// The segment's number.
        segment: u64,
        /// Where it would be.
        path: PathBuf,
    },
    /// Written by a version of this program that writes another format.
    #[error(
        "{} has format {found} of the journal, this version of FerryMQ reads format {supported}; start the version that \
         wrote it",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The format's version in the file.
        found: u32,
        /// The one that this code reads.
        supported: u32,
    },
    /// An index says something else than its segment. Opening does not believe it, and needs none; only looking says it.
    #[error(
        "the index of segment {segment} of the journal is not what that segment says, from byte {offset} of {} on; a broker \
         that is started goes through the segment instead, and writes the index anew",
        path.display()
    )]
    Index {
        /// The segment's number.
        segment: u64,
        /// Where in the index it differs first.
        offset: u64,
        /// The index's file.
        path: PathBuf,
    },
    /// The journal's owner would not take one of its records.
    #[error("the record at byte {offset} of segment {segment} of the journal cannot be used")]
    Refused {
        /// The segment's number.
        segment: u64,
        /// Where in the segment the record begins.
        offset: u64,
        /// What the owner said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    /// Where the disk no longer has what was written, if that is why: the file, and where in it.
    #[must_use]
    pub fn damage(&self) -> Option<(&Path, u64)> {
        match self {
            Self::Damaged { path, offset, .. } | Self::Index { path, offset, .. } => Some((path, *offset)),
            Self::Cut { path, found, .. } => Some((path, *found)),
            Self::Missing { path, .. } => Some((path, 0)),
            Self::Locked { .. } | Self::Disk { .. } | Self::Version { .. } | Self::Refused { .. } => None,
        }
    }
}

/// Why records were not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// More waits to be on disk than may wait. Nothing was done; later it may go.
    #[error(
        "{pending} bytes wait to be written to the journal, and at most {limit} may; try again when it has caught up"
    )]
    Full {
        /// Bytes that wait.
        pending: u64,
        /// Bytes that may wait.
        limit: u64,
    },
    /// A payload does not fit in a segment. Nothing was done.
    #[error("a record of {bytes} bytes does not fit in a segment of the journal; at most {limit} bytes do")]
    TooLarge {
        /// The payload's bytes.
        bytes: u64,
        /// The most that there may be.
        limit: u64,
    },
    /// The disk lost something, or may have: what was not acknowledged by now never will be. The process must end.
    #[error("the journal's disk failed: nothing can be acknowledged any more, and the process must end")]
    Poisoned {
        /// What the disk said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no record at this position, or none any more.
    #[error("segment {segment} of the journal is gone, or was never there")]
    Gone {
        /// The segment's number.
        segment: u64,
    },
    /// What is on disk is not what was written.
    #[error(
        "segment {segment} of the journal is damaged at byte {offset} of {}: checksum {found:08x} where {expected:08x} was \
         written",
        path.display()
    )]
    Damaged {
        /// The segment's number.
        segment: u64,
        /// Where in the segment the record begins.
        offset: u64,
        /// The checksum that is on disk.
        expected: u32,
        /// The checksum of what is on disk.
        found: u32,
        /// The file.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("cannot read segment {segment} of the journal at byte {offset}")]
    Disk {
        /// The segment's number.
        segment: u64,
        /// Where in the segment the record begins.
        offset: u64,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl ReadError {
    /// What going through a segment found.
    pub(crate) fn of_segment(segment: u64, error: OpenError) -> Self {
        match error {
            OpenError::Damaged { offset, expected, found, path, .. } => {
                Self::Damaged { segment, offset, expected, found, path }
            }
            OpenError::Disk { source, .. } => Self::Disk { segment, offset: 0, source },
            other => Self::Disk { segment, offset: 0, source: io::Error::other(other) },
        }
    }
}
