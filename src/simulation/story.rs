//! What happens in a simulation, for people and for comparing two runs.

use std::{
    fmt::Display,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

/// What happens in a simulation. Cheap to clone; the same one.
#[derive(Clone)]
pub(crate) struct Story(Arc<Mutex<State>>);

struct State {
    began: Instant,
    lines: Vec<String>,
    /// Of all that happened, also of what no line tells.
    trace: DefaultHasher,
}

impl Story {
    /// Nothing yet.
    #[must_use]
    pub(crate) fn new(began: Instant) -> Self {
        Self(Arc::new(Mutex::new(State { began, lines: Vec::new(), trace: DefaultHasher::new() })))
    }

    /// Adds a line.
    pub(crate) fn tell(&self, what: impl Display) {
        let mut state = self.state();
        let at = state.began.elapsed().as_millis();
        let line = format!("{:>3}.{:03} s  {what}", at / 1000, at % 1000);
        line.hash(&mut state.trace);
        tracing::info!("{line}");
        state.lines.push(line);
    }

    /// Takes note of what is not worth a line.
    pub(crate) fn note(&self, what: impl Hash) {
        let mut state = self.state();
        let at = state.began.elapsed().as_millis();
        at.hash(&mut state.trace);
        what.hash(&mut state.trace);
    }

    /// The lines so far.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.state().lines.clone()
    }

    /// Of two runs that are the same, this is the same.
    #[must_use]
    pub(crate) fn trace(&self) -> u64 {
        self.state().trace.finish()
    }

    /// Milliseconds since it began.
    #[must_use]
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.state().began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
