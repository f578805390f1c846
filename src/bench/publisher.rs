//! A publisher: a connection that publishes at a rate or as fast as it may, and measures how long confirms take.

use std::sync::Arc;

use ferrymq_amqp::codec::{ConfirmSelect, FrameKind, MINIMUM_FRAME_BYTES, Method};
use tokio::{
    io::Interest,
    sync::{Notify, watch},
    time::sleep_until,
};

use crate::{
    error::{BenchError, Broken},
    link::{Link, Notice, notice},
    scan,
    schedule::Schedule,
    shared::{Attempts, Phase, Shared},
    train::{Shape, Train},
    unconfirmed::Unconfirmed,
};

/// What a publisher is to do.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    /// Its number among the publishers, and how many there are.
    pub(crate) number: u32,
    pub(crate) publishers: u32,
    /// Its queues, of equally long names, in turns.
    pub(crate) queues: Vec<String>,
    pub(crate) shape: Shape,
    /// Publishes that may wait for their confirm; 0: none are asked for.
    pub(crate) confirms: u32,
    /// Messages a second of all publishers; 0: any number.
    pub(crate) rate: u32,
    /// Messages to publish; none: any number.
    pub(crate) messages: Option<u64>,
    /// Told when a message is due.
    pub(crate) due: Arc<Notify>,
}

/// A publisher.
#[derive(Debug)]
pub(crate) struct Publisher {
    orders: Orders,
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    attempts: Attempts,
    /// Where there is a rate, and publishing has begun.
    schedule: Option<Schedule>,
    train: Train,
    unconfirmed: Unconfirmed,
    /// Messages that were published, over all connections.
    sent: u64,
    /// The broker told us to wait.
    blocked: bool,
    /// Since when confirms are waited for and none came.
    waits_since: Option<u64>,
}

impl Publisher {
    pub(crate) fn new(orders: Orders, shared: Arc<Shared>) -> Self {
        Self {
            phase: shared.phase(),
            attempts: Attempts::new(orders.number as usize),
            schedule: None,
            train: Train::new(orders.shape, &orders.queues[0], MINIMUM_FRAME_BYTES),
            unconfirmed: Unconfirmed::new(orders.confirms as usize),
            sent: 0,
            blocked: false,
            waits_since: None,
            orders,
            shared,
        }
    }

    fn has_confirms(&self) -> bool {
        self.orders.confirms > 0
    }

    /// Publishes until all is published, or until the run ends.
    ///
    /// # Errors
    ///
    /// [`BenchError`] where the first connection cannot be opened.
    pub(crate) async fn run(mut self) -> Result<(), BenchError> {
        let mut link = self.shared.connect(&mut self.attempts).await?;
        if let Err(broken) = self.prepare(&mut link).await {
            return Err(broken.at(link.name));
        }
        self.shared.ready.add_permits(1);
        loop {
            let broken = match self.publish(&mut link).await {
                Ok(Ended::InOrder) => {
                    let name = link.name.clone();
                    if let Err(broken) = link.close().await {
                        self.broke(&name, broken);
                    }
                    break;
                }
                Ok(Ended::CutOff) => break,
                Err(broken) => broken,
            };
            let name = link.name.clone();
            link.leave(&broken);
            self.broke(&name, broken);
            match self.reopen().await {
                Some(again) => link = again,
                None => break,
            }
        }
        self.sum_up();
        Ok(())
    }

    async fn reopen(&mut self) -> Option<Link> {
        loop {
            let phase = *self.phase.borrow();
            if self.is_done(phase) {
                return None;
            }
            let mut link = self.shared.reconnect(&mut self.attempts).await?;
            match self.prepare(&mut link).await {
                Ok(()) => return Some(link),
                Err(broken) => self.broke(&link.name, broken),
            }
        }
    }

    async fn prepare(&mut self, link: &mut Link) -> Result<(), Broken> {
        self.train = Train::new(self.orders.shape, &self.orders.queues[0], link.frame_max);
        if !self.has_confirms() {
            return Ok(());
        }
        match link.ask(ConfirmSelect::default()).await? {
            Method::ConfirmSelectOk(_) => Ok(()),
            other => Err(Broken::Unexpected(other.name())),
        }
    }

