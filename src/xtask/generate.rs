//! Checks or writes the files that are made from the custom resources.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let files = ferrymq_api::generated_files()?;
    match env::args().nth(1).as_deref() {
        Some("--check") => {
            let drifted = files.iter().filter(|file| {
                fs::read_to_string(root.join(&file.path)).ok().as_deref() != Some(file.content.as_str())
            });
            let drifted: Vec<_> = drifted.map(|file| file.path.to_string()).collect();
            if !drifted.is_empty() {
                bail!("not what the types in src/api would make: {}; run `cargo xtask fix`", drifted.join(", "));
            }
        }
        Some("--write") => {
            for file in &files {
                let path = root.join(&file.path);
                fs::create_dir_all(path.parent().context("a file that lies nowhere")?)?;
                fs::write(&path, &file.content).with_context(|| format!("writing {}", path.display()))?;
            }
        }
        _ => bail!("say --check or --write"),
    }
    Ok(())
}
