//! Which messages that RabbitMQ hands out are in FerryMQ already, after an import was stopped.
//!
//! They are known by their digests, wherever in the queue they come: a quorum queue puts what it gets back behind what it
//! got back before. Never takes one for there that might not be: of messages that cannot be told apart rather one comes
//! twice.

use std::{cmp::Ordering, collections::HashSet};

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// Messages that are in FerryMQ, and that RabbitMQ is to hand out once more: few slices at most.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Known(Vec<Digest>);

impl Known {
    /// Adds messages that FerryMQ stored without its confirm being heard: none was acknowledged.
    pub(super) fn add_stored(&mut self, digests: impl IntoIterator<Item = Digest>) {
        self.0.extend(digests);
    }

    /// Adds messages that were being acknowledged, all at once: RabbitMQ has taken that or not. How many messages it has
    /// now, beside how many it must have where it has not, says which. Gives how many may come twice, as that is not known.
    pub(super) fn add_confirmed(&mut self, digests: Vec<Digest>, now: u64, unless_taken: u64) -> usize {
        match now.cmp(&unless_taken) {
            Ordering::Less => return 0,
            Ordering::Equal => {}
            // Others came, so that the number says nothing; each for itself is known all the same.
            Ordering::Greater => {
                let mut seen = HashSet::new();
                if !digests.iter().all(|digest| seen.insert(digest)) {
                    return digests.len();
                }
            }
        }
        self.0.extend(digests);
        0
    }

    /// How many are still to come.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this message is one of them; it is not waited for a second time. One that was never handed out before is none.
    pub(super) fn take(&mut self, digest: &Digest, redelivered: bool) -> bool {
        let found = if redelivered { self.0.iter().position(|known| known == digest) } else { None };
        found.map(|at| self.0.remove(at)).is_some()
    }

    /// There are no more messages: what has not come was acknowledged.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(names: &str) -> Vec<Digest> {
        names.bytes().map(|name| Digest::of(&[&[name]])).collect()
    }

    /// What is left to be published of what RabbitMQ hands out; capital letters were handed out before.
    fn published(known: &mut Known, handed_out: &str) -> String {
        let is_new = |name: &char| {
            let digest = Digest::of(&[name.to_ascii_lowercase().to_string().as_bytes()]);
            !known.take(&digest, name.is_ascii_uppercase())
        };
        handed_out.chars().filter(is_new).collect()
    }

    fn after_storing(stored: &str, handed_out: &str) -> String {
        let mut known = Known::default();
        known.add_stored(digests(stored));
        published(&mut known, handed_out)
    }

    fn after_confirming(confirmed: &str, now: u64, unless_taken: u64, handed_out: &str) -> (usize, String) {
        let mut known = Known::default();
        let doubled = known.add_confirmed(digests(confirmed), now, unless_taken);
        (doubled, published(&mut known, handed_out))
    }

    #[test]
    fn what_was_stored_without_a_confirm_is_not_published_again_wherever_it_comes() {
        assert_eq!(after_storing("abc", "ABCDef"), "Def");
        assert_eq!(after_storing("abc", "DefABC"), "Def");
        assert_eq!(after_storing("aa", "AAAa"), "Aa");
    }

    #[test]
    fn what_was_confirmed_and_not_acknowledged_is_not_published_again() {
        assert_eq!(after_confirming("abc", 6, 6, "ABCdef"), (0, "def".to_owned()));
        assert_eq!(after_confirming("aab", 4, 4, "AABa"), (0, "a".to_owned()));
        // Others came meanwhile.
        assert_eq!(after_confirming("abc", 7, 6, "ABCdefg"), (0, "defg".to_owned()));
    }

    #[test]
    fn a_message_that_only_looks_like_one_that_is_there_is_published() {
        // Acknowledged: too few are left.
        assert_eq!(after_confirming("a", 1, 2, "A"), (0, "A".to_owned()));
        // It came later.
        assert_eq!(after_confirming("a", 1, 1, "a"), (0, "a".to_owned()));
        // Acknowledged or not, and all the same.
        assert_eq!(after_confirming("aa", 5, 4, "AAAAA"), (2, "AAAAA".to_owned()));
    }
}
