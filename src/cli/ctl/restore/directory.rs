//! The directory that is restored to: what was made in it goes again, unless all went well.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::RestoreError;

/// A directory that was not there, or empty. When it is dropped it is so again, unless it was kept.
#[derive(Debug)]
pub(super) struct NewDirectory {
    path: PathBuf,
    /// It and these above it were not there: the highest one.
    made: Option<PathBuf>,
    kept: bool,
}

impl NewDirectory {
    /// Makes the directory where it is not there.
    pub(super) fn take(path: &Path) -> Result<Self, RestoreError> {
        let failed = |reason| RestoreError::Directory { path: path.to_owned(), reason };
        match fs::read_dir(path).map(|mut entries| entries.next()) {
            Ok(None) => return Ok(Self { path: path.to_owned(), made: None, kept: false }),
            Ok(Some(Ok(_))) => return Err(RestoreError::NotEmpty { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(Some(Err(error))) | Err(error) => return Err(failed(error)),
        }
        let absent = |it: &&Path| !it.as_os_str().is_empty() && !it.exists();
        let made = path.ancestors().take_while(absent).last().map(Path::to_owned);
        // Made before anything can fail in it, and removed where not all of it could be made.
        let new = Self { path: path.to_owned(), made, kept: false };
        fs::create_dir_all(path).map_err(failed)?;
        Ok(new)
    }

    /// It stays as it is.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }

    fn clear(&self) -> io::Result<()> {
        if let Some(made) = &self.made {
            return if made.exists() { fs::remove_dir_all(made) } else { Ok(()) };
        }
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        Ok(())
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = self.clear() {
            eprintln!("restore: cannot remove what was made in {}: {error}; remove it", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_again() {
        let folder = tempfile::tempdir().unwrap();
        let (below, empty) = (folder.path().join("a/b"), folder.path().join("empty"));
        fs::create_dir(&empty).unwrap();
        for path in [&below, &empty] {
            let new = NewDirectory::take(path).unwrap();
            fs::create_dir(path.join("orders")).unwrap();
            fs::write(path.join("orders/token"), "x").unwrap();
            drop(new);
        }
        assert!(!folder.path().join("a").exists());
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    }

    #[test]
    fn what_is_kept_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        NewDirectory::take(&path).unwrap().keep();
        assert!(path.exists());
    }

    #[test]
    fn what_somebody_has_there_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "x").unwrap();
        let error = NewDirectory::take(folder.path()).unwrap_err();
        assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
        assert!(NewDirectory::take(&folder.path().join("mine")).is_err(), "a file is no directory");
        assert_eq!(fs::read(folder.path().join("mine")).unwrap(), b"x");
    }
}
