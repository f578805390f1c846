//! Where things lie: the checkout, the cache, what cargo builds.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cargo_metadata::{Metadata, MetadataCommand};

/// The checkout that this command was started in.
pub(crate) struct Project {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// What outlives a checkout: `$FERRYMQ_CACHE`, else `~/.cache/ferrymq`.
    pub(crate) cache: PathBuf,
    /// The workspace's own packages, without what they depend on from outside.
    pub(crate) metadata: Metadata,
}

impl Project {
    /// # Errors
    ///
    /// Where this is no cargo workspace, or there is no home to keep a cache in.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("reading the workspace's metadata")?;
        let cache = match env::var_os("FERRYMQ_CACHE").filter(|folder| !folder.is_empty()) {
            Some(folder) => std::path::absolute(folder)?,
            None => env::home_dir().context("there is no home folder: set FERRYMQ_CACHE")?.join(".cache/ferrymq"),
        };
        Ok(Self { root: metadata.workspace_root.clone().into(), cache, metadata })
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// The version of the one binary.
    pub(crate) fn version(&self) -> anyhow::Result<String> {
        let package = self.metadata.packages.iter().find(|package| package.name.as_str() == "ferrymq");
        Ok(package.context("the workspace has no package ferrymq")?.version.to_string())
    }
}
