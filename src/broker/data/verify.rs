//! Looks at all of a node's data, changes nothing, and says what it found.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ferrymq_journal::{Disk, OpenError};
use ferrymq_replication::verify_snapshots;

use super::set_aside::Directory;
use crate::{
    identity::{IdentityError, IdentityFile},
    node::StartError,
};

/// What was found in a node's data.
#[derive(Debug, Default)]
pub struct DataReport {
    /// Every file that was looked at.
    pub files: Vec<FileReport>,
    /// What is wrong; empty where nothing is.
    pub problems: Vec<DataProblem>,
    /// What a crash left of a batch that was never acknowledged, which opening cuts off, as a sentence: no damage.
    pub torn_tail: Option<String>,
}

/// What was found in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Its valid records, where it has such.
    pub records: Option<u64>,
    /// Bytes that were verified.
    pub bytes: u64,
}

/// Something that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataProblem {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// What, as a sentence.
    pub problem: String,
    /// The next start puts it right by itself: nothing was lost.
    pub mended_by_start: bool,
}

/// Why a node's data cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A broker has it open.
    #[error("{directory} is in use by a running broker; stop that one first, or look at a copy of its volume")]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// There is no data of a node.
    #[error("{directory} is neither the data directory of a broker nor that of its journal")]
    NotData {
        /// The directory.
        directory: PathBuf,
    },
    /// The disk refused.
    #[error("cannot read {path}")]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Verifies every byte of a node's data: segments and their indexes, snapshots, and who the node is. `path` is its data
/// directory, or only that of its journal. Blocks.
///
/// # Errors
///
/// [`VerifyError`]: it cannot be looked at. Damage is in the report.
pub fn verify(disk: &Arc<dyn Disk>, path: &Path) -> Result<DataReport, VerifyError> {
    let directory = Directory { disk: disk.clone(), path: path.to_owned() };
    let file = IdentityFile::new(disk.clone(), path);
    let has_identity = file.is_there().map_err(|source| VerifyError::Disk { path: path.to_owned(), source })?;
    let has_journal = directory.has_journal();
    let has_journal = has_journal.map_err(|source| VerifyError::Disk { path: directory.journal(), source })?;
    let mut report = DataReport::default();
    if !has_identity && !has_journal {
        report.journal(&**disk, path)?;
        if report.files.is_empty() && report.problems.is_empty() {
            return Err(VerifyError::NotData { directory: path.to_owned() });
        }
        return Ok(report);
    }
    if has_journal {
        report.journal(&**disk, &directory.journal())?;
    } else {
        let path = directory.journal();
        report.problem(path.clone(), 0, StartError::NoJournal { path }.to_string());
    }
    report.snapshots(&**disk, &directory.snapshots())?;
    report.identity(&file)?;
    Ok(report)
}

impl DataReport {
    fn journal(&mut self, disk: &dyn Disk, directory: &Path) -> Result<(), VerifyError> {
        let found = ferrymq_journal::verify(disk, directory).map_err(|error| match error {
            OpenError::Locked { directory } => VerifyError::InUse { directory },
            OpenError::Disk { path, source, .. } => VerifyError::Disk { path, source },
            other => VerifyError::Disk { path: directory.to_owned(), source: io::Error::other(other) },
        })?;
        self.files.extend(found.segments.into_iter().map(|segment| FileReport {
            path: segment.path,
            records: Some(segment.records),
            bytes: segment.end,
        }));
        self.files.extend(found.indexes.into_iter().map(|index| FileReport {
            path: index.path,
            records: Some(index.records),
            bytes: index.bytes,
        }));
        self.torn_tail = found.torn_tail.map(|torn| {
            format!(
                "{}: bytes {} to {} are what a crash left of a batch; they are cut off when the journal is opened",
                torn.path.display(),
                torn.offset,
                torn.end
            )
        });
        for problem in found.problems {
            let (path, offset) = match problem {
                OpenError::Disk { path, source, .. } => return Err(VerifyError::Disk { path, source }),
                ref problem => problem.damage().map_or((directory, 0), |place| place),
            };
            self.problems.push(DataProblem {
                path: path.to_owned(),
                offset,
                problem: problem.to_string(),
                mended_by_start: matches!(problem, OpenError::Index { .. }),
            });
        }
        Ok(())
    }

    fn snapshots(&mut self, disk: &dyn Disk, directory: &Path) -> Result<(), VerifyError> {
        if !exists(disk, directory)? {
            return Ok(());
        }
        let failed = |source| VerifyError::Disk { path: directory.to_owned(), source };
        for snapshot in verify_snapshots(disk, directory).map_err(failed)? {
            if let Some(problem) = snapshot.problem {
                self.problem(snapshot.path.clone(), 0, problem.to_string());
            }
            self.files.push(FileReport { path: snapshot.path, records: None, bytes: snapshot.bytes });
        }
        Ok(())
    }

    fn identity(&mut self, file: &IdentityFile) -> Result<(), VerifyError> {
        let has_records = self.files.iter().any(|file| file.records.is_some_and(|records| records > 0));
        for (path, bytes, checked) in file.check_all(has_records) {
            match checked {
                Ok(()) => {}
                Err(IdentityError::Disk { path, source }) => return Err(VerifyError::Disk { path, source }),
                Err(problem) => {
                    let offset = problem.damage().map_or(0, |damage| damage.offset);
                    self.problem(path.clone(), offset, problem.to_string());
                }
            }
            self.files.push(FileReport { path, records: None, bytes });
        }
        Ok(())
    }

    fn problem(&mut self, path: PathBuf, offset: u64, problem: String) {
        self.problems.push(DataProblem { path, offset, problem, mended_by_start: false });
    }
}

/// The directory is there.
fn exists(disk: &dyn Disk, directory: &Path) -> Result<bool, VerifyError> {
    match disk.list(directory) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(source) => Err(VerifyError::Disk { path: directory.to_owned(), source }),
    }
}
