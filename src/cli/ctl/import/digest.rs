//! Digests of messages, and of all messages of a queue in their order.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// Of several parts; where one ends and the next begins is part of it.
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut digest = Self::default();
        // Both have 32 bytes.
        digest.0.copy_from_slice(context.finish().as_ref());
        digest
    }

    /// Of a queue that has this digest so far, and then one message more. A queue without messages has the digest of zeros.
    ///
    /// A chain rather than one long digest, because it can be written down after every message and gone on with.
    pub(super) fn followed_by(&self, message: &Self) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(&message.0);
        let mut digest = Self::default();
        digest.0.copy_from_slice(context.finish().as_ref());
        digest
    }

    /// The first half of it, for people.
    pub(super) fn short(&self) -> String {
        self.to_string().chars().take(32).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom("a digest of 64 hexadecimal digits is needed");
        let mut digest = Self::default();
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        for (byte, pair) in digest.0.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_messages_and_where_their_parts_end_count() {
        let (one, two) = (Digest::of(&[b"1"]), Digest::of(&[b"2"]));
        let none = Digest::default();
        assert_ne!(none.followed_by(&one).followed_by(&two), none.followed_by(&two).followed_by(&one));
        assert_ne!(Digest::of(&[b"ab", b"c"]), Digest::of(&[b"a", b"bc"]));
    }

    #[test]
    fn a_digest_is_written_and_read() {
        let digest = Digest::of(&[b"1"]);
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
        for wrong in ["\"12\"", &text.replace('"', "").replace(char::is_alphanumeric, "é"), "\"zz\""] {
            assert!(serde_json::from_str::<Digest>(wrong).is_err());
        }
    }
}
