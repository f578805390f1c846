//! Licences and banned crates, by cargo-deny and `deny.toml`.

use std::path::PathBuf;

use crate::command::{self, command};
use crate::project::Project;

/// The version that is installed where it is missing; pinned, so that every machine says the same.
const VERSION: &str = "0.20.2";

pub(super) fn check(project: &Project) -> anyhow::Result<()> {
    let program = cargo_deny(project)?;
    // Advisories are left out: they need a list that changes by the hour, and a change is not wrong for it.
    let arguments = ["--log-level", "warn", "--locked", "--workspace", "--all-features", "check"];
    let mut check = command(&project.root, &program.to_string_lossy(), &arguments);
    command::run(check.args(["--hide-inclusion-graph", "bans", "licenses", "sources"]))
}

/// cargo-deny of the pinned version, built into the cache where it is not there yet.
fn cargo_deny(project: &Project) -> anyhow::Result<PathBuf> {
    let folder = project.cache.join("tools").join(format!("cargo-deny-{VERSION}"));
    let program = folder.join("bin/cargo-deny");
    if !program.is_file() {
        println!("check: building cargo-deny {VERSION}; this takes minutes, once");
        let mut install = command(&project.root, "cargo", &["install", "--quiet", "--locked", "--no-default-features"]);
        install.args(["cargo-deny", "--version", VERSION, "--root"]).arg(&folder);
        // Built apart, and away afterwards: it would fill the project's own target folder.
        let building = folder.join("target");
        command::run(install.arg("--target-dir").arg(&building))?;
        std::fs::remove_dir_all(&building)?;
    }
    Ok(program)
}
