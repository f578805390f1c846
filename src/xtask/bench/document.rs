//! The parts of a document that are written anew, each between two marks; the rest is people's.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};

const END: &str = "<!-- measured: end -->";

/// Puts `section` between the marks of a command (`peers`) in a document, or into a new one.
///
/// # Errors
///
/// Where the document has no marks, or cannot be read or written.
pub(super) fn write(path: &Path, command: &str, section: &str) -> anyhow::Result<()> {
    let begin = begin(command);
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => format!("# Performance\n\n{begin}\n{END}\n"),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let Some(new) = replaced(&old, &begin, section) else {
        bail!("{} has no place for what was measured: put '{begin}' and '{END}' into it, a line each", path.display());
    };
    fs::write(path, new).with_context(|| format!("cannot write {}", path.display()))
}

fn begin(command: &str) -> String {
    format!("<!-- measured: begin (cargo xtask bench {command} --out) -->")
}

fn replaced(text: &str, begin: &str, section: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n\n{}\n\n{END}{after}", section.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_stays_and_what_another_command_did() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("performance.md");
        let (one, other) = (begin("peers"), begin("backups"));
        fs::write(&path, format!("before\n{one}\nold\n{END}\nbetween\n{other}\nold\n{END}\nafter\n")).unwrap();
        write(&path, "peers", "new\n").unwrap();
        write(&path, "backups", "more\n").unwrap();
        write(&path, "peers", "newer\n").unwrap();
        let text = format!("before\n{one}\n\nnewer\n\n{END}\nbetween\n{other}\n\nmore\n\n{END}\nafter\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_document_without_a_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("performance.md");
        fs::write(&path, "mine").unwrap();
        assert!(write(&path, "peers", "new").unwrap_err().to_string().contains("has no place"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
