//! The file, and when it was saved anew.

use std::{io, path::PathBuf};

/// How often the file is looked at.
pub(super) const EVERY: std::time::Duration = std::time::Duration::from_millis(300);

/// Looks at a file again and again.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    /// What was told last.
    told: Look,
    /// What was seen last, told or not.
    seen: Look,
}

/// What the file was like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// Its text.
    Text(String),
    /// Why it could not be read.
    Unreadable(String),
}

impl Watch {
    /// Watches a file whose text is known.
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        Self { path, told: Look::Text(text.clone()), seen: Look::Text(text) }
    }

    /// What the file is like now, where that differs from what was told before, and was so at the last look already: an
    /// editor empties a file before it fills it, or puts another one in its place, and half a file may be good YAML that
    /// lacks the topics at its end.
    pub(super) async fn look(&mut self) -> Option<Look> {
        let now = match tokio::fs::read(&self.path).await.and_then(text) {
            Ok(text) => Look::Text(text),
            Err(error) => Look::Unreadable(error.to_string()),
        };
        let steady = now == self.seen;
        self.seen = now;
        if steady && self.seen != self.told {
            self.told = self.seen.clone();
            return Some(self.told.clone());
        }
        None
    }
}

/// The text of a file.
pub(super) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_change_is_told_once_and_only_when_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.yaml");
        fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(path.clone(), "one".to_owned());
        assert_eq!(watch.look().await, None);

        // Half-way through being saved.
        fs::write(&path, "").unwrap();
        assert_eq!(watch.look().await, None);
        fs::write(&path, "two").unwrap();
        assert_eq!(watch.look().await, None);
        assert_eq!(watch.look().await, Some(Look::Text("two".to_owned())));
        assert_eq!(watch.look().await, None);
    }

    #[tokio::test]
    async fn a_file_that_goes_and_comes_back_as_it_was_is_told_both_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.yaml");
        let mut watch = Watch::new(path.clone(), "one".to_owned());
        assert_eq!(watch.look().await, None);
        assert!(matches!(watch.look().await, Some(Look::Unreadable(_))));
        fs::write(&path, "one").unwrap();
        assert_eq!(watch.look().await, None);
        assert_eq!(watch.look().await, Some(Look::Text("one".to_owned())));
    }
}
