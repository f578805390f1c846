//! A digest of a shard's state: whoever restores it can tell that it is as it was.

use aws_lc_rs::digest::{Context, SHA256};

/// The digest of a state, made as the state is read: SHA-256 of its bytes, in hexadecimal, behind the format that they are in.
pub struct StateDigest {
    format: Option<u8>,
    context: Context,
}

impl Default for StateDigest {
    fn default() -> Self {
        Self { format: None, context: Context::new(&SHA256) }
    }
}

impl std::fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateDigest").field("format", &self.format).finish_non_exhaustive()
    }
}

impl StateDigest {
    /// The digest of a state that is in memory as a whole.
    #[must_use]
    pub fn of(state: &[u8]) -> String {
        let mut digest = Self::default();
        digest.update(state);
        digest.finish()
    }

    /// Takes what comes next of the state.
    pub fn update(&mut self, part: &[u8]) {
        self.format = self.format.or(part.first().copied());
        self.context.update(part);
    }

    /// The digest, such as `2:9f86d0…`.
    #[must_use]
    pub fn finish(self) -> String {
        let digest = self.context.finish();
        let hexadecimal: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}:{hexadecimal}", self.format.unwrap_or(0))
    }

    /// Whether two states differ. Those in different formats cannot be told apart.
    #[must_use]
    pub fn differ(one: &str, two: &str) -> bool {
        let format = |digest: &str| digest.split(':').next().map(str::to_owned);
        format(one) == format(two) && one != two
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[u8]]) -> String {
        let mut digest = StateDigest::default();
        parts.iter().for_each(|part| digest.update(part));
        digest.finish()
    }

    #[test]
    fn states_are_told_apart_however_they_are_read() {
        assert_eq!(of(&[b"\x02abc"]), of(&[b"\x02", b"ab", b"c"]));
        assert!(of(&[b"\x02abc"]).starts_with("2:"));
        assert!(StateDigest::differ(&of(&[b"\x02abc"]), &of(&[b"\x02abd"])));
        assert!(!StateDigest::differ(&of(&[b"\x02abc"]), &of(&[b"\x02abc"])));
        assert!(
            !StateDigest::differ(&of(&[b"\x02abc"]), &of(&[b"\x03abd"])),
            "the same state may look so in another format"
        );
    }
}
