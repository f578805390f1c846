//! Archives, opened as the configuration says.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ferrymq_admin_api::{ArchiveConfiguration, ArchiveDestination};
use ferrymq_archive::{Archive, Destination, DestinationError, Key, KeyError, Place, Secret};
use ferrymq_broker::{ArchiveOpener, Archiving};

/// The share of the disk that waits for the archive at most, where the configuration says nothing: one in so many bytes.
const HELD_SHARE: u64 = 4;
/// Where the disk cannot be asked.
const HELD_BYTES: u64 = 1 << 30;

/// An archive cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveOpenError {
    /// A secret cannot be read.
    #[error("cannot read {path}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Of a pair of secrets, one is missing.
    #[error("{directory} has one of the files {first} and {second}, and not the other")]
    Half {
        /// Where they are.
        directory: PathBuf,
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// What is written is to be encrypted, and there is no key.
    #[error("there is no file encryption-key in {directory}, with which objects are to be encrypted")]
    NoKey {
        /// Where it should be.
        directory: PathBuf,
    },
    /// The key cannot be used.
    #[error("the file {path} holds no key that objects can be encrypted with")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// What says where it is makes no sense.
    #[error(transparent)]
    Destination(#[from] DestinationError),
}

/// Opens an archive; nothing is asked of the destination.
///
/// # Errors
///
/// [`ArchiveOpenError`].
pub fn open_archive(configuration: &ArchiveConfiguration) -> Result<Archive, ArchiveOpenError> {
    let secrets = Secrets(configuration.secrets.as_deref());
    let place = match configuration.destination.clone() {
        ArchiveDestination::Directory { path } => Place::Directory { path },
        ArchiveDestination::S3 { bucket, prefix, endpoint, region } => {
            let credentials = secrets.pair("access-key-id", "secret-access-key")?;
            let authorities = secrets.read("ca.crt")?;
            Place::S3 { bucket, prefix, endpoint, region, credentials, authorities }
        }
        ArchiveDestination::Gcs { bucket, prefix } => {
            let service_account = secrets.read("service-account.json")?.map(Secret::new);
            Place::Gcs { bucket, prefix, service_account }
        }
        ArchiveDestination::Azure { account, container, prefix } => {
            let access_key = secrets.read("access-key")?.map(Secret::new);
            Place::Azure { account, container, prefix, access_key }
        }
    };
    Ok(Archive::new(Destination::open(place)?, &configuration.folder, secrets.key(configuration.encrypted)?))
}

/// Opens an archive whenever it is needed, with what the files say then.
pub(crate) fn opener(configuration: &ArchiveConfiguration) -> ArchiveOpener {
    let configuration = configuration.clone();
    ArchiveOpener::new(move || open_archive(&configuration).map_err(|error| sentence(&error)))
}

/// An error and what it came from.
fn sentence(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Where a broker archives.
pub(crate) fn archiving(configuration: &ArchiveConfiguration, cluster: &str, disk_bytes: Option<u64>) -> Archiving {
    let share = disk_bytes.map_or(HELD_BYTES, |bytes| bytes / HELD_SHARE);
    Archiving {
        archive: opener(configuration),
        cluster: cluster.to_owned(),
        most_held_bytes: configuration.most_held_bytes.unwrap_or(share),
        most_bytes_a_second: configuration.most_bytes_a_second,
    }
}

/// A directory of secrets; there may be none.
struct Secrets<'a>(Option<&'a Path>);

impl Secrets<'_> {
    fn read(&self, name: &str) -> Result<Option<String>, ArchiveOpenError> {
        let Some(path) = self.0.map(|directory| directory.join(name)) else { return Ok(None) };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ArchiveOpenError::Secret { path, source }),
        }
    }

    fn pair(&self, first: &'static str, second: &'static str) -> Result<Option<(String, Secret)>, ArchiveOpenError> {
        match (self.read(first)?, self.read(second)?) {
            (Some(one), Some(other)) => Ok(Some((one, Secret::new(other)))),
            (None, None) => Ok(None),
            _ => {
                let directory = self.0.map(Path::to_owned).unwrap_or_default();
                Err(ArchiveOpenError::Half { directory, first, second })
            }
        }
    }

    fn key(&self, encrypted: bool) -> Result<Option<Key>, ArchiveOpenError> {
        const NAME: &str = "encryption-key";
        let Some(text) = self.read(NAME)? else {
            let directory = self.0.map(Path::to_owned).unwrap_or_default();
            return if encrypted { Err(ArchiveOpenError::NoKey { directory }) } else { Ok(None) };
        };
        let key = Key::new(text.as_bytes()).map_err(|source| {
            let path = self.0.map(|directory| directory.join(NAME)).unwrap_or_default();
            ArchiveOpenError::Key { path, source }
        })?;
        Ok(Some(key))
    }
}
