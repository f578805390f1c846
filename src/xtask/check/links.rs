//! Links between the pages of the documentation: each leads to a file, and to a heading or an anchor where it names one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::project::Project;

/// # Errors
///
/// Where a link leads nowhere, with the page that has it.
pub(super) fn check(project: &Project) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for page in pages(&project.root)? {
        let text = read(&page)?;
        for link in links(&text).filter(|link| !link.contains("://")) {
            if let Some(problem) = problem(&page, link)? {
                let page = page.strip_prefix(&project.root).unwrap_or(&page);
                wrong.push(format!("{}: {problem}", page.display()));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// The pages: those of the root, of `docs/`, and of its decisions.
fn pages(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for folder in [root.to_owned(), root.join("docs"), root.join("docs/decisions")] {
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            pages.push(entry?.path());
        }
    }
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    Ok(pages)
}

fn read(page: &Path) -> anyhow::Result<String> {
    fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))
}

/// What links lead to, in the order in which they stand.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
}

/// Why a link leads nowhere, where it does.
fn problem(page: &Path, link: &str) -> anyhow::Result<Option<String>> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let file = if file.is_empty() { page.to_owned() } else { page.with_file_name(file) };
    if !file.exists() {
        return Ok(Some(format!("there is no {}", file.display())));
    }
    let known = anchor.is_empty() || anchors(&read(&file)?).contains(anchor);
    Ok((!known).then(|| format!("nothing in {} is called #{anchor}", file.display())))
}

/// What a page can be entered at: named anchors, and headings as they are named by their words.
fn anchors(text: &str) -> BTreeSet<String> {
    let named = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned());
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    });
    named.chain(headings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_named_by_its_words() {
        let anchors = anchors("# Install, upgrade, remove\n\n## Without Helm\n<a id=\"messagequeue-replicas\"></a>\n");
        for expected in ["install-upgrade-remove", "without-helm", "messagequeue-replicas"] {
            assert!(anchors.contains(expected), "{anchors:?}");
        }
    }

    #[test]
    fn links_are_found_in_tables_and_in_running_text() {
        let text = "| [`a`](#a) | see [b](b.md#c), and ![d](d.svg) |";
        assert_eq!(links(text).collect::<Vec<_>>(), ["#a", "b.md#c", "d.svg"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_told() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
        assert!(problem(&page, "docs/nothing.md").unwrap().is_some_and(|problem| problem.contains("nothing.md")));
        assert!(problem(&page, "docs/operating.md#nowhere").unwrap().is_some());
        assert_eq!(problem(&page, "docs/operating.md").unwrap(), None);
    }
}
