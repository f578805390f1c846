//! The objects of one cluster, by what they are.

use futures::TryStreamExt as _;

use crate::{
    Destination, DestinationError, Key, LogPart, Put,
    sealed::{self, ObjectError, Problem},
};

/// The archive of one cluster. Cheap to clone.
///
/// | object | what is in it |
/// |---|---|
/// | `<cluster>/shards/<group>/log/<first index>` | a [`LogPart`] |
#[derive(Debug, Clone)]
pub struct Archive {
    destination: Destination,
    cluster: String,
    key: Option<Key>,
}

/// Something cannot be put into an archive, or read from it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The destination did not do what was asked.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// An object is not as it should be.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

impl Archive {
    /// The archive of a cluster, by its id, at a destination. With a key, what is written is encrypted; what is read may be
    /// either.
    #[must_use]
    pub fn new(destination: Destination, cluster: &str, key: Option<Key>) -> Self {
        Self { destination, cluster: cluster.to_owned(), key }
    }

    /// Writes entries, unless there is a part already that begins with the first of them. That one has the same entries, as
    /// committed ones never change, but may have more of them, or fewer.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn put_log(&self, part: &LogPart) -> Result<Put, ArchiveError> {
        let name = self.name_of_log(part.group, part.first);
        let object = sealed::seal(&name, &part.pack(), self.key.as_ref())?;
        Ok(self.destination.put_new(&name, object).await?)
    }

    /// The first indexes of the parts of a shard's log that begin after this index, in order.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`]; an object there whose name is not one of a part is [`Problem::Foreign`].
    pub async fn log_after(&self, group: u32, index: u64) -> Result<Vec<u64>, ArchiveError> {
        let folder = self.folder_of_log(group);
        let names: Vec<String> =
            self.destination.list_after(&folder, &self.name_of_log(group, index))?.try_collect().await?;
        let first_of = |name: String| {
            let number = name.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/')?.parse::<u64>().ok());
            number.ok_or(ObjectError { name, problem: Problem::Foreign })
        };
        let mut firsts = names.into_iter().map(first_of).collect::<Result<Vec<u64>, _>>()?;
        firsts.sort_unstable();
        Ok(firsts)
    }

    /// The part of a shard's log that begins with this index.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`]: there is none, or it is damaged, encrypted with another key, or not what its name says.
    pub async fn log_part(&self, group: u32, first: u64) -> Result<LogPart, ArchiveError> {
        let name = self.name_of_log(group, first);
        let object = self.destination.get(&name).await?;
        let content = sealed::open(&name, &object, self.key.as_ref())?;
        let fails = |problem| ObjectError { name: name.clone(), problem };
        let part = LogPart::unpack(content).map_err(|error| fails(error.into()))?;
        if (part.group, part.first) != (group, first) {
            let found = format!("it has entries of shard {} from {} on", part.group, part.first);
            return Err(fails(Problem::Misplaced(found)).into());
        }
        Ok(part)
    }

    /// Removes the part of a shard's log that begins with this index; success where there is none.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn remove_log(&self, group: u32, first: u64) -> Result<(), ArchiveError> {
        Ok(self.destination.delete(&self.name_of_log(group, first)).await?)
    }

    fn folder_of_log(&self, group: u32) -> String {
        format!("{}/shards/{group:010}/log", self.cluster)
    }

    /// Names are as long for every number, so that their order is that of the numbers.
    fn name_of_log(&self, group: u32, first: u64) -> String {
        format!("{}/{first:020}", self.folder_of_log(group))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;
    use crate::{Entry, Place, Trouble};

    fn archive_in(directory: &Path, key: Option<Key>) -> Archive {
        let place = Place::Directory { path: directory.to_owned() };
        Archive::new(Destination::open(place).unwrap(), "d1c5", key)
    }

    fn part(group: u32, first: u64, entries: usize) -> LogPart {
        let entry =
            |number| Entry { term: 2, time: 1_700_000_000_000, command: Some(Bytes::from(format!("{number}"))) };
        LogPart { group, first, term_before: 1, entries: (0..entries).map(entry).collect() }
    }

    #[tokio::test]
    async fn parts_are_written_once_and_found_in_order() {
        let directory = TempDir::new().unwrap();
        let archive = archive_in(directory.path(), None);
        assert_eq!(archive.log_after(3, 0).await.unwrap(), [] as [u64; 0]);
        for first in [11, 1, 101, 6] {
            assert_eq!(archive.put_log(&part(3, first, 5)).await.unwrap(), Put::Written);
        }
        archive.put_log(&part(4, 7, 1)).await.unwrap();
        assert_eq!(archive.put_log(&part(3, 6, 2)).await.unwrap(), Put::Exists);
        assert_eq!(archive.log_part(3, 6).await.unwrap(), part(3, 6, 5));
        assert_eq!(archive.log_after(3, 0).await.unwrap(), [1, 6, 11, 101]);
        assert_eq!(archive.log_after(3, 6).await.unwrap(), [11, 101]);
        archive.remove_log(3, 11).await.unwrap();
        archive.remove_log(3, 11).await.unwrap();
        assert_eq!(archive.log_after(3, 0).await.unwrap(), [1, 6, 101]);
        let error = archive.log_part(3, 11).await.unwrap_err();
        assert!(matches!(&error, ArchiveError::Destination(error) if error.trouble == Trouble::NotFound), "{error}");
        let name = "d1c5/shards/0000000003/log/00000000000000000011";
        let place = directory.path().display();
        assert_eq!(error.to_string(), format!("cannot read {name} in {place}: there is no such object"));
    }

    #[tokio::test]
    async fn one_flipped_bit_is_found_and_the_object_named() {
        let directory = TempDir::new().unwrap();
        let key = Key::new(b"a key of more than 16 bytes").unwrap();
        let archive = archive_in(directory.path(), Some(key));
        archive.put_log(&part(3, 1, 5)).await.unwrap();
        let file = directory.path().join("d1c5/shards/0000000003/log/00000000000000000001");
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[60] ^= 4;
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(
            archive.log_part(3, 1).await.unwrap_err().to_string(),
            "object d1c5/shards/0000000003/log/00000000000000000001: it is damaged: it is not what was written under this name"
        );
        bytes[60] ^= 4;
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(archive.log_part(3, 1).await.unwrap(), part(3, 1, 5));
        std::fs::rename(&file, file.with_file_name("00000000000000000002")).unwrap();
        assert!(archive.log_part(3, 2).await.unwrap_err().to_string().contains("damaged"), "it has another name");
    }

    #[tokio::test]
    async fn what_is_of_somebody_else_is_said() {
        let directory = TempDir::new().unwrap();
        let archive = archive_in(directory.path(), None);
        archive.put_log(&part(3, 1, 5)).await.unwrap();
        std::fs::write(directory.path().join("d1c5/shards/0000000003/log/notes.txt"), "mine").unwrap();
        assert_eq!(
            archive.log_after(3, 0).await.unwrap_err().to_string(),
            "object d1c5/shards/0000000003/log/notes.txt: it is no object of an archive of FerryMQ"
        );
    }

    #[test]
    fn a_directory_that_is_not_there_is_said() {
        let place = Place::Directory { path: "/nowhere/at/all".into() };
        let error = Destination::open(place).unwrap_err();
        assert_eq!(error.trouble, Trouble::Invalid);
        assert!(error.to_string().starts_with("cannot open the archive in /nowhere/at/all: "), "{error}");
    }
}
