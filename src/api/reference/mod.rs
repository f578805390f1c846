//! The pages that are made from these types: every field, every condition, every reason.
//!
//! ```text
//!   Kind (definition, types) --fields--> Vec<Field> --page--> docs/reference.md
//!   ConditionType, Reason ----------------conditions--------> docs/conditions.md
//! ```
//!
//! A kind comes into the pages by being listed in `generate.rs`; what is said of its fields is what its types say.

mod conditions;
mod example;
mod fields;
mod page;

pub(crate) use conditions::conditions;
pub(crate) use page::page;

/// A text that was broken into lines where it was written, as paragraphs of one line each.
fn paragraphs(text: &str) -> Vec<String> {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.filter(|paragraph| !paragraph.is_empty()).collect()
}
