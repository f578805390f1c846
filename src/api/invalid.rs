//! What is wrong with a resource.

use std::fmt;

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, from the resource's root: `spec.storage.size`, `spec.queues[1].name`.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub sentence: String,
}

impl Problem {
    pub(crate) fn new(field: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { field: field.into(), sentence: sentence.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.sentence)
    }
}

/// A resource that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(problems))]
pub struct InvalidResource {
    /// What is wrong with it; at least one.
    pub problems: Vec<Problem>,
}

impl InvalidResource {
    /// Nothing where nothing is wrong.
    pub(crate) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
