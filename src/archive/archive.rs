//! The objects of one cluster, by what they are.

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Backup, Base, ClusterRecord, Destination, DestinationError, Key, LogPart, NeededEntry, Put, Trouble, base,
    sealed::{self, ObjectError, Problem},
    sealer::on_its_thread,
};

/// The archive of one cluster. Cheap to clone.
///
/// | object | what is in it |
/// |---|---|
/// | `<cluster>/cluster` | a [`ClusterRecord`] |
/// | `<cluster>/shards/<group>/log/<first index>` | a [`LogPart`] |
/// | `<cluster>/shards/<group>/base/<id>/<number>` | a part of a [`Base`] |
/// | `<cluster>/shards/<group>/bases/<id>` | a [`Base`], once all of its parts are there |
/// | `<cluster>/backups/<name>` | a [`Backup`], once all that it names is there |
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

impl ArchiveError {
    /// What was in the archive is not there any more as it was written.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Destination(error) => matches!(error.trouble, Trouble::NotFound | Trouble::TooLarge),
            Self::Object(error) => match error.problem {
                Problem::Damaged
                | Problem::Foreign
                | Problem::TooLarge { .. }
                | Problem::Malformed(_)
                | Problem::Incomprehensible(_)
                | Problem::Misplaced(_) => true,
                Problem::Newer { .. } | Problem::NoKey | Problem::OtherKey | Problem::Failed(_) => false,
            },
        }
    }
}

impl Archive {
    /// The archive of a cluster, by the folder that it has at a destination: its name and id. With a key, what is written is
    /// encrypted; what is read may be either.
    #[must_use]
    pub fn new(destination: Destination, cluster: &str, key: Option<Key>) -> Self {
        Self { destination, cluster: cluster.to_owned(), key }
    }

    /// The archive of another cluster, at the same destination.
    #[must_use]
    pub fn of(&self, cluster: &str) -> Self {
        Self { cluster: cluster.to_owned(), ..self.clone() }
    }

