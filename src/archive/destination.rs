//! Writes once, reads, lists; and says what went wrong in words.

use std::{error::Error, io, iter::successors, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use object_store::{
    Certificate, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    RetryConfig, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder,
    local::LocalFileSystem, path::Path, prefix::PrefixStore,
};
use tokio::time::timeout;

use crate::{Place, sealed::MOST_BYTES};

/// How long a connection to a store may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long one request may take, and how long it may be tried again before whoever called is told.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// How often a request is tried again, within half a second or so, before whoever called is told.
const RETRIES: usize = 3;
/// How long one call may take, whatever hangs.
const CALL_WITHIN: Duration = Duration::from_secs(60);
/// The most bytes of an object: its content may be of a kind that compression makes no smaller.
const MOST_OBJECT_BYTES: u64 = MOST_BYTES as u64 + (1 << 20);

/// A store or directory that objects are written to and read from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Destination {
    place: Arc<Place>,
    store: Arc<dyn ObjectStore>,
}

/// What became of an object that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there, durably.
    Written,
    /// One of that name is there already, and stays as it is. It may be this one: an answer that was lost is asked for again.
    Exists,
}

/// What kind of trouble there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is nothing of that name.
    NotFound,
    /// The credentials are wrong, or allow less than is needed.
    Refused,
    /// It is full.
    Full,
    /// It is more than is read at once.
    TooLarge,
    /// It cannot be reached, or failed: it may work later.
    Failed,
    /// What says where it is makes no sense.
    Invalid,
}

/// A destination did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} in {place}: {reason}")]
pub struct DestinationError {
    /// What was asked, as a verb and an object.
    action: String,
    /// Where.
    place: String,
    /// Why not.
    reason: String,
    /// The kind of it.
    pub trouble: Trouble,
}

impl Destination {
    /// A destination that is opened, and not yet asked anything.
    ///
    /// # Errors
    ///
    /// What says where it is makes no sense, or the directory is not there.
    pub fn open(place: Place) -> Result<Self, DestinationError> {
        let store = store_of(&place).map_err(|error| DestinationError {
            action: "open the archive".to_owned(),
            place: place.to_string(),
            reason: sentence_of(&error),
            trouble: Trouble::Invalid,
        })?;
        Ok(Self { place: Arc::new(place), store })
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Writes an object, unless there is one of that name.
    pub(crate) async fn put_new(&self, name: &str, object: Bytes) -> Result<Put, DestinationError> {
        let action = format!("write {name}");
        let path = self.path(&action, name)?;
        let options = PutOptions::from(PutMode::Create);
        match self.within(&action, self.store.put_opts(&path, PutPayload::from(object), options)).await? {
            Ok(_) => Ok(Put::Written),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Exists),
            Err(error) => Err(self.error(action, &error)),
        }
    }

    /// Reads an object.
    pub(crate) async fn get(&self, name: &str) -> Result<Bytes, DestinationError> {
        let action = format!("read {name}");
        let path = self.path(&action, name)?;
        let read = async {
            let found = self.store.get(&path).await?;
            let size = found.meta.size;
            Ok::<_, object_store::Error>(if size > MOST_OBJECT_BYTES { Err(size) } else { Ok(found.bytes().await?) })
        };
        match self.within(&action, read).await? {
            Ok(Ok(object)) => Ok(object),
            Ok(Err(size)) => {
                let reason = format!("it has {size} bytes, and the most is {MOST_OBJECT_BYTES}");
                Err(self.trouble(action, reason, Trouble::TooLarge))
            }
            Err(error) => Err(self.error(action, &error)),
        }
    }

