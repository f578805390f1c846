//! Which consumers are within reach of all brokers: only of these it is promised that what they hold stays with them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ferrymq_testkit::{Event, History};
use tokio::time::Instant;

use crate::world::lock;

/// How long after a fault a broker counts as out of reach: until all have noticed that it is not.
const CALM_AFTER: Duration = Duration::from_secs(8);

/// Which consumers are within reach. Cheap to clone; the same one.
#[derive(Clone)]
pub(crate) struct Reach(Arc<Mutex<State>>);

struct State {
    began: Instant,
    history: Arc<Mutex<History>>,
    /// Consumers, and the brokers that they are connected to.
    consumers: BTreeMap<u64, u32>,
    /// No order is promised, until then.
    disturbed: Option<Instant>,
    /// Brokers that are out of reach, until then; for good where no time is known.
    out_of_reach: BTreeMap<u32, Option<Instant>>,
}

impl Reach {
    /// Everything is within reach.
    #[must_use]
    pub(crate) fn new(history: Arc<Mutex<History>>) -> Self {
        let state = State {
            began: Instant::now(),
            history,
            consumers: BTreeMap::new(),
            disturbed: None,
            out_of_reach: BTreeMap::new(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        lock(&self.0).now()
    }

    /// A consumer is connected to this broker from now on.
    pub(crate) fn enter(&self, consumer: u64, broker: u32) {
        let mut state = lock(&self.0);
        state.consumers.insert(consumer, broker);
        if state.out_of_reach.contains_key(&broker) {
            state.record(Event::Reach { consumer, within: false });
        }
    }

    /// It is gone.
    pub(crate) fn leave(&self, consumer: u64) {
        let mut state = lock(&self.0);
        state.consumers.remove(&consumer);
        state.record(Event::Gone { consumer });
    }

    /// A broker is lost, and what it knew of hand-outs with it.
    pub(crate) fn lost(&self) {
        lock(&self.0).disturbed(Instant::now() + CALM_AFTER);
    }

    /// A broker is out of reach, until [`Reach::calm`] and a while after.
    pub(crate) fn disturb(&self, broker: u32) {
        let mut state = lock(&self.0);
        state.disturbed(Instant::now() + CALM_AFTER);
        if state.out_of_reach.insert(broker, None).is_none() {
            state.tell(broker, false);
        }
    }

    /// What kept this broker out of reach has ended.
    pub(crate) fn calm(&self, broker: u32) {
        if let Some(until) = lock(&self.0).out_of_reach.get_mut(&broker) {
            *until = Some(Instant::now() + CALM_AFTER);
        }
    }

    /// Nothing keeps any broker out of reach any more.
    pub(crate) fn calm_all(&self) {
        let until = Instant::now() + CALM_AFTER;
        lock(&self.0).out_of_reach.values_mut().for_each(|at| *at = Some(until));
    }

    /// Sees who is within reach again.
    pub(crate) fn look(&self, now: Instant) {
        let mut state = lock(&self.0);
        let back = state.out_of_reach.iter().filter(|(_, until)| until.is_some_and(|until| until <= now));
        let back: Vec<u32> = back.map(|(broker, _)| *broker).collect();
        for broker in back {
            state.out_of_reach.remove(&broker);
            state.tell(broker, true);
        }
        if !state.out_of_reach.is_empty() {
            state.disturbed(now + CALM_AFTER);
        } else if state.disturbed.is_some_and(|until| until <= now) {
            state.disturbed = None;
            state.record(Event::Order { promised: true });
        }
    }
}

impl State {
    fn disturbed(&mut self, until: Instant) {
        if self.disturbed.replace(until).is_none() {
            self.record(Event::Order { promised: false });
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn record(&self, event: Event) {
        lock(&self.history).record(self.now(), event);
    }

    fn tell(&self, broker: u32, within: bool) {
        for (consumer, _) in self.consumers.iter().filter(|(_, at)| **at == broker) {
            self.record(Event::Reach { consumer: *consumer, within });
        }
    }
}