    /// Its folder.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Where it is.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Writes entries, unless there is a part already that begins with the first of them. That one has the same entries, as
    /// committed ones never change, but may have more of them, or fewer.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn put_log(&self, part: LogPart) -> Result<Put, ArchiveError> {
        self.put(self.name_of_log(part.group, part.first), move |out| part.pack(out)).await
    }

    /// The first indexes of the parts of a shard's log that begin with this index or behind it, in order.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`]; an object there whose name is not one of a part is [`Problem::Foreign`].
    pub async fn log_from(&self, group: u32, index: u64) -> Result<Vec<u64>, ArchiveError> {
        let folder = self.folder_of_log(group);
        let names: Vec<String> = match index.checked_sub(1) {
            Some(before) => {
                let after = self.name_of_log(group, before);
                self.destination.list_after(&folder, &after)?.try_collect().await?
            }
            None => self.destination.list(&folder)?.try_collect().await?,
        };
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
        let content = self.get(&name).await?;
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

    /// The shards of which there is something, in order; the catalogue is 0.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`]; a folder there whose name is not one of a shard is [`Problem::Foreign`].
    pub async fn groups(&self) -> Result<Vec<u32>, ArchiveError> {
        let folder = format!("{}/shards", self.cluster);
        let folders = self.destination.folders(&folder).await?;
        let number_of = |name: String| {
            let number = name.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/')?.parse::<u32>().ok());
            number.ok_or(ObjectError { name, problem: Problem::Foreign })
        };
        let mut groups = folders.into_iter().map(number_of).collect::<Result<Vec<u32>, _>>()?;
        groups.sort_unstable();
        Ok(groups)
    }

    /// Writes a part of a base: entries that its state needs.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn put_base_entries(
        &self,
        group: u32,
        id: &str,
        number: u32,
        entries: Vec<NeededEntry>,
    ) -> Result<Put, ArchiveError> {
        self.put(self.name_of_base_part(group, id, number), move |out| base::pack_entries(&entries, out)).await
    }

    /// Writes a part of a base: of its state.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn put_base_state(&self, group: u32, id: &str, number: u32, part: Bytes) -> Result<Put, ArchiveError> {
        self.put(self.name_of_base_part(group, id, number), move |out| out.extend_from_slice(&part)).await
    }

    /// A part of a base that has entries.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn base_entries(&self, base: &Base, number: u32) -> Result<Vec<NeededEntry>, ArchiveError> {
        let name = self.name_of_base_part(base.group, &base.id, number);
        let content = self.get(&name).await?;
        Ok(base::unpack_entries(content).map_err(|error| ObjectError { name, problem: error.into() })?)
    }

    /// A part of a base that has some of its state.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn base_state(&self, base: &Base, number: u32) -> Result<Bytes, ArchiveError> {
        self.get(&self.name_of_base_part(base.group, &base.id, number)).await
    }

    /// Writes what a base is, when all of its parts are there.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn put_base(&self, base: &Base) -> Result<Put, ArchiveError> {
        self.put_json(self.name_of_base(base.group, &base.id), base).await
    }

    /// The names of the bases of a shard, in the order of their indexes.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn bases(&self, group: u32) -> Result<Vec<String>, ArchiveError> {
        self.names_in(&format!("{}/bases", self.folder_of(group))).await
    }

    /// A base.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn base(&self, group: u32, id: &str) -> Result<Base, ArchiveError> {
        let name = self.name_of_base(group, id);
        let base: Base = self.get_json(&name).await?;
        if (base.group, &*base.id) != (group, id) {
            let found = format!("it is base {} of shard {}", base.id, base.group);
            return Err(ObjectError { name, problem: Problem::Misplaced(found) }.into());
        }
        Ok(base)
    }

    /// Removes a base: first what says that it is one, and then its parts.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn remove_base(&self, group: u32, id: &str) -> Result<(), ArchiveError> {
        self.destination.delete(&self.name_of_base(group, id)).await?;
        let folder = format!("{}/base/{id}", self.folder_of(group));
        for part in self.names_in(&folder).await? {
            self.destination.delete(&format!("{folder}/{part}")).await?;
        }
        Ok(())
    }

    /// Writes what a backup is, when all that it names is there.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn put_backup(&self, backup: &Backup) -> Result<Put, ArchiveError> {
        self.put_json(self.name_of_backup(&backup.name), backup).await
    }

    /// The names of the backups, in order.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn backups(&self) -> Result<Vec<String>, ArchiveError> {
        self.names_in(&format!("{}/backups", self.cluster)).await
    }

    /// A backup.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn backup(&self, name: &str) -> Result<Backup, ArchiveError> {
        self.get_json(&self.name_of_backup(name)).await
    }

    /// Removes what says that there is a backup; what it names stays until nobody needs it.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn remove_backup(&self, name: &str) -> Result<(), ArchiveError> {
        Ok(self.destination.delete(&self.name_of_backup(name)).await?)
    }

    /// Says whose archive it is; once. Gives who it is of.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`]: it cannot be written there, or the record that is there cannot be read.
    pub async fn put_cluster(&self, record: &ClusterRecord) -> Result<ClusterRecord, ArchiveError> {
        match self.put_json(self.name_of_cluster(), record).await? {
            Put::Written => Ok(record.clone()),
            Put::Exists => self.cluster_record().await,
        }
    }

    /// Whose archive it is.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub async fn cluster_record(&self) -> Result<ClusterRecord, ArchiveError> {
        self.get_json(&self.name_of_cluster()).await
    }

    async fn put(&self, name: String, pack: impl FnOnce(&mut BytesMut) + Send + 'static) -> Result<Put, ArchiveError> {
        let (key, named) = (self.key.clone(), name.clone());
        let sealed = on_its_thread(move |tools| sealed::seal(&named, pack, key.as_ref(), tools)).await;
        let object =
            sealed.ok_or_else(|| ObjectError { name: name.clone(), problem: Problem::Failed("compression") })??;
        Ok(self.destination.put_new(&name, object).await?)
    }

    async fn get(&self, name: &str) -> Result<Bytes, ArchiveError> {
        let object = self.destination.get(name).await?;
        let (key, named) = (self.key.clone(), name.to_owned());
        let opened = on_its_thread(move |_| sealed::open(&named, &object, key.as_ref())).await;
        let failed = || ObjectError { name: name.to_owned(), problem: Problem::Failed("decompression") };
        Ok(opened.ok_or_else(failed)??)
    }

    async fn put_json(&self, name: String, value: &impl Serialize) -> Result<Put, ArchiveError> {
        let content = serde_json::to_vec(value).map_err(|error| ObjectError {
            name: name.clone(),
            problem: Problem::Incomprehensible(error.to_string()),
        })?;
        self.put(name, move |out| out.extend_from_slice(&content)).await
    }

    async fn get_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, ArchiveError> {
        let content = self.get(name).await?;
        Ok(serde_json::from_slice(&content).map_err(|error| ObjectError {
            name: name.to_owned(),
            problem: Problem::Incomprehensible(error.to_string()),
        })?)
    }

    async fn names_in(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        let names: Vec<String> = self.destination.list(folder)?.try_collect().await?;
        let last = |name: String| name.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
        let mut names: Vec<String> = names.into_iter().filter_map(last).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The name of the record that says whose archive it is.
    #[must_use]
    pub fn name_of_cluster(&self) -> String {
        format!("{}/cluster", self.cluster)
    }

    /// The name of what says that there is a backup.
    #[must_use]
    pub fn name_of_backup(&self, name: &str) -> String {
        format!("{}/backups/{name}", self.cluster)
    }

    /// The name of what says that there is a base.
    #[must_use]
    pub fn name_of_base(&self, group: u32, id: &str) -> String {
        format!("{}/bases/{id}", self.folder_of(group))
    }

    /// The name of a part of a base.
    #[must_use]
    pub fn name_of_base_part(&self, group: u32, id: &str, number: u32) -> String {
        format!("{}/base/{id}/{number:06}", self.folder_of(group))
    }

    fn folder_of(&self, group: u32) -> String {
        format!("{}/shards/{group:010}", self.cluster)
    }

    fn folder_of_log(&self, group: u32) -> String {
        format!("{}/log", self.folder_of(group))
    }

    /// The name of the part of a shard's log that begins with this index. Names are as long for every number, so that their
    /// order is that of the numbers.
    #[must_use]
    pub fn name_of_log(&self, group: u32, first: u64) -> String {
        format!("{}/{first:020}", self.folder_of_log(group))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;
    use crate::{Entry, Place};

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
        assert_eq!(archive.log_from(3, 0).await.unwrap(), [] as [u64; 0]);
        for first in [11, 1, 101, 6] {
            assert_eq!(archive.put_log(part(3, first, 5)).await.unwrap(), Put::Written);
        }
        archive.put_log(part(4, 7, 1)).await.unwrap();
        assert_eq!(archive.put_log(part(3, 6, 2)).await.unwrap(), Put::Exists);
        assert_eq!(archive.log_part(3, 6).await.unwrap(), part(3, 6, 5));
        assert_eq!(archive.log_from(3, 0).await.unwrap(), [1, 6, 11, 101]);
        assert_eq!(archive.log_from(3, 7).await.unwrap(), [11, 101]);
        archive.remove_log(3, 11).await.unwrap();
        archive.remove_log(3, 11).await.unwrap();
        assert_eq!(archive.log_from(3, 0).await.unwrap(), [1, 6, 101]);
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
        archive.put_log(part(3, 1, 5)).await.unwrap();
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
        archive.put_log(part(3, 1, 5)).await.unwrap();
        std::fs::write(directory.path().join("d1c5/shards/0000000003/log/notes.txt"), "mine").unwrap();
        assert_eq!(
            archive.log_from(3, 0).await.unwrap_err().to_string(),
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
