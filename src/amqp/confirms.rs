//! Which publishes of a channel are confirmed, and how to tell its client in the fewest words.

use std::collections::VecDeque;

use ferrymq_core::Confirmation;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Decided(Confirmation),
    Told,
}

/// What to tell the client: `basic.ack` or `basic.nack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) confirmation: Confirmation,
    pub(crate) delivery_tag: u64,
    pub(crate) multiple: bool,
}

/// The publishes of a channel that are not told about yet, from the oldest one on.
#[derive(Debug)]
pub(crate) struct Confirms {
    /// The number of the oldest of `states`.
    first: u64,
    states: VecDeque<State>,
    /// Decided since the client was last told.
    news: Vec<u64>,
}

impl Confirms {
    pub(crate) fn new() -> Self {
        Self { first: 1, states: VecDeque::new(), news: Vec::new() }
    }

    /// Numbers a publish.
    pub(crate) fn next(&mut self) -> u64 {
        self.states.push_back(State::Waiting);
        self.first + self.states.len() as u64 - 1
    }

    /// How many were numbered.
    pub(crate) fn count(&self) -> u64 {
        self.first + self.states.len() as u64 - 1
    }

    /// Whether some were not told about yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.states.is_empty()
    }

    fn state(&mut self, number: u64) -> Option<&mut State> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.states.get_mut(index)
    }

    /// A publish is decided. What is decided already, or was never numbered, is passed over.
    pub(crate) fn decide(&mut self, number: u64, confirmation: Confirmation) {
        if let Some(state @ State::Waiting) = self.state(number) {
            *state = State::Decided(confirmation);
            self.news.push(number);
        }
    }

    /// Tells all that is new: what is decided up to the oldest that waits in one word each run, the others singly.
    pub(crate) fn tell(&mut self, mut say: impl FnMut(Word)) {
        if self.news.is_empty() {
            return;
        }
        let mut run: Option<Word> = None;
        while let Some(&state) = self.states.front() {
            match (state, &mut run) {
                (State::Waiting, _) => break,
                (State::Told, _) => {}
                (State::Decided(confirmation), Some(word)) if word.confirmation == confirmation => {
                    word.delivery_tag = self.first;
                    word.multiple = true;
                }
                (State::Decided(confirmation), run) => {
                    let word = Word { confirmation, delivery_tag: self.first, multiple: false };
                    if let Some(ended) = run.replace(word) {
                        say(ended);
                    }
                }
            }
            self.states.pop_front();
            self.first += 1;
        }
        if let Some(word) = run {
            say(word);
        }
        let mut news = std::mem::take(&mut self.news);
        for number in news.drain(..) {
            if let Some(state @ State::Decided(_)) = self.state(number)
                && let State::Decided(confirmation) = std::mem::replace(state, State::Told)
            {
                say(Word { confirmation, delivery_tag: number, multiple: false });
            }
        }
        self.news = news;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Confirmation::{Rejected, Stored};

    fn told(confirms: &mut Confirms) -> Vec<(Confirmation, u64, bool)> {
        let mut words = Vec::new();
        confirms.tell(|word| words.push((word.confirmation, word.delivery_tag, word.multiple)));
        words
    }

    fn confirms(count: u64) -> Confirms {
        let mut confirms = Confirms::new();
        for number in 1..=count {
            assert_eq!(confirms.next(), number);
        }
        confirms
    }

    #[test]
    fn what_is_stored_without_a_gap_is_told_in_one_word() {
        let mut confirms = confirms(5);
        for number in [3, 1, 4, 2] {
            confirms.decide(number, Stored);
        }
        assert_eq!(told(&mut confirms), [(Stored, 4, true)]);
        confirms.decide(5, Stored);
        assert_eq!(told(&mut confirms), [(Stored, 5, false)]);
        assert_eq!(told(&mut confirms), []);
    }

    #[test]
    fn what_overtook_others_is_told_singly_and_once() {
        let mut confirms = confirms(4);
        confirms.decide(3, Stored);
        assert_eq!(told(&mut confirms), [(Stored, 3, false)]);
        confirms.decide(1, Stored);
        confirms.decide(2, Stored);
        assert_eq!(told(&mut confirms), [(Stored, 2, true)]);
        confirms.decide(4, Stored);
        assert_eq!(told(&mut confirms), [(Stored, 4, false)]);
    }

    #[test]
    fn a_rejected_one_parts_the_runs() {
        let mut confirms = confirms(6);
        for number in [1, 2, 4, 5] {
            confirms.decide(number, Stored);
        }
        confirms.decide(3, Rejected);
        assert_eq!(told(&mut confirms), [(Stored, 2, true), (Rejected, 3, false), (Stored, 5, true)]);
    }

    #[test]
    fn a_number_that_was_never_given_or_is_decided_changes_nothing() {
        let mut confirms = confirms(1);
        confirms.decide(0, Stored);
        confirms.decide(2, Stored);
        confirms.decide(1, Rejected);
        confirms.decide(1, Stored);
        assert_eq!(told(&mut confirms), [(Rejected, 1, false)]);
    }
}
