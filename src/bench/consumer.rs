//! A consumer: a connection that takes messages off its queues, acknowledges them in batches, and measures their way.

use std::{sync::Arc, time::Duration};

use ferrymq_amqp::codec::{BasicAck, BasicConsume, BasicQos, FrameKind, Method};
use tokio::{
    io::Interest,
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    error::{BenchError, Broken},
    link::{CHANNEL, Link, Notice, notice},
    measures::Measures,
    scan::{self, Deliver},
    shared::{Attempts, Phase, Shared},
    train,
};

/// After so long without a message, what is left is acknowledged.
const IDLE: Duration = Duration::from_millis(100);

/// What a consumer is to do.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    /// Its number among all connections.
    pub(crate) connection: usize,
    pub(crate) queues: Vec<String>,
    /// Messages of each queue that may be unacknowledged; 0: any number.
    pub(crate) prefetch: u16,
    /// Messages that one acknowledgement is for; 0: none is acknowledged.
    pub(crate) ack_every: u32,
}

/// A consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    orders: Orders,
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    attempts: Attempts,
    reading: Reading,
    /// The newest message, and how many are to be acknowledged up to it.
    last: u64,
    unacknowledged: u32,
    /// Queues whose consumer the broker has not agreed to yet.
    unanswered: usize,
    is_ready: bool,
}

/// What of a message was read.
#[derive(Debug, Clone, Copy)]
enum Reading {
    /// Nothing.
    Nothing,
    /// That it comes.
    Method(Deliver),
    /// All but so many bytes of its body.
    Body { of: Deliver, left: u64, stamp: Option<u64>, begun: bool },
}

impl Consumer {
    pub(crate) fn new(mut orders: Orders, shared: Arc<Shared>) -> Self {
        // A consumer must not wait for messages that it keeps from coming.
        if orders.prefetch > 0 {
            orders.ack_every = orders.ack_every.min(u32::from(orders.prefetch).div_ceil(2));
        }
        Self {
            phase: shared.phase(),
            attempts: Attempts::new(orders.connection),
            orders,
            shared,
            reading: Reading::Nothing,
            last: 0,
            unacknowledged: 0,
            unanswered: 0,
            is_ready: false,
        }
    }

    fn acknowledges(&self) -> bool {
        self.orders.ack_every > 0
    }

    /// Consumes until the run ends.
    ///
    /// # Errors
    ///
    /// [`BenchError`] where the first connection cannot be opened, or a queue cannot be consumed from.
    pub(crate) async fn run(mut self) -> Result<(), BenchError> {
        let mut link = self.shared.connect(&mut self.attempts).await?;
        loop {
            let consumed = match self.prepare(&mut link).await {
                Ok(()) => self.consume(&mut link).await,
                Err(broken) => Err(broken),
            };
            let name = link.name.clone();
            let broken = match consumed {
                Ok(()) => {
                    if let Err(broken) = link.close().await {
                        self.shared.failed(&name, broken);
                    }
                    return Ok(());
                }
                Err(broken) => broken,
            };
            link.leave(&broken);
            if !self.is_ready {
                return Err(broken.at(name));
            }
            self.shared.failed(&name, broken);
            match self.shared.reconnect(&mut self.attempts).await {
                Some(again) => link = again,
                None => return Ok(()),
            }
        }
    }

    async fn prepare(&mut self, link: &mut Link) -> Result<(), Broken> {
        (self.reading, self.unacknowledged) = (Reading::Nothing, 0);
        if self.acknowledges() && self.orders.prefetch > 0 {
            let qos = BasicQos { prefetch_size: 0, prefetch_count: self.orders.prefetch, global: false };
            match link.ask(qos).await? {
                Method::BasicQosOk(_) => {}
                other => return Err(Broken::Unexpected(other.name())),
            }
        }
        self.unanswered = self.orders.queues.len();
        for queue in &self.orders.queues {
            let no_ack = !self.acknowledges();
            link.put(CHANNEL, BasicConsume { queue: queue.as_str().into(), no_ack, ..Default::default() });
        }
        Ok(())
    }

