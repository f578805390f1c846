//! From routing keys to queues.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ferrymq_core::ExchangeKind;

use crate::QueueId;

/// The most words of a key or pattern that are told apart; what comes after counts as one word.
const MAX_WORDS: usize = 128;

/// The bindings of one exchange.
#[derive(Debug)]
pub struct Exchange {
    kind: ExchangeKind,
    /// For listing, and for unbinding: queues by key.
    bindings: BTreeMap<String, BTreeSet<QueueId>>,
    exact: HashMap<String, BTreeSet<QueueId>>,
    patterns: PatternNode,
    everyone: BTreeMap<QueueId, u32>,
}

impl Exchange {
    /// An exchange without bindings.
    #[must_use]
    pub fn new(kind: ExchangeKind) -> Self {
        Self {
            kind,
            bindings: BTreeMap::new(),
            exact: HashMap::new(),
            patterns: PatternNode::default(),
            everyone: BTreeMap::new(),
        }
    }

    /// How it routes.
    #[must_use]
    pub fn kind(&self) -> ExchangeKind {
        self.kind
    }

    /// Binds a queue; gives whether that is new.
    pub fn bind(&mut self, key: &str, queue: QueueId) -> bool {
        if !self.bindings.entry(key.to_owned()).or_default().insert(queue) {
            return false;
        }
        *self.everyone.entry(queue).or_default() += 1;
        match TopicPattern::of(key) {
            Some(pattern) if self.kind == ExchangeKind::Topic => self.patterns.insert(&pattern.words, queue),
            _ => {
                self.exact.entry(key.to_owned()).or_default().insert(queue);
            }
        }
        true
    }

    /// Removes a binding; gives whether it was there.
    pub fn unbind(&mut self, key: &str, queue: QueueId) -> bool {
        let Some(queues) = self.bindings.get_mut(key) else { return false };
        if !queues.remove(&queue) {
            return false;
        }
        if queues.is_empty() {
            self.bindings.remove(key);
        }
        if let Some(count) = self.everyone.get_mut(&queue) {
            *count -= 1;
            if *count == 0 {
                self.everyone.remove(&queue);
            }
        }
        match TopicPattern::of(key) {
            Some(pattern) if self.kind == ExchangeKind::Topic => {
                self.patterns.remove(&pattern.words, queue);
            }
            _ => {
                if let Some(queues) = self.exact.get_mut(key) {
                    queues.remove(&queue);
                    if queues.is_empty() {
                        self.exact.remove(key);
                    }
                }
            }
        }
        true
    }

    /// Removes every binding of a queue; gives how many there were.
    pub fn unbind_all(&mut self, queue: QueueId) -> usize {
        let keys: Vec<String> =
            self.bindings.iter().filter(|(_, queues)| queues.contains(&queue)).map(|(key, _)| key.clone()).collect();
        keys.iter().filter(|key| self.unbind(key, queue)).count()
    }

    /// Puts the queues that a message with this key goes to, each once.
    pub fn route(&self, key: &str, queues: &mut Vec<QueueId>) {
        match self.kind {
            ExchangeKind::Fanout => queues.extend(self.everyone.keys()),
            ExchangeKind::Direct => queues.extend(self.exact.get(key).into_iter().flatten()),
            ExchangeKind::Topic => {
                queues.extend(self.exact.get(key).into_iter().flatten());
                if !self.patterns.is_empty() {
                    // The empty key has no words, not one that is empty.
                    let words: Vec<&str> = key.splitn(MAX_WORDS, '.').filter(|_| !key.is_empty()).collect();
                    self.patterns.route(&words, queues);
                    queues.sort_unstable();
                    queues.dedup();
                }
            }
        }
    }

    /// All bindings: key and queue.
    pub fn bindings(&self) -> impl Iterator<Item = (&str, QueueId)> {
        self.bindings.iter().flat_map(|(key, queues)| queues.iter().map(move |queue| (key.as_str(), *queue)))
    }

    /// Whether it has no bindings.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.bindings.is_empty()
    }
}

/// A binding key of a topic exchange that holds `*` (one word) or `#` (any number of words).
#[derive(Debug)]
struct TopicPattern {
    words: Vec<String>,
}

impl TopicPattern {
    /// The pattern, where the key is one and not just words.
    fn of(key: &str) -> Option<Self> {
        let mut words: Vec<String> = key.splitn(MAX_WORDS, '.').map(str::to_owned).collect();
        if !words.iter().any(|word| word == "*" || word == "#") {
            return None;
        }
        // `#.#` is `#`: keeping one bounds the work of matching.
        words.dedup_by(|next, word| next == "#" && word == "#");
        Some(Self { words })
    }
}

