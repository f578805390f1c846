//! Everything that helps somebody who cannot look: resources, events, logs, what the brokers say; one file.
//!
//! No Secret is in it. What the cluster's Secrets hold is read only to strike it out of all else.

mod archive;
mod gather;
mod strike;

use std::path::{Path, PathBuf};

use crate::mq::{PluginError, access::Access};

use self::{archive::archive, gather::gather, strike::Strike};

/// Writes the bundle, and gives what is to be said of it.
pub(crate) async fn run(access: &Access, name: &str, file: Option<&Path>) -> Result<String, PluginError> {
    let cluster = access.cluster(name).await?;
    let strike = Strike::of_cluster(access, name).await;
    let entries = gather(access, &cluster).await;
    let entries: Vec<Entry> = entries.into_iter().map(|entry| strike.out_of(entry)).collect();
    let file = file.map_or_else(|| PathBuf::from(format!("{name}-support.tar.gz")), Path::to_owned);
    let failed = |reason| PluginError::Bundle { file: file.clone(), reason };
    let bytes = archive(&format!("{name}-support"), &entries).map_err(failed)?;
    std::fs::write(&file, &bytes).map_err(failed)?;
    Ok(format!(
        "{}: {} files, {} KiB, no Secrets; look through it before you pass it on\n",
        file.display(),
        entries.len(),
        bytes.len() / 1024
    ))
}

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Its path within the bundle.
    path: String,
    text: String,
}

impl Entry {
    fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}
