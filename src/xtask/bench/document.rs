//! The part of a document that is written anew, between two marks; the rest is people's.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};

const BEGIN: &str = "<!-- measured: begin (cargo xtask bench peers --out) -->";
const END: &str = "<!-- measured: end -->";

/// Puts `section` between the marks of a document, or into a new one.
///
/// # Errors
///
/// Where the document has no marks, or cannot be read or written.
pub(super) fn write(path: &Path, section: &str) -> anyhow::Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => format!("# Performance\n\n{BEGIN}\n{END}\n"),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let Some(new) = replaced(&old, section) else {
        bail!("{} has no place for what was measured: put '{BEGIN}' and '{END}' into it, a line each", path.display());
    };
    fs::write(path, new).with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(text: &str, section: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", section.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("performance.md");
        fs::write(&path, format!("before\n{BEGIN}\nold\n{END}\nafter\n")).unwrap();
        write(&path, "new\n").unwrap();
        write(&path, "newer\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"));
    }

    #[test]
    fn a_document_without_a_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("performance.md");
        fs::write(&path, "mine").unwrap();
        assert!(write(&path, "new").unwrap_err().to_string().contains("has no place"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
