//! What is typed.

use std::path::PathBuf;

use clap::Args;

use crate::ctl::backup::{self, ArchiveArguments, Moment};

/// What `ctl restore` is told.
#[derive(Debug, Clone, Args)]
pub struct RestoreArguments {
    /// Which archive.
    #[command(flatten)]
    pub archive: ArchiveArguments,

    /// What there was in this backup; without it and without --time, all that is archived.
    #[arg(long, value_name = "NAME", conflicts_with = "time")]
    pub backup: Option<String>,

    /// What there was right before this moment, such as 2026-11-28T14:03:20Z.
    #[arg(long, value_name = "TIME", value_parser = backup::parse)]
    pub time: Option<Moment>,

    /// Leaves out what is damaged or missing, and lists it.
    #[arg(long)]
    pub allow_partial: bool,

    /// Where the new cluster is to be: a directory that is not there, or empty.
    #[arg(long, value_name = "DIR")]
    pub to_dir: PathBuf,
}
