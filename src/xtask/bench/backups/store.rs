//! Where brokers archive while they are measured: a directory, or versitygw, a server that speaks S3, over one.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use ferrymq_admin_api::{ArchiveConfiguration, ArchiveDestination};

use crate::bench::process::{Process, remove, until};
use crate::bench::usage;
use crate::command::bound;

const ADDRESS: &str = "127.0.0.1:25630";
const BUCKET: &str = "backups";
const ACCESS_KEY: &str = "bench";
const SECRET_KEY: &str = "bench-secret";
const ENCRYPTION_KEY: &str = "thirty-two bytes that nobody else has";
/// How long it may take until it listens.
const LISTENS: Duration = Duration::from_secs(20);

/// A kind of store; they are measured in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A directory
    Directory,
    /// A server that speaks S3, on the loopback, over a directory
    S3,
}

impl Kind {
    /// As people write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::S3 => "S3",
        }
    }
}

/// An empty store; what is put there is gone when this is dropped.
pub(super) struct Store {
    folder: PathBuf,
    kind: Kind,
    server: Option<Process>,
}

impl Store {
    /// Makes one, in a folder that is its alone. `versitygw` is the server's program.
    ///
    /// # Errors
    ///
    /// Where it cannot be made or started.
    pub(super) fn start(kind: Kind, folder: &Path, versitygw: &Path) -> anyhow::Result<Self> {
        remove(folder)?;
        let (data, secrets) = (folder.join("data"), folder.join("secrets"));
        for folder in [&data.join(BUCKET), &secrets] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(secrets.join("encryption-key"), ENCRYPTION_KEY)?;
        let mut store = Self { folder: folder.to_owned(), kind, server: None };
        if kind == Kind::S3 {
            fs::write(secrets.join("access-key-id"), ACCESS_KEY)?;
            fs::write(secrets.join("secret-access-key"), SECRET_KEY)?;
            let mut command = bound(versitygw)?;
            command.args(["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--port", ADDRESS, "--quiet", "posix"]);
            let log = folder.join("versitygw.log");
            let server = store.server.insert(Process::start("versitygw", command.arg(&data), Some(&log))?);
            until("versitygw does not listen", LISTENS, || {
                server.check_runs()?;
                Ok(TcpStream::connect(ADDRESS).ok())
            })?;
        }
        Ok(store)
    }

    /// As brokers are told of it. Objects are encrypted, as documented.
    pub(super) fn configuration(&self) -> ArchiveConfiguration {
        let destination = match self.kind {
            Kind::Directory => ArchiveDestination::Directory { path: self.folder.join("data").join(BUCKET) },
            Kind::S3 => ArchiveDestination::S3 {
                bucket: BUCKET.to_owned(),
                prefix: String::new(),
                endpoint: Some(format!("http://{ADDRESS}")),
                region: None,
            },
        };
        ArchiveConfiguration {
            destination,
            folder: "bench/orders/1".to_owned(),
            secrets: Some(self.folder.join("secrets")),
            encrypted: true,
            most_held_bytes: None,
            most_bytes_a_second: None,
        }
    }

    /// Processor time that its server has taken so far; nothing where it has none.
    ///
    /// # Errors
    ///
    /// Where it has ended.
    pub(super) fn processor_time(&self) -> anyhow::Result<Duration> {
        self.server.as_ref().map_or(Ok(Duration::ZERO), |server| usage::processor_time(server.id()))
    }

    /// Bytes that lie there.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    pub(super) fn bytes(&self) -> anyhow::Result<u64> {
        usage::folder_bytes(&self.folder.join("data"))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Before the folder goes.
        self.server = None;
        let _ = remove(&self.folder);
    }
}
