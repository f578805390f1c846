//! Writes the files that are generated from the resources' types: `cargo run -p ferrymq-api --example generate`.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in ferrymq_api::generated_files()? {
        let path = root.join(&file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, file.content)?;
    }
    Ok(())
}
