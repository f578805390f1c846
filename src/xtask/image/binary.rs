//! The static release binary: in the image, and under the client programs' tests.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::command::{self, command};
use crate::project::Project;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds it where it is not up to date, and returns its path.
///
/// # Errors
///
/// Where it cannot be built, or is not static after all.
pub(crate) fn build(project: &Project) -> anyhow::Result<PathBuf> {
    build_in(&project.root, project.target())
}

/// The same of any checkout, into any target folder.
///
/// # Errors
///
/// As [`build`].
pub(crate) fn build_in(root: &Path, target: &Path) -> anyhow::Result<PathBuf> {
    let arguments = ["build", "--release", "--locked", "--package", "ferrymq", "--target", TARGET];
    let mut build = command(root, "cargo", &arguments);
    build.env("CARGO_TARGET_DIR", target);
    // The target is named although it is the host's: so the flag does not reach build scripts and macros,
    // and nothing of the other builds is built again.
    build.env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    command::run(&mut build)?;
    let binary = target.join(TARGET).join("release/ferrymq");
    let content = std::fs::read(&binary).with_context(|| format!("reading {}", binary.display()))?;
    if is_dynamic(&content) {
        bail!("{} wants a dynamic loader, which an empty image does not have", binary.display());
    }
    Ok(binary)
}

/// Whether this ELF names an interpreter: a program header of type 3.
fn is_dynamic(elf: &[u8]) -> bool {
    let number = |at: usize, bytes: usize| {
        let field = elf.get(at..at + bytes).unwrap_or_default();
        field.iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let (start, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    (0..count).any(|header| number(start + header * size, 4) == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_wants_a_loader_is_told() {
        let shell = std::fs::read("/bin/sh").unwrap();
        assert!(is_dynamic(&shell));
    }
}
