//! The previous build, from which upgrades are tested: its binary and its charts, made from a commit and kept in the cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::command::{self, command};
use crate::image::binary;
use crate::project::Project;

/// The build that upgrades start from. With each release it becomes the one before.
const COMMIT: &str = "1c569e2623bf880aeeb17f6ebf6d289b56dafae9";

/// The previous build.
pub(crate) struct Previous {
    /// Its static binary.
    pub(crate) binary: PathBuf,
    /// The folder of its charts.
    pub(crate) charts: PathBuf,
}

impl Previous {
    /// The previous build, made now where it is not there yet; none in a clone that does not reach back so far.
    ///
    /// # Errors
    ///
    /// Where it cannot be built.
    pub(crate) fn find(project: &Project) -> anyhow::Result<Option<Self>> {
        let folder = project.cache.join("previous").join(COMMIT);
        let previous = Self { binary: folder.join("ferrymq"), charts: folder.join("charts") };
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        // Two at once would build the same thing twice, into the same place.
        let lock = File::create(folder.join(".lock"))?;
        lock.lock()?;
        if previous.binary.is_file() {
            return Ok(Some(previous));
        }
        if !is_in_clone(&project.root) {
            println!("previous: this clone does not have commit {COMMIT}; `git fetch --unshallow` brings it");
            return Ok(None);
        }
        let (source, started) = (folder.join("source"), Instant::now());
        println!("previous: building {COMMIT}");
        export(&project.root, &source)?;
        mark(&source, &project.version()?)?;
        let built = binary::build_in(&source, project.target())?;
        if previous.charts.exists() {
            fs::remove_dir_all(&previous.charts)?;
        }
        fs::rename(source.join("charts"), &previous.charts)?;
        // Last, and at once: a binary is there only with all else.
        let fresh = folder.join("ferrymq.fresh");
        fs::copy(&built, &fresh).with_context(|| format!("copying {}", built.display()))?;
        fs::rename(&fresh, &previous.binary)?;
        fs::remove_dir_all(&source)?;
        println!("previous: built in {} s", started.elapsed().as_secs());
        Ok(Some(previous))
    }
}

fn is_in_clone(root: &Path) -> bool {
    let commit = format!("{COMMIT}^{{commit}}");
    let mut ask = command(root, "git", &["cat-file", "-e", &commit]);
    ask.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Gives the packages of a checkout another version. By that cargo tells them apart from those of this checkout: the target
/// folder is the same, so that what both depend on is built once.
fn mark(folder: &Path, version: &str) -> anyhow::Result<()> {
    for file in ["Cargo.toml", "Cargo.lock"] {
        let path = folder.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        fs::write(&path, marked(&text, version)).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// A manifest or a lock file, with another version of our own packages.
fn marked(text: &str, version: &str) -> String {
    let is = format!("version = \"{version}\"");
    let (mut ours, mut marked) = (false, String::new());
    for line in text.lines() {
        ours = ours && !line.is_empty() || line == "[workspace.package]" || line.starts_with("name = \"ferrymq");
        let line = if ours && line == is { &format!("version = \"{version}-previous\"") } else { line };
        marked.push_str(line);
        marked.push('\n');
    }
    marked
}

/// Writes the files of the commit into a folder, which holds nothing else.
fn export(root: &Path, folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut archive = command(root, "git", &["archive", "--format=tar", COMMIT]);
    let mut archived = archive.stdout(Stdio::piped()).spawn().context("cannot start git")?;
    let packed = archived.stdout.take().context("a child without the output that was asked for")?;
    let unpacked = command::run(Command::new("tar").arg("-x").arg("-C").arg(folder).stdin(packed));
    if !archived.wait()?.success() {
        bail!("git archive {COMMIT} failed");
    }
    unpacked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_packages_get_another_version_and_no_others_do() {
        let lock = "[[package]]\nname = \"ferrymq-api\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"x\"\nversion = \"0.1.0\"\n";
        let other = "[[package]]\nname = \"ferrymq-api\"\nversion = \"0.1.0-previous\"\n\n[[package]]\nname = \"x\"\nversion = \"0.1.0\"\n";
        assert_eq!(marked(lock, "0.1.0"), other);
        let manifest = "[workspace.package]\nversion = \"0.1.0\"\n\n[x]\nversion = \"0.1.0\"\n";
        assert_eq!(marked(manifest, "0.1.0").matches("0.1.0-previous").count(), 1);
    }
}
