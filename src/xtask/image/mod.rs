//! `cargo xtask image`: one static binary, packed into an image without a container engine.

mod archive;
pub(crate) mod binary;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

pub(crate) use archive::{Image, write_archive};

use crate::project::Project;

/// The most that the image may weigh: what a node pulls before a broker can start.
const MOST_BYTES: u64 = 44_000_000;

/// Who the processes in the image are: nobody of the host, and not root.
const USER: &str = "10001:10001";

/// How to pack the image.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Where to write the archive [default: ferrymq-image.tar in cargo's target folder]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// What the image is called [default: ferrymq.local/ferrymq:VERSION]
    #[arg(long)]
    pub(crate) reference: Option<String>,
    /// Put what tells the binary apart into the tag, so that a cluster that has an older one takes the new one
    #[arg(long)]
    pub(crate) tag_by_content: bool,
}

/// An image on disk.
pub(crate) struct Packed {
    /// Its archive, as `docker load` and `ctr images import` take it.
    pub(crate) archive: PathBuf,
    /// What it is called.
    pub(crate) reference: String,
    /// How much it weighs.
    pub(crate) bytes: u64,
}

/// # Errors
///
/// Where the binary cannot be built, is not static, or the image weighs too much.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<()> {
    let packed = pack(project, options)?;
    println!("image: {} in {}, {:.1} MB", packed.reference, packed.archive.display(), megabytes(packed.bytes));
    Ok(())
}

/// # Errors
///
/// As [`run`].
pub(crate) fn pack(project: &Project, options: &Options) -> anyhow::Result<Packed> {
    pack_binary(project, &binary::build(project)?, options)
}

/// Packs a binary that is built already.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn pack_binary(project: &Project, binary: &Path, options: &Options) -> anyhow::Result<Packed> {
    let version = project.version()?;
    let mut reference = options.reference.clone().unwrap_or_else(|| format!("ferrymq.local/ferrymq:{version}"));
    let archive = options.out.clone().unwrap_or_else(|| project.target().join("ferrymq-image.tar"));
    let content = std::fs::read(binary).with_context(|| format!("reading {}", binary.display()))?;
    if options.tag_by_content {
        let digest = archive::digest(&content);
        reference = format!("{reference}-{}", digest.get(..12).unwrap_or(&digest));
    }
    let image = Image {
        reference: &reference,
        program: "ferrymq",
        content: &content,
        folders: &["tmp", "data"],
        user: USER,
        labels: &[
            ("org.opencontainers.image.title", "ferrymq"),
            ("org.opencontainers.image.description", "Message queues for Kubernetes: operator and broker"),
            ("org.opencontainers.image.licenses", "Apache-2.0"),
            ("org.opencontainers.image.version", &version),
        ],
    };
    let file = File::create(&archive).with_context(|| format!("creating {}", archive.display()))?;
    write_archive(&image, BufWriter::new(file))?;
    let bytes = std::fs::metadata(&archive)?.len();
    if bytes > MOST_BYTES {
        bail!("the image weighs {:.1} MB; it may weigh {:.0}", megabytes(bytes), megabytes(MOST_BYTES));
    }
    Ok(Packed { archive, reference, bytes })
}

/// In millions of bytes, as the limit is meant.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    // Exact far beyond any image's size.
    bytes as f64 / 1e6
}
