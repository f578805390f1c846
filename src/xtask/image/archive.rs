//! An image in the form that `docker save` writes: one layer, one configuration, one manifest.

use std::io::{self, Write};

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// What goes into an image: one static program in an empty root.
pub(crate) struct Image<'a> {
    /// What the image is called: name and tag.
    pub(crate) reference: &'a str,
    /// The program's name; it lies at the root, and is what runs.
    pub(crate) program: &'a str,
    /// The program.
    pub(crate) content: &'a [u8],
    /// Empty folders at the root that anybody may write to.
    pub(crate) folders: &'a [&'a str],
    /// Who runs it, `user:group` in numbers.
    pub(crate) user: &'a str,
    /// Labels.
    pub(crate) labels: &'a [(&'a str, &'a str)],
}

/// Writes the image as an archive that `docker load` and `ctr images import` take.
///
/// The same input makes the same bytes, so the image changes only when what is in it does.
///
/// # Errors
///
/// Where `out` cannot be written.
pub(crate) fn write_archive(image: &Image<'_>, out: impl Write) -> anyhow::Result<()> {
    let layer = layer(image).context("packing the layer")?;
    let layer_digest = digest(&layer);
    let labels: Map<String, Value> =
        image.labels.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    let configuration = serde_json::to_vec(&json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": [format!("/{}", image.program)],
            "User": image.user,
            "WorkingDir": "/",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    }))?;
    let (layer_name, configuration_name) = (format!("{layer_digest}.tar"), format!("{}.json", digest(&configuration)));
    let manifest = serde_json::to_vec(&json!([{
        "Config": configuration_name,
        "RepoTags": [image.reference],
        "Layers": [layer_name],
    }]))?;
    let mut archive = Builder::new(out);
    add(&mut archive, &layer_name, &layer, 0o644)?;
    add(&mut archive, &configuration_name, &configuration, 0o644)?;
    add(&mut archive, "manifest.json", &manifest, 0o644)?;
    archive.into_inner()?.flush()?;
    Ok(())
}

fn layer(image: &Image<'_>) -> io::Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    for folder in image.folders {
        let mut header = header(0, 0o1777);
        header.set_entry_type(EntryType::Directory);
        layer.append_data(&mut header, format!("{folder}/"), io::empty())?;
    }
    add(&mut layer, image.program, image.content, 0o755)?;
    layer.into_inner()
}

fn add(archive: &mut Builder<impl Write>, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
    archive.append_data(&mut header(content.len(), mode), name, content)
}

fn header(bytes: usize, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(bytes as u64);
    header.set_mode(mode);
    header
}

/// The SHA-256 of it, in hexadecimal.
pub(super) fn digest(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    const IMAGE: Image<'static> = Image {
        reference: "example/program:1",
        program: "program",
        content: b"content",
        folders: &["tmp"],
        user: "1:1",
        labels: &[("a", "b")],
    };

    fn entries(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), (entry.header().mode().unwrap(), content))
        });
        entries.collect()
    }

    fn packed() -> Vec<u8> {
        let mut archive = Vec::new();
        write_archive(&IMAGE, &mut archive).unwrap();
        archive
    }

    #[test]
    fn the_manifest_names_what_is_there() {
        let entries = entries(&packed());
        let manifest: Value = serde_json::from_slice(&entries["manifest.json"].1).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!(["example/program:1"]));
        let configuration = &entries[manifest[0]["Config"].as_str().unwrap()].1;
        let configuration: Value = serde_json::from_slice(configuration).unwrap();
        assert_eq!(configuration["config"]["Entrypoint"], json!(["/program"]));
        assert_eq!(configuration["config"]["User"], json!("1:1"));
        assert_eq!(configuration["config"]["Labels"], json!({"a": "b"}));
        let layer = &entries[manifest[0]["Layers"][0].as_str().unwrap()].1;
        let digest = format!("sha256:{}", digest(layer));
        assert_eq!(configuration["rootfs"]["diff_ids"], json!([digest]));
    }

    #[test]
    fn the_layer_holds_the_program_and_folders_that_anybody_may_write_to() {
        let entries_of_archive = entries(&packed());
        let (_, (_, layer)) = entries_of_archive.iter().find(|(name, _)| name.ends_with(".tar")).unwrap();
        let layer = entries(layer);
        assert_eq!(layer["program"], (0o755, b"content".to_vec()));
        assert_eq!(layer["tmp/"].0, 0o1777);
    }

    #[test]
    fn the_same_input_makes_the_same_image() {
        assert_eq!(packed(), packed());
    }
}
