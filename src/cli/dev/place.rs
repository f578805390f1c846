//! The data directory of one cluster: one owner at a time, files that are whole or not there.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// The data directory of one cluster. It belongs to this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    root: PathBuf,
    _lock: File,
}

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Another process has it.
    #[error("{path} is used by another ferrymq dev{}; stop it, or give another --data-dir", process.as_ref().map(|process| format!(" (process {process})")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who has it, where that is known.
        process: Option<String>,
    },
    /// A file or directory cannot be read or written.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what was written there.
    #[error("{path} is damaged: {reason}; put it back from a copy, or remove {} to begin anew without its messages", path.parent().unwrap_or(path).display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Place {
    /// Makes the directory of a cluster where it is not there, and takes it.
    ///
    /// # Errors
    ///
    /// [`PlaceError`].
    pub(crate) fn take(data_dir: &Path, cluster: &str) -> Result<Self, PlaceError> {
        let root = data_dir.join(cluster);
        fs::create_dir_all(&root).map_err(failed("make", &root))?;
        // Brokers get it as it is: it must not depend on where the process is.
        let root = fs::canonicalize(&root).map_err(failed("find", &root))?;
        let path = root.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                // Only for the sentence: whoever has it writes its number there, and may not have done so yet.
                let _ = lock.read_to_string(&mut process);
                let process = Some(process.trim().to_owned()).filter(|process| !process.is_empty());
                return Err(PlaceError::InUse { path: root, process });
            }
            Err(TryLockError::Error(source)) => return Err(PlaceError::File { what: "lock", path, source }),
        }
        lock.set_len(0).map_err(failed("write", &path))?;
        writeln!(lock, "{}", std::process::id()).map_err(failed("write", &path))?;
        Ok(Self { root, _lock: lock })
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path within.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The file with the token that the brokers and dev share, made at the first start. Gives its path and the token.
    ///
    /// # Errors
    ///
    /// [`PlaceError`].
    pub(crate) fn token(&self) -> Result<(PathBuf, String), PlaceError> {
        let path = self.path("token");
        match fs::read_to_string(&path) {
            Ok(token) if !token.trim().is_empty() => Ok((path, token)),
            Ok(_) => Err(PlaceError::Damaged { path, reason: "it is empty".to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let token = format!("{}{}\n", Uuid::new_v4().simple(), Uuid::new_v4().simple());
                self.write_whole("token", token.as_bytes())?;
                Ok((path, token))
            }
            Err(source) => Err(PlaceError::File { what: "read", path, source }),
        }
    }

    /// What was written under this name, where anything was.
    ///
    /// # Errors
    ///
    /// [`PlaceError`]; what cannot be read is never taken for nothing.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, PlaceError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| PlaceError::Damaged { path, reason: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PlaceError::File { what: "read", path, source }),
        }
    }

    /// Writes a value under this name. When this returns it is on the disk; when the process dies before, the old one is.
    ///
    /// # Errors
    ///
    /// [`PlaceError`].
    pub(crate) fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), PlaceError> {
        let mut text = serde_json::to_vec_pretty(value)
            .map_err(|error| PlaceError::Damaged { path: self.path(name), reason: error.to_string() })?;
        text.push(b'\n');
        self.write_whole(name, &text)
    }

    /// Writes a text into a folder, as [`Place::write`] does.
    ///
    /// # Errors
    ///
    /// [`PlaceError`].
    pub(super) fn write_text(&self, folder: &str, name: &str, text: &str) -> Result<(), PlaceError> {
        let path = self.path(folder);
        fs::create_dir_all(&path).map_err(failed("make", &path))?;
        self.write_whole(&format!("{folder}/{name}"), text.as_bytes())
    }

    fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<(), PlaceError> {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new).map_err(failed("write", &new))?;
        file.write_all(bytes).map_err(failed("write", &new))?;
        file.sync_all().map_err(failed("sync", &new))?;
        fs::rename(&new, &path).map_err(failed("write", &path))?;
        // The new name is on the disk only with its directory.
        let directory = path.parent().unwrap_or(&self.root);
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("sync", directory))
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    move |source| PlaceError::File { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_has_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Place::take(folder.path(), "orders").unwrap();
        let told = Place::take(folder.path(), "orders").unwrap_err().to_string();
        assert!(told.contains(&format!("(process {})", std::process::id())), "{told}");
        assert!(Place::take(folder.path(), "invoices").is_ok());
    }

    #[test]
    fn a_directory_that_was_given_up_can_be_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        drop(Place::take(folder.path(), "orders").unwrap());
        assert!(Place::take(folder.path(), "orders").is_ok());
    }

    #[test]
    fn the_token_is_made_once_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::take(folder.path(), "orders").unwrap();
        let (path, token) = place.token().unwrap();
        assert_eq!(token.trim().len(), 64);
        assert_eq!(place.token().unwrap().1, token);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o077, 0);
    }

    #[test]
    fn what_is_damaged_is_not_taken_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::take(folder.path(), "orders").unwrap();
        assert_eq!(place.read::<Vec<u8>>("formation.json").unwrap(), None);
        place.write("formation.json", &vec![1u8]).unwrap();
        assert_eq!(place.read::<Vec<u8>>("formation.json").unwrap(), Some(vec![1]));
        fs::write(place.path("formation.json"), "{").unwrap();
        assert!(matches!(place.read::<Vec<u8>>("formation.json"), Err(PlaceError::Damaged { .. })));
    }
}