    /// Deletes an object; success where there is none.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), DestinationError> {
        let action = format!("delete {name}");
        let path = self.path(&action, name)?;
        match self.within(&action, self.store.delete(&path)).await? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(action, &error)),
        }
    }

    /// The names of the objects in a folder that come after this one, in no order.
    pub(crate) fn list_after(
        &self,
        folder: &str,
        after: &str,
    ) -> Result<impl Stream<Item = Result<String, DestinationError>>, DestinationError> {
        let action = format!("list {folder}");
        let (folder, after) = (self.path(&action, folder)?, self.path(&action, after)?);
        Ok(self.names(action, self.store.list_with_offset(Some(&folder), &after)))
    }

    /// The names of the objects in a folder, in no order.
    pub(crate) fn list(
        &self,
        folder: &str,
    ) -> Result<impl Stream<Item = Result<String, DestinationError>>, DestinationError> {
        let action = format!("list {folder}");
        let folder = self.path(&action, folder)?;
        Ok(self.names(action, self.store.list(Some(&folder))))
    }

    fn names<'a>(
        &'a self,
        action: String,
        found: impl Stream<Item = object_store::Result<ObjectMeta>> + 'a,
    ) -> impl Stream<Item = Result<String, DestinationError>> + 'a {
        found.map(move |object| match object {
            Ok(object) => Ok(object.location.into()),
            Err(error) => Err(self.error(action.clone(), &error)),
        })
    }

    /// The folders in a folder, in no order.
    ///
    /// # Errors
    ///
    /// [`DestinationError`].
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, DestinationError> {
        let action = format!("list {folder}");
        let path = self.path(&action, folder)?;
        let found = self.within(&action, self.store.list_with_delimiter(Some(&path))).await?;
        let found = found.map_err(|error| self.error(action, &error))?;
        Ok(found.common_prefixes.into_iter().map(String::from).collect())
    }

    async fn within<T>(&self, action: &str, call: impl Future<Output = T>) -> Result<T, DestinationError> {
        let late = |_| {
            let reason = format!("there was no answer within {} s", CALL_WITHIN.as_secs());
            self.trouble(action.to_owned(), reason, Trouble::Failed)
        };
        timeout(CALL_WITHIN, call).await.map_err(late)
    }

    fn path(&self, action: &str, name: &str) -> Result<Path, DestinationError> {
        Path::parse(name).map_err(|error| self.trouble(action.to_owned(), error.to_string(), Trouble::Invalid))
    }

    fn error(&self, action: String, error: &object_store::Error) -> DestinationError {
        use object_store::Error as Store;
        let trouble = match error {
            Store::NotFound { .. } => Trouble::NotFound,
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => Trouble::Refused,
            error if io_kind(error).is_some_and(is_full) => Trouble::Full,
            error if io_kind(error) == Some(io::ErrorKind::PermissionDenied) => Trouble::Refused,
            _ => Trouble::Failed,
        };
        let reason = match trouble {
            Trouble::NotFound => "there is no such object".to_owned(),
            Trouble::Full => "it is full".to_owned(),
            _ => sentence_of(error),
        };
        self.trouble(action, reason, trouble)
    }

    fn trouble(&self, action: String, reason: String, trouble: Trouble) -> DestinationError {
        DestinationError { action, place: self.place.to_string(), reason, trouble }
    }
}

fn store_of(place: &Place) -> object_store::Result<Arc<dyn ObjectStore>> {
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: REQUEST_WITHIN, ..RetryConfig::default() };
    let client = ClientOptions::new().with_connect_timeout(CONNECT_WITHIN).with_timeout(REQUEST_WITHIN);
    // Also where the machine has no list of authorities, as in the image.
    let mut client = client.with_no_system_certificates(true);
    for authority in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        client = client.with_root_certificate(Certificate::from_der(authority)?);
    }
    match place {
        // Synced: what is said to be written is there after a loss of power.
        Place::Directory { path } => Ok(Arc::new(LocalFileSystem::new_with_prefix(path)?.with_fsync(true))),
        Place::S3 { bucket, prefix, endpoint, region, credentials, authorities } => {
            for authority in Certificate::from_pem_bundle(authorities.as_deref().unwrap_or_default().as_bytes())? {
                client = client.with_root_certificate(authority);
            }
            // What the environment has besides, such as the token of another session, belongs to its own credentials only.
            let mut builder = match credentials {
                Some((access_key, secret)) => {
                    AmazonS3Builder::new().with_access_key_id(access_key).with_secret_access_key(secret.shown())
                }
                None => AmazonS3Builder::from_env(),
            };
            builder = builder.with_bucket_name(bucket).with_retry(retry);
            let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http:"));
            builder = builder.with_client_options(client.with_allow_http(plain));
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let Some(region) = region {
                builder = builder.with_region(region);
            }
            Ok(below(builder.build()?, prefix))
        }
        Place::Gcs { bucket, prefix, service_account } => {
            let builder = match service_account {
                Some(account) => GoogleCloudStorageBuilder::new().with_service_account_key(account.shown()),
                None => GoogleCloudStorageBuilder::from_env(),
            };
            let builder = builder.with_bucket_name(bucket).with_client_options(client).with_retry(retry);
            Ok(below(builder.build()?, prefix))
        }
        Place::Azure { account, container, prefix, access_key } => {
            let builder = match access_key {
                Some(key) => MicrosoftAzureBuilder::new().with_access_key(key.shown()),
                None => MicrosoftAzureBuilder::from_env(),
            };
            let builder = builder.with_account(account).with_container_name(container);
            let builder = builder.with_client_options(client).with_retry(retry);
            Ok(below(builder.build()?, prefix))
        }
    }
}

fn below(store: impl ObjectStore, prefix: &str) -> Arc<dyn ObjectStore> {
    if prefix.is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) }
}

/// What a library says, and why, as far as that says more.
fn sentence_of(error: &object_store::Error) -> String {
    causes(error).map(ToString::to_string).fold(error.to_string(), |sentence, more| {
        if sentence.contains(&more) { sentence } else { format!("{sentence}: {more}") }
    })
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()))
}

/// What is behind an error, the nearest first.
fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(error.source(), |&cause| cause.source())
}

fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
