//! Which store or directory.

use std::{fmt, path::PathBuf};

/// What nobody else is to know. It is in no message and no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    pub(crate) fn shown(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where an archive is. `prefix` is what the names of all of its objects begin with; it may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A directory that is there, such as one of a mounted volume.
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// A bucket of Amazon S3, or of a store that speaks as it does. It must know conditional writes (`If-None-Match`).
    S3 {
        /// The bucket.
        bucket: String,
        /// What names begin with.
        prefix: String,
        /// The URL of the store. Default: Amazon's.
        endpoint: Option<String>,
        /// The region. Default: `us-east-1`.
        region: Option<String>,
        /// Access key and its secret. Default: those that the machine or the pod has.
        credentials: Option<(String, Secret)>,
        /// Authorities that may have signed the store's certificate, beside the public ones: PEM (RFC 7468).
        authorities: Option<String>,
    },
    /// A bucket of Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
        /// What names begin with.
        prefix: String,
        /// The key of a service account, as JSON. Default: that of the machine or the pod.
        service_account: Option<Secret>,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// The storage account.
        account: String,
        /// The container.
        container: String,
        /// What names begin with.
        prefix: String,
        /// The account's access key. Default: the identity of the machine or the pod.
        access_key: Option<Secret>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path } => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix, endpoint: None, .. } => write!(f, "s3://{bucket}/{prefix}"),
            Self::S3 { bucket, prefix, endpoint: Some(endpoint), .. } => {
                write!(f, "s3://{bucket}/{prefix} at {endpoint}")
            }
            Self::Gcs { bucket, prefix, .. } => write!(f, "gs://{bucket}/{prefix}"),
            Self::Azure { account, container, prefix, .. } => write!(f, "azure://{account}/{container}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_without_what_is_secret() {
        let place = Place::S3 {
            bucket: "backups".to_owned(),
            prefix: "shop".to_owned(),
            endpoint: Some("https://store.example".to_owned()),
            region: None,
            credentials: Some(("access".to_owned(), Secret::new("hunter2".to_owned()))),
            authorities: None,
        };
        assert_eq!(place.to_string(), "s3://backups/shop at https://store.example");
        assert!(!format!("{place:?}").contains("hunter2"));
    }
}
