//! What the commands that measure in tables have in common: what was chosen, and where it goes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::Serialize;

use super::document;

/// Where it goes, and what is measured.
#[derive(clap::Args)]
pub(super) struct Output {
    /// Write the tables into this document, between its marks
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write every measurement as JSON [default: a file in the folder peers of the cache]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure this ferrymq instead of building one
    #[arg(long, value_name = "FILE")]
    pub(super) binary: Option<PathBuf>,
}

impl Output {
    /// The file for every measurement.
    pub(super) fn json(&self, default: PathBuf) -> PathBuf {
        self.json.clone().unwrap_or(default)
    }

    /// Tells the tables of a command that is done; `json` is where every measurement was kept.
    ///
    /// # Errors
    ///
    /// Where they cannot be written into the document, or there were failures.
    pub(super) fn tell(&self, command: &str, tables: &str, json: &Path, failures: usize) -> anyhow::Result<()> {
        println!("\n{tables}every measurement is in {}", json.display());
        if let Some(out) = &self.out {
            document::write(out, command, tables)?;
        }
        match failures {
            0 => Ok(()),
            count => bail!("{count} measurements failed; why is said under the tables"),
        }
    }
}

/// Keeps every measurement so far.
///
/// # Errors
///
/// Where the file cannot be written.
pub(super) fn keep(json: &Path, all: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_vec_pretty(all)?;
    fs::write(json, text).with_context(|| format!("cannot write {}", json.display()))
}

/// What was chosen, in the order in which it is measured; all where nothing was.
pub(super) fn chosen<T: ValueEnum + PartialEq>(chosen: &[T]) -> Vec<T> {
    T::value_variants().iter().filter(|one| chosen.is_empty() || chosen.contains(one)).cloned().collect()
}

/// As it is typed.
pub(super) fn name(case: &impl ValueEnum) -> String {
    case.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// How often something was measured, as part of a sentence.
pub(super) fn rounds(rounds: u32) -> String {
    match rounds {
        1 => "once".to_owned(),
        rounds => format!("the median of {rounds} rounds"),
    }
}
