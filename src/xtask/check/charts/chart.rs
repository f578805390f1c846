//! Where the files of a chart and of its tests are.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A chart of this project.
pub(super) struct Chart {
    /// Its folder.
    pub(super) folder: PathBuf,
}

impl Chart {
    /// All charts, by their names.
    ///
    /// # Errors
    ///
    /// Where the folder of the charts cannot be read.
    pub(super) fn all(root: &Path) -> anyhow::Result<Vec<Self>> {
        let charts = entries(&root.join("charts"))?.into_iter().filter(|folder| folder.join("Chart.yaml").is_file());
        Ok(charts.map(|folder| Self { folder }).collect())
    }

    /// Values of which something is made.
    pub(super) fn values(&self) -> anyhow::Result<Vec<PathBuf>> {
        self.tests("values")
    }

    /// What is made of them.
    pub(super) fn expected(&self) -> anyhow::Result<Vec<PathBuf>> {
        self.tests("expected")
    }

    /// Values that are refused.
    pub(super) fn refused(&self) -> anyhow::Result<Vec<PathBuf>> {
        self.tests("refused")
    }

    /// Where it is written what is made of values.
    pub(super) fn expected_of(&self, values: &Path) -> anyhow::Result<PathBuf> {
        let name = values.file_name().context("values without a name")?;
        Ok(self.folder.join("tests/expected").join(name))
    }

    /// What is expected, but of no values.
    pub(super) fn orphans(&self) -> anyhow::Result<Vec<PathBuf>> {
        let expected = self.values()?.iter().map(|values| self.expected_of(values)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.expected()?.into_iter().filter(|file| !expected.contains(file)).collect())
    }

    fn tests(&self, kind: &str) -> anyhow::Result<Vec<PathBuf>> {
        let files = entries(&self.folder.join("tests").join(kind))?.into_iter();
        Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")).collect())
    }
}

/// What is in a folder, by name; nothing where there is no such folder.
pub(super) fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}