    async fn consume(&mut self, link: &mut Link) -> Result<(), Broken> {
        let mut idle_at = Instant::now();
        loop {
            let phase = *self.phase.borrow_and_update();
            let read = link.read()?;
            if read {
                self.take(link)?;
            }
            if phase.is_over() {
                self.acknowledge(link);
                return Ok(());
            }
            link.write_output()?;
            if read {
                idle_at = Instant::now() + IDLE;
                // There may be more to do at once, after the others had their turn.
                tokio::task::yield_now().await;
                continue;
            }
            let written = link.output.is_empty();
            let interest = if written { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            tokio::select! {
                biased;
                ready = link.ready(interest) => ready?,
                _ = self.phase.changed() => {}
                () = sleep_until(idle_at), if self.unacknowledged > 0 => self.acknowledge(link),
                () = sleep_until(link.chores_at) => link.chores()?,
            }
        }
    }

    /// Reads messages, and what else comes.
    fn take(&mut self, link: &mut Link) -> Result<(), Broken> {
        let now = self.shared.now();
        let shared = Arc::clone(&self.shared);
        let mut measures = shared.measures();
        while let Some(frame) = link.input.next(link.frame_max)? {
            match (frame.kind, self.reading) {
                (FrameKind::Method, Reading::Nothing) => match scan::deliver(frame.payload) {
                    Some(deliver) => self.reading = Reading::Method(deliver),
                    None => {
                        if let Notice::Answer(Method::BasicConsumeOk(_)) = notice(frame.payload, frame.kind)? {
                            self.agreed();
                        }
                    }
                },
                (FrameKind::Header, Reading::Method(of)) => {
                    let left = scan::body_size(frame.payload).ok_or(Broken::Unexpected("a content header"))?;
                    self.reading = Reading::Body { of, left, stamp: None, begun: false };
                }
                (FrameKind::Body, Reading::Body { of, left, stamp, begun }) => {
                    let stamp = if begun { stamp } else { train::stamp(frame.payload, shared.mark) };
                    let left = left
                        .checked_sub(frame.payload.len() as u64)
                        .ok_or(Broken::Unexpected("a body longer than its header says"))?;
                    self.reading = Reading::Body { of, left, stamp, begun: true };
                }
                (FrameKind::Heartbeat, _) => {}
                (FrameKind::Method, _) => {
                    notice(frame.payload, frame.kind)?;
                    return Err(Broken::Unexpected("a method within a message"));
                }
                _ => return Err(Broken::Unexpected("content without a method")),
            }
            if let Reading::Body { of, left: 0, stamp, .. } = self.reading {
                self.reading = Reading::Nothing;
                self.received(of, stamp.map(|stamp| now.saturating_sub(stamp)), &mut measures);
                if self.unacknowledged >= self.orders.ack_every {
                    self.acknowledge(link);
                }
            }
        }
        shared.look_for_the_last(&measures);
        Ok(())
    }

    fn received(&mut self, deliver: Deliver, latency: Option<u64>, measures: &mut Measures) {
        measures.counts.received += 1;
        measures.counts.redelivered += u64::from(deliver.redelivered);
        if let Some(nanoseconds) = latency {
            measures.end_to_end.record(nanoseconds, 1);
        }
        if self.acknowledges() {
            self.last = deliver.tag;
            self.unacknowledged += 1;
        }
    }

    /// The broker agreed to one more of the consumers.
    fn agreed(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
        if self.unanswered == 0 && !self.is_ready {
            self.is_ready = true;
            self.shared.ready.add_permits(1);
        }
    }

    /// Acknowledges all that was received.
    fn acknowledge(&mut self, link: &mut Link) {
        if self.unacknowledged > 0 {
            link.put(CHANNEL, BasicAck { delivery_tag: self.last, multiple: true });
            self.unacknowledged = 0;
        }
    }
}
