//! Requests to one shard, once and in order, whatever happens to its leader.
//!
//! Commands that come while enough requests are on their way gather into the next one. A request is kept until it is known
//! to have taken effect, and is sent again when the leader changes, or is silent for too long; the shard takes it once.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ferrymq_queue::{CommandWriter, Request};
use tokio::time::Instant;

use super::Waiter;

/// Requests on their way at a time.
const UNDER_WAY: usize = 4;
/// A leader that is silent for so long is sent everything again.
const SILENCE: Duration = Duration::from_secs(1);

/// Sends a request to whoever leads a shard; it may be lost.
pub(crate) trait Submit {
    fn submit(&self, shard: u32, request: Request);
}

/// Requests of this node to one shard.
pub(crate) struct Outbox {
    shard: u32,
    node: u64,
    run: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    gathered: CommandWriter,
    waiters: Vec<Waiter>,
    last: u64,
    sent: VecDeque<Sent>,
}

struct Sent {
    sequence: u64,
    commands: Bytes,
    waiters: Vec<Waiter>,
    at: Instant,
}

impl Outbox {
    pub(crate) fn new(shard: u32, node: u64, run: u64) -> Self {
        Self { shard, node, run, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts commands, whose effect is told to the waiter.
    pub(crate) fn push(&self, by: &impl Submit, waiter: Option<Waiter>, put: impl FnOnce(&mut CommandWriter)) {
        let mut state = self.state();
        put(&mut state.gathered);
        state.waiters.extend(waiter);
        self.send_gathered(&mut state, by);
    }

    /// All that was put has taken effect.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        state.sent.is_empty() && state.gathered.is_empty()
    }

    /// A request took effect; so did all before it. Gives who is to be told.
    pub(crate) fn took_effect(&self, by: &impl Submit, sequence: u64) -> Vec<Waiter> {
        let mut state = self.state();
        let mut done = Vec::new();
        while state.sent.front().is_some_and(|sent| sent.sequence <= sequence) {
            done.extend(state.sent.pop_front().into_iter().flat_map(|sent| sent.waiters));
        }
        self.send_gathered(&mut state, by);
        done
    }

    /// Sends what is on its way again, from this request on.
    pub(crate) fn send_again(&self, by: &impl Submit, from: u64) {
        let mut state = self.state();
        for sent in state.sent.iter_mut().filter(|sent| sent.sequence >= from) {
            sent.at = Instant::now();
            by.submit(self.shard, self.request(sent.sequence, &sent.commands));
        }
    }

    /// Sends what is on its way again where nothing was heard for too long. To be called a few times a second.
    pub(crate) fn nudge(&self, by: &impl Submit) {
        let silent = self.state().sent.front().is_some_and(|sent| sent.at.elapsed() > SILENCE);
        if silent {
            self.send_again(by, 0);
        }
    }

    fn send_gathered(&self, state: &mut State, by: &impl Submit) {
        if state.gathered.is_empty() || state.sent.len() >= UNDER_WAY {
            return;
        }
        state.last += 1;
        let commands = state.gathered.take();
        by.submit(self.shard, self.request(state.last, &commands));
        let waiters = std::mem::take(&mut state.waiters);
        state.sent.push_back(Sent { sequence: state.last, commands, waiters, at: Instant::now() });
    }

    fn request(&self, sequence: u64, commands: &Bytes) -> Request {
        Request { node: self.node, session: self.run, sequence, commands: commands.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use ferrymq_queue::QueueId;

    use super::*;

    #[derive(Default)]
    struct Seen(RefCell<Vec<u64>>);

    impl Submit for Seen {
        fn submit(&self, _shard: u32, request: Request) {
            self.0.borrow_mut().push(request.sequence);
        }
    }

    fn push(outbox: &Outbox, seen: &Seen) {
        outbox.push(seen, None, |commands| commands.create(QueueId::MIN));
    }

    #[test]
    fn what_comes_while_enough_is_on_its_way_goes_together() {
        let (outbox, seen) = (Outbox::new(1, 1, 1), Seen::default());
        (0..10).for_each(|_| push(&outbox, &seen));
        assert_eq!(*seen.0.borrow(), [1, 2, 3, 4]);
        outbox.took_effect(&seen, 1);
        assert_eq!(*seen.0.borrow(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_has_not_taken_effect_is_sent_again_in_order() {
        let (outbox, seen) = (Outbox::new(1, 1, 1), Seen::default());
        (0..3).for_each(|_| push(&outbox, &seen));
        outbox.took_effect(&seen, 1);
        outbox.send_again(&seen, 0);
        assert_eq!(*seen.0.borrow(), [1, 2, 3, 2, 3]);
    }
}
