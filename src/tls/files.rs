//! A directory with a certificate, read as one state.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The file of the certificate, with those between it and its authority, as PEM: the name that Kubernetes gives it in a
/// Secret of type `kubernetes.io/tls`.
pub const CERTIFICATE_FILE: &str = "tls.crt";

/// The file of its private key, as PEM.
pub const KEY_FILE: &str = "tls.key";

/// The file of the authorities that the other side's certificate must come from, as PEM.
pub const CA_FILE: &str = "ca.crt";

/// Where this file says `true`, links without TLS are taken as well: while brokers that know no TLS are being replaced.
pub const PLAIN_FILE: &str = "accept-plain";

/// Where Kubernetes keeps what a Secret holds at a time: a link to a directory that is replaced as a whole.
const STATE: &str = "..data";

/// Bytes that a file may have; a chain of certificates has a few thousand.
const MOST_BYTES: u64 = 1 << 20;

/// What is in the files.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// Of [`CERTIFICATE_FILE`].
    pub certificate: Vec<u8>,
    /// Of [`KEY_FILE`].
    pub key: Vec<u8>,
    /// Of [`CA_FILE`], where it is there.
    pub authorities: Option<Vec<u8>>,
    /// Whether [`PLAIN_FILE`] says `true`.
    pub accept_plain: bool,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("accept_plain", &self.accept_plain).finish_non_exhaustive()
    }
}

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there, or may not be read.
    #[error("cannot read {path}; put a certificate there as {CERTIFICATE_FILE}, and its key beside it as {KEY_FILE}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is too long to be what it should be.
    #[error("{path} has more than {MOST_BYTES} bytes, and is no certificate")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

impl Files {
    /// Reads the files of a directory.
    ///
    /// # Errors
    ///
    /// [`FileError`], where certificate or key are not there, or one of the files cannot be read.
    pub fn read(directory: &Path) -> Result<Self, FileError> {
        // All of them from one state: the link may be replaced between two reads.
        let directory = fs::canonicalize(directory.join(STATE)).unwrap_or_else(|_| directory.to_owned());
        let needed = |name: &str| {
            let path = directory.join(name);
            bounded(&path)?.ok_or_else(|| FileError::Read { path, source: io::ErrorKind::NotFound.into() })
        };
        Ok(Self {
            certificate: needed(CERTIFICATE_FILE)?,
            key: needed(KEY_FILE)?,
            authorities: bounded(&directory.join(CA_FILE))?,
            accept_plain: bounded(&directory.join(PLAIN_FILE))?.is_some_and(|said| said.trim_ascii() == b"true"),
        })
    }
}

/// What is in a file; none where it is not there.
fn bounded(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(FileError::TooLong { path: path.to_owned() });
    }
    Ok(Some(bytes))
}
