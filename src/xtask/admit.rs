//! Reads files of resources as `ferrymq dev` would, and says what is wrong in them.

use std::{env, fs};

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let mut refused = Vec::new();
    for file in env::args().skip(1) {
        let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
        if let Err(error) = ferrymq_api::parse_resources(&text, &file) {
            refused.push(error.to_string());
        }
    }
    if !refused.is_empty() {
        bail!("{}", refused.join("\n"));
    }
    Ok(())
}
