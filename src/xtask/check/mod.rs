//! `cargo xtask check`: everything that must hold before a change is taken. It writes nothing.
//!
//! All checks run, also after one has failed, so that one run shows all there is to mend.

pub(crate) mod charts;
pub(crate) mod dependencies;
pub(crate) mod generated;
mod licences;
mod links;

use std::time::Instant;

use anyhow::bail;

use crate::command::{self, command};
use crate::project::Project;

type Check = fn(&Project) -> anyhow::Result<()>;

/// The checks, the quick ones first.
const CHECKS: &[(&str, Check)] = &[
    ("format", format),
    ("direction of dependencies", dependencies::check),
    ("links of the pages", links::check),
    ("lints", lints),
    ("docs", docs),
    ("generated files", generated::check),
    ("charts", charts::check),
    ("licences", licences::check),
];

/// # Errors
///
/// Where one of the checks fails, with the names of those that did.
pub(crate) fn run(project: &Project) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        println!("check: {name}");
        let started = Instant::now();
        if let Err(error) = check(project) {
            println!("check: {name} FAILED: {error:#}");
            failed.push(*name);
        } else {
            println!("check: {name} holds ({:.1} s)", started.elapsed().as_secs_f64());
        }
    }
    if !failed.is_empty() {
        bail!("these checks failed: {}; `cargo xtask fix` mends what a program can mend", failed.join(", "));
    }
    Ok(())
}

fn format(project: &Project) -> anyhow::Result<()> {
    command::run(&mut command(&project.root, "cargo", &["fmt", "--all", "--check"]))
}

fn lints(project: &Project) -> anyhow::Result<()> {
    let arguments = [
        "clippy",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
        "--test",
        "clients",
        "--test",
        "import",
        "--test",
        "kubernetes",
        "--",
        "-D",
        "warnings",
    ];
    command::run(&mut command(&project.root, "cargo", &arguments))
}

fn docs(project: &Project) -> anyhow::Result<()> {
    let arguments = ["doc", "--quiet", "--locked", "--workspace", "--no-deps", "--document-private-items"];
    command::run(command(&project.root, "cargo", &arguments).env("RUSTDOCFLAGS", "-D warnings"))
}
