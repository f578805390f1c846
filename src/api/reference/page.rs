//! `docs/reference.md`: every field of every kind.

use serde_json::Value;

use super::{
    example,
    fields::{Field, Reader, said_of_the_whole},
    paragraphs,
};
use crate::{GROUP, VERSION, generate::Kind};

const HEAD: &str = "<!-- Generated from src/api by `cargo xtask fix`; do not edit. -->
# Reference

Every field of every resource. What the API server refuses, it refuses with the sentences that stand here. What a condition says is in [conditions.md](conditions.md); what to do about it in [troubleshooting.md](troubleshooting.md).

A *quantity* is a size as Kubernetes writes it: `512Mi`, `20Gi`. A field without a default, that is not required, may be left out.

";

/// The page.
///
/// # Errors
///
/// Where a definition cannot be written as JSON, which a test rules out.
pub(crate) fn page(kinds: &[Kind]) -> Result<String, serde_json::Error> {
    let mut text = HEAD.to_owned();
    text.push_str("| kind | short | what it is |\n|---|---|---|\n");
    for kind in kinds {
        let names = &kind.definition.spec.names;
        let short = names.short_names.iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let schema = kind.schema()?;
        let what = paragraphs(schema["description"].as_str().unwrap_or_default()).join(" ");
        text.push_str(&format!("| [{}](#{}) | {short} | {what} |\n", names.kind, names.kind.to_lowercase()));
    }
    for kind in kinds {
        text.push_str(&section(kind, &kind.schema()?));
    }
    Ok(text)
}

fn section(kind: &Kind, schema: &Value) -> String {
    let names = &kind.definition.spec.names;
    let name = &names.kind;
    let reader = Reader::new(kind.types.clone());
    let spec = reader.read(&schema["properties"]["spec"], "");
    let status = reader.read(&schema["properties"]["status"], "");

    let mut text = format!("\n## {name}\n\n`apiVersion: {GROUP}/{VERSION}`, `kind: {name}`");
    text.push_str(&format!("; `kubectl get {}`", names.short_names.iter().flatten().next().unwrap_or(&names.plural)));
    text.push_str(".\n");
    if let Some(example) = example::of(name) {
        text.push_str(&format!("\n```yaml\n{}\n```\n", example.trim_end()));
    }
    let whole = said_of_the_whole(schema);
    if !whole.is_empty() {
        text.push_str("\nRefused, with these words:\n\n");
        text.push_str(&bullets(&whole));
    }
    text.push_str(&format!("\n### {name}: spec\n\n| field | type | default |\n|---|---|---|\n"));
    for field in &spec {
        let default = match (&field.default, field.required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "**required**".to_owned(),
            (None, false) => String::new(),
        };
        let (path, anchor) = (&field.path, anchor(name, &field.path));
        text.push_str(&format!("| [`{path}`](#{anchor}) | {} | {default} |\n", field.kind));
    }
    for field in &spec {
        text.push_str(&documented(name, field));
    }
    text.push_str(&format!("\n### {name}: status\n\nWritten by the operator.\n\n"));
    for field in &status {
        text.push_str(&told(field));
    }
    text
}

/// A field of the spec, with all that is known of it.
fn documented(kind: &str, field: &Field) -> String {
    let mut text = format!("\n#### <a id=\"{}\"></a>`{}`\n\n", anchor(kind, &field.path), field.path);
    let mut facts = vec![match &field.elsewhere {
        Some(address) => format!("[{}]({address})", field.kind),
        None => field.kind.clone(),
    }];
    facts.extend(field.required.then(|| "required".to_owned()));
    facts.extend(field.default.as_ref().map(|default| format!("default `{default}`")));
    facts.extend(field.bounds.iter().cloned());
    facts.extend(change(field).map(str::to_owned));
    text.push_str(&format!("*{}*\n", facts.join(" · ")));
    for paragraph in paragraphs(&field.text) {
        text.push_str(&format!("\n{paragraph}\n"));
    }
    if !field.values.is_empty() {
        text.push('\n');
        for (value, said) in &field.values {
            let said = paragraphs(said).join(" ");
            text.push_str(&if said.is_empty() { format!("- `{value}`\n") } else { format!("- `{value}`: {said}\n") });
        }
    }
    if !field.rules.is_empty() {
        text.push_str("\nRefused, with these words:\n\n");
        text.push_str(&bullets(&field.rules));
    }
    text
}

/// A field of a status, as an item of a list: nobody writes it, and its type and sentence are all that there is.
fn told(field: &Field) -> String {
    let depth = field.path.matches('.').count();
    let name = field.path.rsplit('.').next().unwrap_or_default();
    let kind = match &field.elsewhere {
        Some(address) => format!("[{}]({address})", field.kind),
        None => field.kind.clone(),
    };
    let said = paragraphs(&field.text).join(" ");
    let values = field.values.iter().map(|(value, said)| format!("`{value}` ({})", said.trim_end_matches('.')));
    let values = values.collect::<Vec<_>>().join(", ");
    let values = if values.is_empty() { values } else { format!(" {values}.") };
    format!("{}- `{name}`, {kind}: {said}{values}\n", "  ".repeat(depth))
}

/// How far a field can be changed, where it cannot be at will: the rules say so in these words.
fn change(field: &Field) -> Option<&'static str> {
    ["cannot be changed", "cannot be lowered"].into_iter().find(|how| field.rules.iter().any(|said| said.contains(how)))
}

fn bullets(sentences: &[String]) -> String {
    sentences.iter().map(|said| format!("- {said}\n")).collect()
}

fn anchor(kind: &str, path: &str) -> String {
    format!("{kind}-{}", path.replace("[]", "").replace('.', "-")).to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::generate::kinds;

    #[test]
    fn every_link_within_the_page_leads_somewhere_and_no_anchor_is_there_twice() {
        let page = page(&kinds()).unwrap();
        let named: Vec<&str> = page.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let headings = page.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase);
        let anchors: BTreeSet<String> = named.iter().map(|name| (*name).to_owned()).chain(headings).collect();
        assert_eq!(anchors.len(), named.len() + kinds().len());
        for link in page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(anchors.contains(link), "nothing is called {link}");
        }
    }

    #[test]
    fn every_field_is_there_with_a_sentence() {
        for kind in kinds() {
            let schema = kind.schema().unwrap();
            let reader = Reader::new(kind.types.clone());
            for part in ["spec", "status"] {
                for field in reader.read(&schema["properties"][part], part) {
                    assert!(
                        !field.text.is_empty(),
                        "{} of {} says nothing",
                        field.path,
                        kind.definition.spec.names.kind
                    );
                }
            }
        }
    }
}
