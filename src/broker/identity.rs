//! Who a node is: `node.json` in its data directory, written when the directory is first used.

use std::{io, path::PathBuf, sync::Arc};

use ferrymq_journal::{Disk, atomic_file};
use serde::{Deserialize, Serialize};

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
    #[error(
        "{path} cannot be understood; move this node's data directory away, and it fetches everything anew from the others"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
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

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct IdentityFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl IdentityFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: &std::path::Path) -> Self {
        Self { disk, path: directory.join("node.json") }
    }

    /// The node's identity, with one more start counted; a new one where there is none.
    pub(crate) fn start(&self) -> Result<Identity, IdentityError> {
        let mut identity = match atomic_file::read(&*self.disk, &self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| IdentityError::Malformed { path: self.path.clone(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Identity { uuid: uuid::Uuid::new_v4().to_string(), run: 0, membership: None }
            }
            Err(source) => return Err(IdentityError::Disk { path: self.path.clone(), source }),
        };
        identity.run += 1;
        self.write(&identity)?;
        Ok(identity)
    }

    pub(crate) fn write(&self, identity: &Identity) -> Result<(), IdentityError> {
        let bytes = serde_json::to_vec_pretty(identity)
            .map_err(|source| IdentityError::Malformed { path: self.path.clone(), source })?;
        atomic_file::replace(&*self.disk, &self.path, &bytes)
            .map_err(|source| IdentityError::Disk { path: self.path.clone(), source })
    }
}
