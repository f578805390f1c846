//! Building the cluster's programs, once.
//!
//! Beside every program lies a stamp of what it was built from. A program whose stamp is that of today is left alone,
//! so that a change builds anew only what it touches, and a warm run builds nothing.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use super::recipes::{Recipe, Source};
use crate::command::{self, command};
use crate::image::{Image, write_archive};

/// Between two signs of life while a program is built.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sandbox's image, as `tests/cluster/lib/node.sh` calls it.
const PAUSE: &str = "ferrymq.local/pause:1";

/// Whether a program is there, as it would be built today.
///
/// # Errors
///
/// Where our own sources cannot be read.
pub(super) fn is_built(recipe: &Recipe, sources: &Path, binaries: &Path) -> anyhow::Result<bool> {
    let stamp = stamp(recipe, sources)?;
    Ok(fs::read_to_string(stamp_path(binaries, recipe)).is_ok_and(|there| there == stamp)
        && binaries.join(recipe.name).is_file())
}

/// Builds what is not built yet.
///
/// # Errors
///
/// Where Go is missing, or a program cannot be built.
pub(super) fn build(recipes: &[Recipe], sources: &Path, binaries: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(binaries).with_context(|| format!("making {}", binaries.display()))?;
    // Two at once would build the same thing twice, into the same place.
    let lock = File::create(binaries.join(".lock"))?;
    lock.lock()?;
    let mut missing = Vec::new();
    for recipe in recipes {
        if !is_built(recipe, sources, binaries)? {
            missing.push(recipe);
        }
    }
    if !missing.is_empty() && !command::exists("go") {
        bail!("the cluster's programs are built from source: install Go 1.26, or set KUBECONFIG to a cluster of yours");
    }
    let (all, started) = (missing.len(), Instant::now());
    for (done, recipe) in missing.into_iter().enumerate() {
        println!("cluster: building {} ({} of {all}, {} s so far)", recipe.name, done + 1, started.elapsed().as_secs());
        build_one(recipe, sources, binaries)?;
        if recipe.name == "pause" {
            pack_pause(binaries)?;
        }
        // Last: a stamp never stands beside a program that was not finished.
        fs::write(stamp_path(binaries, recipe), stamp(recipe, sources)?)?;
    }
    Ok(())
}

fn build_one(recipe: &Recipe, sources: &Path, binaries: &Path) -> anyhow::Result<()> {
    let link = format!("-ldflags=-s -w {}", recipe.link);
    // Beside its place and then moved, as the running cluster may hold the old one open.
    let fresh = binaries.join(".fresh");
    let mut go = match recipe.source {
        Source::Module(folder) => {
            let mut go = command(&sources.join(folder), "go", &["build", "-buildvcs=false", &link, "-o"]);
            go.arg(fresh.join(recipe.name)).arg(recipe.package);
            go
        }
        Source::Release(version) => {
            let mut go = command(sources, "go", &["install", &link]);
            go.arg(format!("{}@{version}", recipe.package)).env("GOBIN", &fresh);
            go
        }
    };
    go.env("GOWORK", "off");
    if recipe.name == "pause" {
        // It runs in an empty root.
        go.env("CGO_ENABLED", "0");
    }
    let (started, mut told) = (Instant::now(), Instant::now());
    let mut child = go.spawn().with_context(|| format!("cannot start {}", command::shown(&go)))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if told.elapsed() >= PATIENCE {
            println!("cluster: building {}: {} s", recipe.name, started.elapsed().as_secs());
            told = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    if !status.success() {
        bail!("{} could not be built: {status}", recipe.name);
    }
    fs::rename(fresh.join(recipe.name), binaries.join(recipe.name))?;
    fs::remove_dir_all(&fresh)?;
    Ok(())
}

fn pack_pause(binaries: &Path) -> anyhow::Result<()> {
    let image = Image {
        reference: PAUSE,
        program: "pause",
        content: &fs::read(binaries.join("pause"))?,
        folders: &[],
        user: "65535:65535",
        labels: &[],
    };
    write_archive(&image, BufWriter::new(File::create(binaries.join("pause.tar"))?))
}

fn stamp_path(binaries: &Path, recipe: &Recipe) -> PathBuf {
    binaries.join(format!(".{}.stamp", recipe.name))
}

/// Tells apart everything that a program is built from: package, version, flags, and our own sources.
fn stamp(recipe: &Recipe, sources: &Path) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    for part in [recipe.name, recipe.package, recipe.link] {
        digest.update(part);
        digest.update([0]);
    }
    match recipe.source {
        Source::Release(version) => digest.update(version),
        Source::Module(folder) => {
            for file in ["go.mod", "go.sum", "main.go"] {
                if let Ok(content) = fs::read(sources.join(folder).join(file)) {
                    digest.update(file);
                    digest.update([0]);
                    digest.update(content);
                }
            }
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::recipes::HELM;
    use super::*;

    #[test]
    fn a_program_is_built_where_its_stamp_is_that_of_today() {
        let folder = tempfile::tempdir().unwrap();
        let built = || is_built(&HELM, folder.path(), folder.path()).unwrap();
        assert!(!built());
        fs::write(stamp_path(folder.path(), &HELM), stamp(&HELM, folder.path()).unwrap()).unwrap();
        assert!(!built(), "a stamp without its program");
        fs::write(folder.path().join("helm"), "").unwrap();
        assert!(built());
        fs::write(stamp_path(folder.path(), &HELM), "of another version").unwrap();
        assert!(!built());
    }
}
