//! `archived.json`: how far each group's log was archived, as far as this node knew. What it says may be old, and is never
//! too much: after a start, what follows is kept whole until the archive, or a leader, says more.

use std::{collections::BTreeMap, io, path::Path};

use ferrymq_journal::{Disk, atomic_file};

/// The name of the file, in the data directory.
const NAME: &str = "archived.json";

/// The first entry of each group that is not archived. Nothing where there is no such file, or none that can be understood:
/// then all is kept.
pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> BTreeMap<u32, u64> {
    let path = directory.join(NAME);
    let read =
        atomic_file::read(disk, &path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other));
    match read {
        Ok(known) => known,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "how far the log was archived is not known");
            BTreeMap::new()
        }
    }
}

/// Puts it in the place of what was there. Blocks.
///
/// # Errors
///
/// The disk's own.
pub(crate) fn write(disk: &dyn Disk, directory: &Path, archived: &BTreeMap<u32, u64>) -> io::Result<()> {
    let bytes = serde_json::to_vec(archived).map_err(io::Error::other)?;
    atomic_file::replace(disk, &directory.join(NAME), &bytes)
}

#[cfg(test)]
mod tests {
    use ferrymq_journal::SystemDisk;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_was_noted_is_read_and_what_makes_no_sense_is_nothing() {
        let directory = TempDir::new().unwrap();
        let disk = SystemDisk;
        assert_eq!(read(&disk, directory.path()), BTreeMap::new());
        let archived = BTreeMap::from([(0, 7), (3, u64::MAX)]);
        write(&disk, directory.path(), &archived).unwrap();
        assert_eq!(read(&disk, directory.path()), archived);
        std::fs::write(directory.path().join(NAME), "{\"3\":").unwrap();
        assert_eq!(read(&disk, directory.path()), BTreeMap::new());
    }
}
