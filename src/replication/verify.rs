//! Looks at the snapshots of a node, and changes nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use ferrymq_journal::Disk;

use crate::snapshot::{self, SnapshotError};

/// What was found in one snapshot.
#[derive(Debug)]
pub struct SnapshotReport {
    /// Its file.
    pub path: PathBuf,
    /// Bytes of the file.
    pub bytes: u64,
    /// What is wrong with it.
    pub problem: Option<SnapshotError>,
}

/// Reads all snapshots in a directory, one at a time, and checks every byte of them.
///
/// # Errors
///
/// The directory or a file cannot be read. Everything else is in the reports.
pub fn verify_snapshots(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<SnapshotReport>> {
    let mut names = disk.list(directory)?;
    names.retain(|name| snapshot::group_of(name).is_some());
    names.sort_unstable();
    let mut reports = Vec::with_capacity(names.len());
    for name in names {
        let path = directory.join(name);
        let bytes = disk.open(&path)?.length()?;
        let problem = match snapshot::read(disk, &path) {
            Ok(_) => None,
            Err(SnapshotError::Read { source, .. }) => return Err(source),
            Err(problem) => Some(problem),
        };
        reports.push(SnapshotReport { path, bytes, problem });
    }
    Ok(reports)
}
