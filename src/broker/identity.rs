//! Who a node is: `node.json` in its data directory, written when the directory is first used, and a copy of it.
//!
//! The copy only says which others there were, for a node whose file is damaged: what is in it may be a little older.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crc_fast::crc32_iscsi;
use ferrymq_journal::{Disk, atomic_file};
use ferrymq_replication::Damage;
use serde::{Deserialize, Serialize};

const NAME: &str = "node.json";
const COPY: &str = "node.copy.json";

/// The names of the files.
pub(crate) const NAMES: [&str; 2] = [NAME, COPY];

/// A node's identity could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The disk refused.
    #[error("cannot read or write {path}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is there, but makes no sense. That is never taken for a new node.
    #[error("{path} is damaged: it cannot be understood from byte {offset} on")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it makes no sense any more, in bytes.
        offset: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It makes sense, but is not what was written.
    #[error("{path} is damaged: checksum {found:08x} where {expected:08x} was written")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// What was written.
        expected: u32,
        /// What is there.
        found: u32,
    },
    /// It is not there, but other data of a node is.
    #[error("{path} is missing, and there is other data of a node beside it")]
    Missing {
        /// The file.
        path: PathBuf,
    },
}

impl IdentityError {
    /// What the disk no longer has as it was written, where that is why.
    pub(crate) fn damage(&self) -> Option<Damage> {
        let (path, offset) = match self {
            Self::Malformed { path, offset, .. } => (path, *offset),
            Self::Checksum { path, .. } | Self::Missing { path } => (path, 0),
            Self::Disk { .. } => return None,
        };
        Some(Damage { path: path.clone(), offset, problem: self.to_string() })
    }
}

/// What is known of a node before anything else is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    pub(crate) uuid: String,
    /// Counts its starts.
    pub(crate) run: u64,
    pub(crate) membership: Option<Membership>,
}

/// A node's place in its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Membership {
    pub(crate) cluster_id: String,
    pub(crate) node: u64,
    /// The cluster's nodes as last known, number and ordinal: where to look for it.
    pub(crate) peers: Vec<(u64, u32)>,
}

impl Membership {
    /// There are nodes besides this one.
    pub(crate) fn has_others(&self) -> bool {
        self.peers.iter().any(|(node, _)| *node != self.node)
    }
}

/// An identity as it is in the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    identity: Identity,
    /// CRC-32C of what the identity is as JSON without spaces: a bit that flips within a number leaves a number.
    checksum: u32,
}

impl Stored {
    fn new(identity: Identity) -> serde_json::Result<Self> {
        let checksum = crc32_iscsi(&serde_json::to_vec(&identity)?);
        Ok(Self { identity, checksum })
    }
}

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct IdentityFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    copy: PathBuf,
}

impl IdentityFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: &Path) -> Self {
        Self { disk, path: directory.join(NAME), copy: directory.join(COPY) }
    }

    /// The node's identity, with one more start counted. A new one where there is none and, as `is_new` says, nothing else
    /// of a node either.
    pub(crate) fn start(&self, is_new: bool) -> Result<Identity, IdentityError> {
        let has_copy = self.has(&self.copy);
        let has_copy = has_copy.map_err(|source| IdentityError::Disk { path: self.copy.clone(), source })?;
        let mut identity = match self.check()? {
            Some(identity) => identity,
            None if is_new && !has_copy => {
                Identity { uuid: uuid::Uuid::new_v4().to_string(), run: 0, membership: None }
            }
            None => return Err(IdentityError::Missing { path: self.path.clone() }),
        };
        identity.run += 1;
        self.write(&identity)?;
        Ok(identity)
    }

    /// What is in the file; none where there is no file.
    pub(crate) fn check(&self) -> Result<Option<Identity>, IdentityError> {
        self.read(&self.path)
    }

    /// Checks the file and its copy: the path, the bytes, and what is wrong. One that is not there is told only where that
    /// is wrong, which the file's absence is beside the copy, and where `has_records` says that there is a journal.
    pub(crate) fn check_all(&self, has_records: bool) -> Vec<(PathBuf, u64, Result<(), IdentityError>)> {
        let mut checked = Vec::new();
        for path in [&self.copy, &self.path] {
            let outcome = match self.disk.open(path).and_then(|file| file.length()) {
                Ok(bytes) => (bytes, self.read(path).map(|_| ())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if path == &self.copy || (checked.is_empty() && !has_records) {
                        continue;
                    }
                    (0, Err(IdentityError::Missing { path: path.clone() }))
                }
                Err(source) => (0, Err(IdentityError::Disk { path: path.clone(), source })),
            };
            checked.push((path.clone(), outcome.0, outcome.1));
        }
        checked
    }

    /// The node's place as far as the file or its copy can be read.
    pub(crate) fn last_known(&self) -> Option<Membership> {
        let read = |path| self.read(path).ok().flatten();
        read(&self.path).or_else(|| read(&self.copy)).and_then(|identity| identity.membership)
    }

    pub(crate) fn write(&self, identity: &Identity) -> Result<(), IdentityError> {
        let failed = |path: &Path, source| IdentityError::Disk { path: path.to_owned(), source };
        let stored = Stored::new(identity.clone()).and_then(|stored| serde_json::to_vec_pretty(&stored));
        let bytes = stored.map_err(|error| failed(&self.path, error.into()))?;
        // The copy comes second: one that is alone means that the file was lost.
        for path in [&self.path, &self.copy] {
            atomic_file::replace(&*self.disk, path, &bytes).map_err(|source| failed(path, source))?;
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Option<Identity>, IdentityError> {
        let bytes = match atomic_file::read(&*self.disk, path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IdentityError::Disk { path: path.to_owned(), source }),
        };
        let malformed = |source: serde_json::Error| {
            let before = bytes.split_inclusive(|byte| *byte == b'\n').take(source.line().saturating_sub(1));
            let offset = before.map(<[u8]>::len).sum::<usize>() + source.column().saturating_sub(1);
            IdentityError::Malformed { path: path.to_owned(), offset: offset as u64, source }
        };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(malformed)?;
        let expected = stored.checksum;
        let right = Stored::new(stored.identity).map_err(malformed)?;
        if right.checksum != expected {
            return Err(IdentityError::Checksum { path: path.to_owned(), expected, found: right.checksum });
        }
        Ok(Some(right.identity))
    }

    /// There is the file, or its copy, in whatever state.
    pub(crate) fn is_there(&self) -> io::Result<bool> {
        Ok(self.has(&self.path)? || self.has(&self.copy)?)
    }

    fn has(&self, path: &Path) -> io::Result<bool> {
        match self.disk.open(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
