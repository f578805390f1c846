//! `damaged.json`: what is known of damage to a node's data, until it is in sync again.

use std::{io, path::Path};

use ferrymq_journal::{Disk, atomic_file};
use ferrymq_replication::Damage;
use serde::{Deserialize, Serialize};

/// The name of the file.
pub(crate) const NAME: &str = "damaged.json";

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    /// The damage was found; the data is where it was.
    Found,
    /// The data is being moved to the newest of the sets.
    Moving,
    /// It is there, and the node is being filled anew.
    SetAside,
    /// The node is in sync again.
    Healed,
}

/// What is known of the damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The damaged file, as it is named in the data directory.
    pub(crate) file: String,
    /// Where in it the damage begins, in bytes.
    pub(crate) offset: u64,
    /// What is wrong, as a sentence.
    pub(crate) problem: String,
    pub(crate) state: State,
    /// Bytes of the newest of the sets, once it is whole.
    pub(crate) bytes: u64,
    /// Directories in the data directory with data that was set aside, the oldest first.
    pub(crate) sets: Vec<String>,
}

impl Record {
    /// Damage that was just found, after what was known of earlier damage.
    pub(crate) fn found(directory: &Path, damage: &Damage, earlier: Option<&Self>) -> Self {
        let file = damage.path.strip_prefix(directory).unwrap_or(&damage.path);
        Self {
            file: file.display().to_string(),
            offset: damage.offset,
            problem: damage.problem.clone(),
            state: State::Found,
            bytes: 0,
            sets: earlier.map(|earlier| earlier.sets.clone()).unwrap_or_default(),
        }
    }

    /// What is there; one that cannot be understood is damage itself.
    pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(NAME);
        match atomic_file::read(disk, &path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                let problem = format!("{} cannot be understood: {error}", path.display());
                Self::found(directory, &Damage { path: path.clone(), offset: 0, problem }, None)
            }))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn write(&self, disk: &dyn Disk, directory: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        atomic_file::replace(disk, &directory.join(NAME), &bytes)
    }

    /// What is said of the node while it is being filled, as the beginning of a sentence.
    pub(crate) fn told(&self) -> String {
        let set = self.sets.last().map_or("", String::as_str);
        format!(
            "its data was damaged ({}, byte {}); set aside in {set} ({} bytes); it is being filled by the others",
            self.file, self.offset, self.bytes
        )
    }
}
