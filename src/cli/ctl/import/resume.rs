//! Which of the messages that RabbitMQ hands out first are in FerryMQ already, after an import was stopped.
//!
//! Never takes one for there that might not be: of messages that cannot be told apart rather one comes twice.

use std::collections::HashSet;

use super::digest::Digest;

/// What is known of a message that RabbitMQ hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) digest: Digest,
    /// Whether it was handed out before.
    pub(super) redelivered: bool,
}

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// So many of the first messages are in FerryMQ; they are only to be acknowledged.
    pub(super) there: usize,
    /// So many may come twice.
    pub(super) doubled: usize,
}

/// Where FerryMQ had `stored` behind what it had confirmed, and nothing of that was acknowledged.
pub(super) fn after_publishing(stored: &[Digest], heads: &[Head]) -> Verdict {
    let there = stored.iter().zip(heads).take_while(|(stored, head)| **stored == head.digest).count();
    Verdict { there, doubled: stored.len() - there }
}

/// Where `confirmed` was being acknowledged, all at once: RabbitMQ has taken that or not.
///
/// `all_there` is whether RabbitMQ has as many messages as it must have where it has not.
pub(super) fn after_confirming(confirmed: &[Digest], heads: &[Head], all_there: bool) -> Verdict {
    let most = confirmed.len().min(heads.len());
    let again = |count: usize| {
        let last = confirmed.iter().skip(confirmed.len() - count);
        heads.iter().zip(last).all(|(head, digest)| head.redelivered && head.digest == *digest)
    };
    let Some(there) = (1..=most).rev().find(|count| again(*count)) else { return Verdict::default() };
    // Where a message comes more than once, what looks like it may be the next one.
    let mut seen = HashSet::new();
    let repeats =
        !confirmed.iter().chain(heads.iter().skip(there).map(|head| &head.digest)).all(|digest| seen.insert(digest));
    if repeats || !all_there {
        return Verdict { there: 0, doubled: if all_there { there } else { 0 } };
    }
    Verdict { there, doubled: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(names: &str) -> Vec<Digest> {
        names.bytes().map(|name| Digest::of(&[&[name]])).collect()
    }

    /// Capital letters were handed out before.
    fn heads(names: &str) -> Vec<Head> {
        let head = |name: char| Head {
            digest: Digest::of(&[name.to_ascii_lowercase().to_string().as_bytes()]),
            redelivered: name.is_ascii_uppercase(),
        };
        names.chars().map(head).collect()
    }

    fn verdict(there: usize, doubled: usize) -> Verdict {
        Verdict { there, doubled }
    }

    #[test]
    fn what_was_stored_without_a_confirm_is_not_published_again() {
        assert_eq!(after_publishing(&digests("abc"), &heads("ABCDef")), verdict(3, 0));
        assert_eq!(after_publishing(&digests(""), &heads("ABC")), verdict(0, 0));
        // All the same: where it lies in FerryMQ was made sure of.
        assert_eq!(after_publishing(&digests("aa"), &heads("AAaa")), verdict(2, 0));
        // Something else took the messages in between.
        assert_eq!(after_publishing(&digests("abc"), &heads("ABX")), verdict(2, 1));
    }

    #[test]
    fn what_was_confirmed_and_not_acknowledged_is_not_published_again() {
        assert_eq!(after_confirming(&digests("abc"), &heads("ABCdef"), true), verdict(3, 0));
        // Acknowledged.
        assert_eq!(after_confirming(&digests("abc"), &heads("def"), true), verdict(0, 0));
        assert_eq!(after_confirming(&digests("abc"), &heads(""), false), verdict(0, 0));
        // A broker that fell may have kept a part of it.
        assert_eq!(after_confirming(&digests("abc"), &heads("BCdef"), true), verdict(2, 0));
    }

    #[test]
    fn a_message_that_only_looks_like_one_that_is_there_is_published() {
        // Never handed out: it came later.
        assert_eq!(after_confirming(&digests("a"), &heads("a"), true), verdict(0, 0));
        // Too few are left for it to be the old one.
        assert_eq!(after_confirming(&digests("a"), &heads("A"), false), verdict(0, 0));
        // All the same.
        assert_eq!(after_confirming(&digests("aa"), &heads("AAAA"), true), verdict(0, 2));
        assert_eq!(after_confirming(&digests("ab"), &heads("ABAB"), true), verdict(0, 2));
    }
}
