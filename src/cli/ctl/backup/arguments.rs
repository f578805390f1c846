//! What is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Which archive is meant.
#[derive(Debug, Clone, Args)]
pub struct ArchiveArguments {
    /// Where the archive is: a directory, s3://bucket/prefix, gs://bucket/prefix or azure://account/container/prefix.
    #[arg(long, value_name = "PLACE")]
    pub archive: String,

    /// The URL of a store that speaks S3; without it, Amazon's.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,

    /// The region of an S3 bucket; without it, us-east-1.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// A directory with what nobody else is to know, in files: access-key-id and secret-access-key of S3,
    /// service-account.json of Google, access-key of Azure, and encryption-key where the archive is encrypted.
    ///
    /// What is not there is what this machine has by itself, such as the variables of the environment that AWS names.
    #[arg(long, value_name = "DIR")]
    pub secrets: Option<PathBuf>,

    /// The cluster: namespace/name, or namespace/name/uid where several had that name; without the uid it is the newest of
    /// them. May be left out where the archive has only one.
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
}

/// What `ctl backup` is told.
#[derive(Debug, Clone, Args)]
pub struct BackupArguments {
    /// What is to be done.
    #[command(subcommand)]
    pub command: BackupCommand,
}

/// What `ctl backup` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum BackupCommand {
    /// Shows the clusters in an archive, their backups, and to which moments they can be restored.
    List {
        /// Which archive.
        #[command(flatten)]
        archive: ArchiveArguments,
    },
    /// Shows what a backup is made of: for each shard the base, the log behind it, and their times.
    Inspect {
        /// The backup's name.
        backup: String,

        /// Which archive.
        #[command(flatten)]
        archive: ArchiveArguments,
    },
    /// Reads every object that a backup needs, or all of a cluster's archive, and changes nothing.
    ///
    /// Lists each object that is damaged, missing, of another program, of a newer version, or encrypted with another key.
    /// Ends with 0 where all is whole, with 1 where something is not, and with 2 where it cannot look.
    Verify {
        /// The backup's name; without it, everything is read that the cluster has in the archive.
        backup: Option<String>,

        /// Also restores the backup, in this directory that is not there, or empty, compares what is restored with what was
        /// backed up, and removes it.
        #[arg(long, value_name = "DIR", requires = "backup")]
        restore_in: Option<PathBuf>,

        /// Which archive.
        #[command(flatten)]
        archive: ArchiveArguments,
    },
}
