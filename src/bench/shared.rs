//! What the connections of a run have in common.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, Semaphore, watch},
    time::sleep,
};

use crate::{
    error::{BenchError, Broken},
    link::Link,
    measures::Measures,
    uri::Uri,
};

/// Connections that are opened at a time: a login costs a broker a deliberately slow hash.
const LOGINS: usize = 8;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// How far a run is. Times are nanoseconds of [`Shared::now`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connections are opened.
    Opening,
    /// Publish; the schedule began at `start`.
    Running {
        /// When.
        start: u64,
    },
    /// Publish only what was due at `stop`, and wait for confirms.
    Settling {
        /// When publishing began.
        start: u64,
        /// When it ended.
        stop: u64,
    },
    /// Close; publishing ended at `stop`.
    Over {
        /// When.
        stop: u64,
    },
}

impl Phase {
    /// When publishing ended, if it has.
    pub(crate) fn stop(self) -> Option<u64> {
        match self {
            Self::Opening | Self::Running { .. } => None,
            Self::Settling { stop, .. } | Self::Over { stop } => Some(stop),
        }
    }

    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Over { .. })
    }
}

/// The attempts of one connection of the run.
#[derive(Debug)]
pub(crate) struct Attempts {
    connection: usize,
    made: usize,
    backoff: Duration,
    opened: Instant,
}

impl Attempts {
    /// `connection`: its number; the first attempts of connections are spread over the URIs by it.
    pub(crate) fn new(connection: usize) -> Self {
        Self { connection, made: 0, backoff: FIRST_BACKOFF, opened: Instant::now() }
    }

    /// The URI of this attempt: the next one.
    fn uri<'a>(&mut self, uris: &'a [Uri]) -> &'a Uri {
        let uri = &uris[(self.connection + self.made) % uris.len()];
        self.made += 1;
        uri
    }

    /// How long to wait before the next one: longer each time, until a connection lasts.
    fn backoff(&mut self) -> Duration {
        if self.opened.elapsed() > LONGEST_BACKOFF {
            self.backoff = FIRST_BACKOFF;
        }
        let backoff = self.backoff;
        self.backoff = (backoff * 2).min(LONGEST_BACKOFF);
        backoff
    }
}

/// For all connections.
#[derive(Debug)]
pub(crate) struct Shared {
    origin: Instant,
    /// Tells the messages of this run from those of others.
    pub(crate) mark: u32,
    pub(crate) uris: Vec<Uri>,
    measures: Mutex<Measures>,
    phase: watch::Sender<Phase>,
    logins: Semaphore,
    /// A connection is ready for the run.
    pub(crate) ready: Semaphore,
    /// No more messages are published.
    all_published: AtomicBool,
    /// And all were received.
    pub(crate) all_received: Notify,
}

impl Shared {
    pub(crate) fn new(uris: Vec<Uri>) -> Self {
        let [_, _, _, _, m0, m1, m2, m3] = RandomState::new().hash_one(std::process::id()).to_be_bytes();
        Self {
            origin: Instant::now(),
            mark: u32::from_be_bytes([m0, m1, m2, m3]),
            uris,
            measures: Mutex::new(Measures::new()),
            phase: watch::Sender::new(Phase::Opening),
            logins: Semaphore::new(LOGINS),
            ready: Semaphore::new(0),
            all_published: AtomicBool::new(false),
            all_received: Notify::new(),
        }
    }

    /// Nanoseconds since this was made.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn measures(&self) -> MutexGuard<'_, Measures> {
        self.measures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// From now on [`Self::all_received`] is told when nothing is under way any more.
    pub(crate) fn all_are_published(&self) {
        self.all_published.store(true, Ordering::Relaxed);
        self.look_for_the_last(&self.measures());
    }

    /// Tells those who wait for the last message, where that was received.
    pub(crate) fn look_for_the_last(&self, measures: &Measures) {
        if self.all_published.load(Ordering::Relaxed) && measures.under_way() == 0 {
            self.all_received.notify_one();
        }
    }

    /// Opens a connection for the first time: what fails now will not mend itself.
    ///
    /// # Errors
    ///
    /// [`BenchError::Broken`] where it cannot be opened.
    pub(crate) async fn connect(&self, attempts: &mut Attempts) -> Result<Link, BenchError> {
        let uri = attempts.uri(&self.uris);
        self.try_connect(uri).await.map_err(|broken| broken.at(uri.to_string()))
    }

    async fn try_connect(&self, uri: &Uri) -> Result<Link, Broken> {
        // It is never closed.
        let _permit = self.logins.acquire().await;
        Link::connect(uri).await
    }

    /// Opens a connection again that broke, at one broker after the other. None where the run ends meanwhile.
    pub(crate) async fn reconnect(&self, attempts: &mut Attempts) -> Option<Link> {
        let mut phase = self.phase();
        let link = async {
            loop {
                sleep(attempts.backoff()).await;
                let uri = attempts.uri(&self.uris);
                match self.try_connect(uri).await {
                    Ok(link) => return link,
                    Err(broken) => self.failed(&uri.to_string(), broken),
                }
                attempts.opened = Instant::now();
            }
        };
        let link = tokio::select! {
            link = link => link,
            _ = phase.wait_for(|phase| phase.is_over()) => return None,
        };
        attempts.opened = Instant::now();
        self.measures().counts.reconnects += 1;
        Some(link)
    }

    /// Counts an error of a connection.
    pub(crate) fn failed(&self, uri: &str, broken: Broken) {
        self.measures().failed(broken.at(uri.to_owned()).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_go_round_and_wait_longer_each_time() {
        let uris: Vec<Uri> = ["amqp://a", "amqp://b"].map(|uri| uri.parse().unwrap()).into();
        let mut attempts = Attempts::new(1);
        let hosts: Vec<&str> = (0..3).map(|_| attempts.uri(&uris).host.as_str()).collect();
        assert_eq!(hosts, ["b", "a", "b"]);
        let waits: Vec<u128> = (0..7).map(|_| attempts.backoff().as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1000, 1000]);
    }
}