    async fn publish(&mut self, link: &mut Link) -> Result<Ended, Broken> {
        loop {
            let phase = *self.phase.borrow_and_update();
            let read = link.read()?;
            if read {
                self.take(link)?;
            }
            self.fill(link, phase);
            let wrote = self.write(link)?;
            let written = self.train.pending().is_empty() && link.output.is_empty();
            if written && (phase.is_over() || self.is_done(phase)) {
                return Ok(Ended::InOrder);
            }
            if phase.is_over() {
                return Ok(Ended::CutOff);
            }
            if read || wrote {
                // There may be more to do at once, after the others had their turn.
                tokio::task::yield_now().await;
                continue;
            }
            let interest = if written { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            tokio::select! {
                biased;
                ready = link.ready(interest) => ready?,
                () = self.orders.due.notified() => {}
                _ = self.phase.changed() => {}
                () = sleep_until(link.chores_at) => link.chores()?,
            }
        }
    }

    /// Reads confirms, and what else comes.
    fn take(&mut self, link: &mut Link) -> Result<(), Broken> {
        let now = self.shared.now();
        let mut measures = self.shared.measures();
        let measures = &mut *measures;
        let mut confirmed = false;
        while let Some(frame) = link.input.next(link.frame_max)? {
            let confirm = (frame.kind == FrameKind::Method).then(|| scan::confirm(frame.payload)).flatten();
            if let Some(confirm) = confirm {
                let (counts, latency) = (&mut measures.counts, &mut measures.confirm);
                self.unconfirmed.settle(confirm, |stamp, count| {
                    if confirm.negative {
                        counts.nacked += count;
                    } else {
                        counts.confirmed += count;
                        latency.record(now.saturating_sub(stamp), count);
                    }
                })?;
                confirmed |= !confirm.negative;
                continue;
            }
            match notice(frame.payload, frame.kind)? {
                Notice::Blocked if !self.blocked => {
                    self.blocked = true;
                    measures.blocked(now);
                }
                Notice::Unblocked if self.blocked => {
                    self.blocked = false;
                    measures.unblocked(now);
                }
                _ => {}
            }
        }
        // A publish that was refused ends no pause.
        if confirmed {
            if let Some(since) = self.waits_since {
                measures.paused(now.saturating_sub(since));
            }
            self.waits_since = (self.unconfirmed.count() > 0).then_some(now);
        }
        Ok(())
    }

    /// Publishes what may be published now.
    fn fill(&mut self, link: &Link, phase: Phase) {
        let (start, stop) = match phase {
            Phase::Running { start } => (start, None),
            Phase::Settling { start, stop } => (start, Some(stop)),
            Phase::Opening | Phase::Over { .. } => return,
        };
        if self.orders.rate > 0 && self.schedule.is_none() {
            self.schedule = Some(Schedule::new(start, self.orders.rate));
        }
        // What is half written must not be parted.
        if self.blocked || !link.output.is_empty() || (stop.is_some() && self.schedule.is_none()) {
            return;
        }
        let now = self.shared.now();
        let until = stop.map_or(now, |stop| stop.min(now));
        let none_waited = self.unconfirmed.count() == 0;
        let room = self.room();
        let mut count = 0;
        while count < room {
            let stamp = self.due(self.sent).unwrap_or(now);
            if stamp > until {
                break;
            }
            let turn = self.sent % self.orders.queues.len() as u64;
            let Some(queue) = self.orders.queues.get(turn as usize) else { break };
            self.train.put(queue, stamp);
            if self.has_confirms() {
                self.unconfirmed.push(stamp);
            }
            self.sent += 1;
            count += 1;
        }
        if count > 0 {
            if none_waited && self.has_confirms() {
                self.waits_since.get_or_insert(now);
            }
            self.shared.measures().counts.published += count;
        }
    }

    /// Messages that may be published, as far as confirms and memory go.
    fn room(&self) -> u64 {
        let mut room = self.train.room();
        if self.has_confirms() {
            room = room.min(self.unconfirmed.room());
        }
        (room as u64).min(self.left())
    }

    /// Messages that are left of those to be published.
    fn left(&self) -> u64 {
        self.orders.messages.map_or(u64::MAX, |messages| messages.saturating_sub(self.sent))
    }

    /// Writes what the socket takes. Whether it took anything.
    fn write(&mut self, link: &mut Link) -> Result<bool, Broken> {
        let mut wrote = false;
        while !self.train.pending().is_empty() {
            match link.write(self.train.pending())? {
                0 => return Ok(wrote),
                count => self.train.written(count),
            }
            wrote = true;
        }
        link.write_output()?;
        Ok(wrote)
    }

    /// When the message is due that is to be published after so many of this publisher's, where there is a schedule.
    fn due(&self, before: u64) -> Option<u64> {
        let index = before * u64::from(self.orders.publishers) + u64::from(self.orders.number);
        self.schedule.map(|schedule| schedule.due(index))
    }

    /// Whether all is published, and confirmed.
    fn is_done(&self, phase: Phase) -> bool {
        let published =
            self.left() == 0 || phase.stop().is_some_and(|stop| self.due(self.sent).is_none_or(|due| due > stop));
        published && self.unconfirmed.count() == 0
    }

    /// The connection broke, and with it all that was not confirmed.
    fn broke(&mut self, uri: &str, broken: Broken) {
        self.shared.failed(uri, broken);
        let now = self.shared.now();
        let lost = self.unconfirmed.abandon().count() as u64;
        let mut measures = self.shared.measures();
        measures.counts.lost_confirms += lost;
        if self.blocked {
            self.blocked = false;
            measures.unblocked(now);
        }
        if self.has_confirms() {
            self.waits_since.get_or_insert(now);
        }
    }

    /// What still waits has waited so long at least: left out, the worst of a run would not show.
    fn sum_up(mut self) {
        let now = self.shared.now();
        let left = self.left();
        let mut measures = self.shared.measures();
        for stamp in self.unconfirmed.abandon() {
            measures.counts.lost_confirms += 1;
            measures.confirm.record(now.saturating_sub(stamp), 1);
        }
        let stop = self.phase.borrow().stop().unwrap_or(0);
        let due = (self.sent..self.sent.saturating_add(left)).map_while(|before| self.due(before));
        for due in due.take_while(|due| *due <= stop) {
            measures.counts.behind += 1;
            if self.has_confirms() {
                measures.confirm.record(now.saturating_sub(due), 1);
            }
        }
        if let Some(since) = self.waits_since {
            measures.paused(now.saturating_sub(since));
        }
        if self.blocked {
            measures.unblocked(now);
        }
    }
}

/// How publishing ended.
enum Ended {
    /// All is written.
    InOrder,
    /// Something could not be written in time.
    CutOff,
}