/// Patterns as a tree, a word a level.
#[derive(Debug, Default)]
struct PatternNode {
    next: HashMap<String, PatternNode>,
    queues: BTreeSet<QueueId>,
}

impl PatternNode {
    fn is_empty(&self) -> bool {
        self.next.is_empty() && self.queues.is_empty()
    }

    fn insert(&mut self, words: &[String], queue: QueueId) {
        match words.split_first() {
            None => {
                self.queues.insert(queue);
            }
            Some((word, rest)) => self.next.entry(word.clone()).or_default().insert(rest, queue),
        }
    }

    fn remove(&mut self, words: &[String], queue: QueueId) {
        match words.split_first() {
            None => {
                self.queues.remove(&queue);
            }
            Some((word, rest)) => {
                if let Some(child) = self.next.get_mut(word) {
                    child.remove(rest, queue);
                    if child.is_empty() {
                        self.next.remove(word);
                    }
                }
            }
        }
    }

    /// Walks the tree level by level: the places that the words so far may have led to. Each place is there once a
    /// level, so the work is bounded by words times places.
    fn route(&self, words: &[&str], queues: &mut Vec<QueueId>) {
        let mut places: Vec<(&PatternNode, bool)> = Vec::new();
        enter(&mut places, self, false);
        for word in words {
            let mut after: Vec<(&PatternNode, bool)> = Vec::new();
            for (place, in_hash) in &places {
                // Within `#`, the word is swallowed and the place stays.
                if *in_hash {
                    enter(&mut after, place, true);
                }
                for next in [place.next.get(*word), place.next.get("*")].into_iter().flatten() {
                    enter(&mut after, next, false);
                }
            }
            places = after;
        }
        places.iter().for_each(|(place, _)| queues.extend(&place.queues));
    }
}

/// Adds a place, and those that a `#` behind it leads to without taking a word.
fn enter<'a>(places: &mut Vec<(&'a PatternNode, bool)>, place: &'a PatternNode, in_hash: bool) {
    match places.iter_mut().find(|(known, _)| std::ptr::eq(*known, place)) {
        Some((_, known_hash)) => *known_hash |= in_hash,
        None => places.push((place, in_hash)),
    }
    if let Some(hash) = place.next.get("#") {
        enter(places, hash, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(bindings: &[&str], key: &str) -> Vec<u64> {
        let mut exchange = Exchange::new(ExchangeKind::Topic);
        for (at, binding) in bindings.iter().enumerate() {
            exchange.bind(binding, QueueId::new(at as u64 + 1).unwrap());
        }
        let mut queues = Vec::new();
        exchange.route(key, &mut queues);
        queues.into_iter().map(QueueId::get).collect()
    }

    #[test]
    fn a_star_is_one_word_and_a_hash_is_any_number() {
        let bindings = ["stock.*.nyse", "stock.#", "#", "*.*", "stock.usd.nyse", "#.nyse", "stock.#.nyse.#"];
        assert_eq!(routed(&bindings, "stock.usd.nyse"), [1, 2, 3, 5, 6, 7]);
        assert_eq!(routed(&bindings, "stock.nyse"), [2, 3, 4, 6, 7]);
        assert_eq!(routed(&bindings, "stock"), [2, 3]);
        assert_eq!(routed(&bindings, ""), [3]);
        assert_eq!(routed(&["*", "#", "*.#"], ""), [2]);
        assert_eq!(routed(&bindings, "stock.a.b.c"), [2, 3]);
    }

    #[test]
    fn a_queue_that_is_bound_twice_gets_a_message_once() {
        let queue = QueueId::MIN;
        let mut exchange = Exchange::new(ExchangeKind::Topic);
        exchange.bind("a.*", queue);
        exchange.bind("#", queue);
        exchange.bind("a.b", queue);
        let mut queues = Vec::new();
        exchange.route("a.b", &mut queues);
        assert_eq!(queues, [queue]);
    }

    #[test]
    fn what_is_unbound_gets_nothing() {
        let queue = QueueId::MIN;
        for (kind, key) in [(ExchangeKind::Topic, "a.*"), (ExchangeKind::Direct, "a.b"), (ExchangeKind::Fanout, "x")] {
            let mut exchange = Exchange::new(kind);
            assert!(exchange.bind(key, queue));
            assert!(!exchange.bind(key, queue));
            assert!(exchange.unbind(key, queue));
            assert!(!exchange.unbind(key, queue));
            let mut queues = Vec::new();
            exchange.route("a.b", &mut queues);
            assert_eq!(queues, []);
            assert!(exchange.is_unused());
        }
    }

    #[test]
    fn many_hashes_cost_no_more_than_words_times_places() {
        let pattern = vec!["#.a"; 40].join(".");
        let key = vec!["a"; 127].join(".");
        assert_eq!(routed(&[&pattern], &key), [1]);
    }
}
