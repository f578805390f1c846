//! A load under way: its phases, and what is told meanwhile.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, interval_at, sleep_until, timeout},
};

use crate::{
    arguments::Load,
    consumer::{self, Consumer},
    error::BenchError,
    measures::Counts,
    metronome::Metronome,
    publisher::{self, Publisher},
    queues,
    report::{LoadReport, Output, Progress, per_second},
    schedule::Schedule,
    shared::{Phase, Shared},
    train::Shape,
};

const SECOND: Duration = Duration::from_secs(1);
/// What is measured where neither seconds nor messages are given.
const SECONDS: u64 = 15;
/// How long confirms and messages are waited for after publishing has ended, and how long the connections may then take
/// to close.
const SETTLE: Duration = Duration::from_secs(5);
const CLOSE: Duration = Duration::from_secs(6);
/// Seconds without a message after which no more are waited for; the first where all that is missing may have been
/// lost with a connection.
const LOST_SECONDS: u64 = 2;
const STALLED_SECONDS: u64 = 10;

/// A load under way.
pub(crate) struct Running<'a> {
    arguments: &'a Load,
    shared: Arc<Shared>,
    publishers: JoinSet<Result<(), BenchError>>,
    consumers: JoinSet<Result<(), BenchError>>,
    /// What tells each publisher that a message is due.
    due: Vec<Arc<Notify>>,
    /// When publishing began, and when measuring did.
    start: u64,
    begun: u64,
}

impl<'a> Running<'a> {
    pub(crate) fn new(arguments: &'a Load, names: &[String]) -> Self {
        let shared = Arc::new(Shared::new(arguments.common.uri.clone()));
        let (mut publishers, mut consumers) = (JoinSet::new(), JoinSet::new());
        for number in 0..arguments.consumers {
            let orders = consumer::Orders {
                connection: (arguments.publishers + number) as usize,
                queues: queues::share(names, number, arguments.consumers),
                prefetch: arguments.prefetch,
                ack_every: arguments.ack_every,
            };
            consumers.spawn(Consumer::new(orders, Arc::clone(&shared)).run());
        }
        let count = arguments.publishers;
        let due: Vec<Arc<Notify>> = (0..count).map(|_| Arc::default()).collect();
        let Load { size, transient, varied, .. } = *arguments;
        let shape = Shape { size: size as usize, persistent: !transient, varied, mark: shared.mark };
        for (number, due) in (0..count).zip(&due) {
            let share = |messages: u64| {
                messages / u64::from(count) + u64::from(u64::from(number) < messages % u64::from(count))
            };
            let orders = publisher::Orders {
                number,
                publishers: count,
                queues: queues::share(names, number, count),
                shape,
                confirms: arguments.confirms,
                rate: arguments.rate,
                messages: arguments.messages.map(share),
                due: Arc::clone(due),
            };
            publishers.spawn(Publisher::new(orders, Arc::clone(&shared)).run());
        }
        Self { arguments, shared, publishers, consumers, due, start: 0, begun: 0 }
    }

    /// Waits until all connections are open. False where `stop` came first.
    ///
    /// # Errors
    ///
    /// [`BenchError::Broken`] where one cannot be opened.
    pub(crate) async fn open(&mut self, stop: &mut Pin<&mut impl Future<Output = ()>>) -> Result<bool, BenchError> {
        let connections = self.arguments.publishers + self.arguments.consumers;
        loop {
            tokio::select! {
                biased;
                () = stop.as_mut() => return Ok(false),
                Some(ended) = self.publishers.join_next() => ended??,
                Some(ended) = self.consumers.join_next() => ended??,
                _ = self.shared.ready.acquire_many(connections) => return Ok(true),
            }
        }
    }

