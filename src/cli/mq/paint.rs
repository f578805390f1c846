//! Colours, on a terminal only.

use std::env;

/// Whether colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint(bool);

impl Paint {
    /// None where nobody looks, or where `NO_COLOR` says so (no-color.org).
    pub(crate) fn new(terminal: bool) -> Self {
        Self(terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    /// Text without colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self(false);

    /// Whether a person looks.
    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn warned(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
