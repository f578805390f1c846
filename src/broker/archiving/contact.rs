//! How it is between this node and the archive: whether it does what is asked, and when it may be asked again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferrymq_archive::Archive;
use ferrymq_replication::task;
use tokio::time::{Instant, sleep_until};

use super::{ArchiveOpener, ArchivingError};

/// How long nothing is tried after something failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How long nothing is asked of an archive for which there is nothing.
const QUIET: Duration = Duration::from_secs(30);

/// The archive, as this node reaches it.
pub(super) struct Contact {
    opener: ArchiveOpener,
    /// The most bytes that go there a second.
    rate: Option<u64>,
    state: Mutex<State>,
}

struct State {
    /// As it was opened last; none after it failed.
    open: Option<Archive>,
    /// Why the last thing failed, and since when all does, in milliseconds since 1970.
    failing: Option<(String, u64)>,
    /// When the archive did last what was asked of it.
    reached_at: Option<Instant>,
    /// Nothing is written before.
    next_write: Instant,
}

impl Contact {
    pub(super) fn new(opener: ArchiveOpener, rate: Option<u64>) -> Self {
        let state = State { open: None, failing: None, reached_at: None, next_write: Instant::now() };
        Self { opener, rate, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The archive, opened anew after it failed.
    pub(super) fn archive(&self) -> Result<Archive, ArchivingError> {
        let mut state = self.state();
        if let Some(archive) = &state.open {
            return Ok(archive.clone());
        }
        let archive = self.opener.open().map_err(ArchivingError::Open)?;
        Ok(state.open.insert(archive).clone())
    }

    /// Why nothing is archived, and since when, in milliseconds since 1970.
    pub(super) fn failing(&self) -> Option<(String, u64)> {
        self.state().failing.clone()
    }

    /// It did what was asked of it at least once since the start.
    pub(super) fn was_reached(&self) -> bool {
        self.state().reached_at.is_some()
    }

    /// Something failed a moment ago.
    pub(super) fn is_pausing(&self) -> bool {
        let state = self.state();
        state.failing.is_some() && Instant::now() < state.next_write
    }

    /// Nobody knows whether it is still there, as nothing went there for long; or whether it is there again.
    pub(super) fn is_in_doubt(&self) -> bool {
        let state = self.state();
        state.failing.is_some() || state.reached_at.is_none_or(|at| at.elapsed() >= QUIET)
    }

    /// Waits until so many bytes may go there.
    pub(super) async fn have_turn(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let turn = {
            let mut state = self.state();
            let turn = state.next_write.max(Instant::now());
            state.next_write = turn + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            turn
        };
        sleep_until(turn).await;
    }

    /// Notes what came of something that was asked of it.
    pub(super) fn note<T>(&self, result: Result<T, ArchivingError>) -> Option<T> {
        let mut state = self.state();
        match result {
            Ok(done) => {
                if state.failing.take().is_some() {
                    tracing::info!("the archive takes what is written again");
                }
                state.reached_at = Some(Instant::now());
                Some(done)
            }
            Err(ArchivingError::NotLeader(_)) => None,
            Err(error) => {
                let sentence = error.to_string();
                if state.failing.as_ref().is_none_or(|(before, _)| *before != sentence) {
                    tracing::warn!(error = sentence, "not archived");
                }
                let since = state.failing.take().map_or_else(task::time_of_day, |(_, since)| since);
                state.failing = Some((sentence, since));
                state.open = None;
                state.next_write = state.next_write.max(Instant::now() + PAUSE);
                None
            }
        }
    }
}