    /// Publishes and consumes until the time is over, all messages are through, or `stop`.
    ///
    /// # Errors
    ///
    /// [`BenchError::NotReceived`] where messages are missing, [`BenchError::Print`].
    pub(crate) async fn go(
        &mut self,
        stop: &mut Pin<&mut impl Future<Output = ()>>,
        output: &mut Output<'_>,
    ) -> Result<(), BenchError> {
        self.start = self.shared.now();
        self.begun = self.start;
        self.shared.enter(Phase::Running { start: self.start });
        let metronome = (self.arguments.rate > 0 && !self.due.is_empty()).then(|| {
            let schedule = Schedule::new(self.start, self.arguments.rate);
            Metronome::start(schedule, Arc::clone(&self.shared), self.due.clone()).map_err(BenchError::Thread)
        });
        let _metronome = metronome.transpose()?;
        let began = Instant::now();
        let warm = began + Duration::from_secs(self.arguments.warm_up);
        let mut is_warm = self.arguments.warm_up == 0;
        let seconds = self.arguments.seconds.or(self.arguments.messages.is_none().then_some(SECONDS));
        let end = seconds.map(|seconds| warm + Duration::from_secs(seconds));
        let mut progress = Progress::since(self.start);
        let mut ticks = interval_at(began + SECOND, SECOND);
        let mut stalled = Stalled::default();
        loop {
            tokio::select! {
                biased;
                () = stop.as_mut() => return Ok(()),
                () = sleep_until(warm), if !is_warm => {
                    is_warm = true;
                    self.begun = self.shared.now();
                    self.shared.measures().begin(self.begun);
                    progress.restart(self.begun);
                }
                () = sleep_until(end.unwrap_or(began)), if end.is_some() => return Ok(()),
                Some(ended) = self.publishers.join_next() => {
                    ended??;
                    if self.publishers.is_empty() {
                        if self.consumers.is_empty() {
                            return Ok(());
                        }
                        self.shared.all_are_published();
                    }
                }
                Some(ended) = self.consumers.join_next() => ended??,
                () = self.shared.all_received.notified() => return Ok(()),
                _ = ticks.tick() => {
                    let counts = self.tell(&mut progress, output)?;
                    let waits = self.arguments.messages.is_some() && self.publishers.is_empty();
                    if waits && self.is_over(stalled.seconds(counts.received), counts)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn tell(&self, progress: &mut Progress, output: &mut Output<'_>) -> Result<Counts, BenchError> {
        let (counts, p99) = {
            let mut measures = self.shared.measures();
            (measures.counts, [measures.confirm.turn(), measures.end_to_end.turn()])
        };
        output.progress(&progress.line(self.shared.now(), counts, p99))?;
        Ok(counts)
    }

    /// Whether no more messages will come, all being published and none having come for so many seconds.
    fn is_over(&self, seconds: u64, counts: Counts) -> Result<bool, BenchError> {
        let missing = self.shared.measures().under_way();
        if seconds >= LOST_SECONDS && missing <= counts.lost_confirms {
            return Ok(true);
        }
        if seconds >= STALLED_SECONDS { Err(BenchError::NotReceived { missing, seconds }) } else { Ok(false) }
    }

    /// Ends publishing, waits for what is under way as long as that may take, closes all connections, and sums up.
    ///
    /// # Errors
    ///
    /// [`BenchError::Crashed`]
    pub(crate) async fn finish(&mut self) -> Result<LoadReport, BenchError> {
        let stop = self.shared.now();
        let closed = self.shared.measures().counts;
        self.shared.enter(Phase::Settling { start: self.start, stop });
        // What has not come by then is counted where the publishers sum up.
        if let Ok(ended) = timeout(SETTLE, self.settle()).await {
            ended?;
        }
        self.shared.enter(Phase::Over { stop });
        if timeout(CLOSE, self.join()).await.is_err() {
            self.publishers.shutdown().await;
            self.consumers.shutdown().await;
        }
        Ok(self.report(stop, closed))
    }

    async fn settle(&mut self) -> Result<(), BenchError> {
        while let Some(ended) = self.publishers.join_next().await {
            ended??;
        }
        if !self.consumers.is_empty() && self.arguments.publishers > 0 {
            self.shared.all_are_published();
            self.shared.all_received.notified().await;
        }
        Ok(())
    }

    async fn join(&mut self) -> Result<(), BenchError> {
        while let Some(ended) = self.publishers.join_next().await {
            ended??;
        }
        while let Some(ended) = self.consumers.join_next().await {
            ended??;
        }
        Ok(())
    }

    fn report(&self, stop: u64, closed: Counts) -> LoadReport {
        let seconds = stop.saturating_sub(self.begun) as f64 / 1e9;
        let now = self.shared.now();
        let mut measures = self.shared.measures();
        let Load { size, publishers, consumers, queues, .. } = *self.arguments;
        LoadReport {
            uri: self.shared.uris.iter().map(ToString::to_string).collect(),
            seconds,
            counts: measures.counts,
            published_per_second: per_second(closed.published, seconds),
            confirmed_per_second: per_second(closed.confirmed, seconds),
            received_per_second: per_second(closed.received, seconds),
            confirm_ms: measures.confirm.quantiles().map(Into::into),
            end_to_end_ms: measures.end_to_end.quantiles().map(Into::into),
            longest_pause_ms: measures.longest_pause as f64 / 1e6,
            blocked_seconds: measures.blocked_for(now) as f64 / 1e9,
            size,
            publishers,
            consumers,
            queues,
        }
    }

    /// What went wrong, each kind once.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.shared.measures().told().to_vec()
    }
}

/// How long nothing was received.
#[derive(Debug, Default)]
struct Stalled {
    received: u64,
    seconds: u64,
}

impl Stalled {
    /// Counts a second in which so many were received in all.
    fn seconds(&mut self, received: u64) -> u64 {
        self.seconds = if received == self.received { self.seconds + 1 } else { 0 };
        self.received = received;
        self.seconds
    }
}
