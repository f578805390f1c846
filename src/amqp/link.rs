//! An open connection: its state, and how it waits for many things at a time.
//!
//! One task serves a connection. Requests are carried out in the order in which they came; while one waits
//! ([`Link::wait`]), and while nothing is left to read ([`Link::read`]), the background goes on: events become frames,
//! frames are written, heartbeats are sent. So a publish that waits for its confirms' turn never keeps them from being
//! written.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use ferrymq_core::{DeliveryId, Event, EventReceiver, Session, Settlement};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    Settings,
    channel::{Channel, Channels},
    codec::{ConnectionBlocked, ConnectionUnblocked, Method},
    fault::{Code, Exception, Stop},
    leave,
    wire::Wire,
};

/// Where more than this waits to be written, no events are taken: what they carry stays with the broker.
const EVENTS_MARK: usize = 1024 * 1024;
/// Where more than this waits to be written, no requests are read either. Higher, so that a client that publishes all
/// before it reads its confirms gets far.
const REQUESTS_MARK: usize = 8 * 1024 * 1024;
/// Events taken at a time.
const EVENTS: usize = 64;

static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// Who is at the other end, and what was agreed upon.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) user: Arc<str>,
    pub(crate) virtual_host: String,
    pub(crate) frame_max: u32,
    pub(crate) channel_max: u16,
    /// None where the client wants none.
    pub(crate) heartbeat: Option<Duration>,
    /// The client understands `basic.cancel` from the broker.
    pub(crate) consumer_cancel_notify: bool,
    /// The client understands `connection.blocked`.
    pub(crate) blocked: bool,
}

/// What a connection does while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// For the client to send: it must be heard from.
    Input,
    /// For the broker: the client is not listened to, and cannot be found silent.
    Broker,
    /// For the client to take what it was sent: it must take some.
    Output,
}

/// What this connection knows of why publishers wait. Only one that publishes is told: some clients send nothing at all
/// while they are blocked, not even acknowledgements.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// Why publishers wait, where they do.
    reason: Option<String>,
    told: bool,
    /// A publish waits.
    publishing: bool,
}

/// Future that is ready when the broker is to let its clients go.
pub(crate) type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An open connection.
pub(crate) struct Link<'a, S, T> {
    /// Borrowed from the caller, so that a request can wait while the rest of this is in use.
    pub(crate) session: &'a S,
    pub(crate) wire: Wire<T>,
    pub(crate) peer: Peer,
    pub(crate) settings: Arc<Settings>,
    pub(crate) channels: Channels,
    /// Bytes of bodies that are not whole yet, over all channels.
    pub(crate) incoming_bytes: usize,
    /// Unique among the connections of this process; part of the consumer tags that are made up here.
    pub(crate) number: u64,
    /// Consumer tags made up here.
    pub(crate) made_tags: u64,
    /// Channels whose clients are to be told of confirms.
    pub(crate) with_news: Vec<u16>,
    pub(crate) alarm: Alarm,
    settling: (Settlement, Vec<DeliveryId>),
    events: Option<EventReceiver>,
    taken_events: Vec<Event>,
    heartbeat: Option<Pin<Box<Sleep>>>,
    shutdown: Option<Shutdown>,
    /// The broker stops; when this is ready, the client is let go.
    leaving: Option<Pin<Box<Sleep>>>,
}

impl<'a, S: Session, T: AsyncRead + AsyncWrite + Unpin> Link<'a, S, T> {
    pub(crate) fn new(
        session: &'a S,
        wire: Wire<T>,
        peer: Peer,
        settings: Arc<Settings>,
        events: EventReceiver,
        shutdown: Shutdown,
    ) -> Self {
        let heartbeat = peer.heartbeat.map(|interval| Box::pin(sleep_until(Instant::now() + interval / 2)));
        Self {
            session,
            wire,
            peer,
            settings,
            channels: Channels::default(),
            incoming_bytes: 0,
            number: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            made_tags: 0,
            with_news: Vec::new(),
            alarm: Alarm::default(),
            settling: (Settlement::Accept, Vec::new()),
            events: Some(events),
            taken_events: Vec::new(),
            heartbeat,
            shutdown: Some(shutdown),
            leaving: None,
        }
    }

    /// Answers on a channel.
    pub(crate) fn send(&mut self, channel: u16, method: impl Into<Method>) {
        self.wire.output.method(channel, method);
    }

    /// The channel, which is open: who calls this was sent there by its number.
    pub(crate) fn channel(&mut self, number: u16) -> Result<&mut Channel, Exception> {
        self.channels.get(number).ok_or_else(|| Exception::new(Code::ChannelError, "expected 'channel.open'"))
    }

    /// Settles soon, together with what else is settled meanwhile.
    pub(crate) fn settle_later(&mut self, settlement: Settlement, add: impl FnOnce(&mut Vec<DeliveryId>)) {
        if self.settling.0 != settlement {
            self.settle_now();
            self.settling.0 = settlement;
        }
        add(&mut self.settling.1);
    }

    /// Settles what was put off. Needed before any request that could see the difference.
    pub(crate) fn settle_now(&mut self) {
        if !self.settling.1.is_empty() {
            self.session.settle(&self.settling.1, self.settling.0);
            self.settling.1.clear();
        }
    }

    /// Carries out a request, and lets the background go on while it waits.
    pub(crate) async fn wait<R>(&mut self, request: impl Future<Output = R>) -> Result<R, Stop> {
        self.settle_now();
        let mut request = pin!(request);
        let mut waited = false;
        let answer = poll_fn(|cx| {
            if let Poll::Ready(answer) = request.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            waited = true;
            self.poll_background(cx, Waiting::Broker).map(Err)
        })
        .await?;
        if waited {
            // The client may have spoken; nobody listened.
            self.wire.last_read = Instant::now();
        }
        Ok(answer)
    }

    /// Whether the broker stops.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Waits for more from the client, or until the broker stops.
    pub(crate) async fn read(&mut self) -> Result<(), Stop> {
        let was_leaving = self.is_leaving();
        poll_fn(|cx| {
            if let Poll::Ready(stop) = self.poll_background(cx, Waiting::Input) {
                return Poll::Ready(Err(stop));
            }
            if self.is_leaving() && !was_leaving {
                return Poll::Ready(Ok(()));
            }
            self.wire.poll_read(cx)
        })
        .await
    }

    /// Carries out a publish. Where publishers wait, the client is told that it does, and why.
    pub(crate) async fn wait_to_publish<R>(&mut self, publish: impl Future<Output = R>) -> Result<R, Stop> {
        self.alarm.publishing = true;
        self.tell_alarm();
        let answer = self.wait(publish).await;
        self.alarm.publishing = false;
        answer
    }

    /// Publishers wait, for a reason, or wait no more.
    pub(crate) fn on_alarm(&mut self, reason: Option<String>) {
        self.alarm.reason = reason;
        self.tell_alarm();
    }

    fn tell_alarm(&mut self) {
        match &self.alarm.reason {
            Some(reason) if self.alarm.publishing && !self.alarm.told => {
                self.alarm.told = true;
                let reason = reason.as_str().into();
                if self.peer.blocked {
                    self.send(0, ConnectionBlocked { reason });
                }
            }
            None if self.alarm.told => {
                self.alarm.told = false;
                if self.peer.blocked {
                    self.send(0, ConnectionUnblocked {});
                }
            }
            _ => {}
        }
    }

    /// Whether the client takes too little of what it is sent for it to be listened to.
    pub(crate) fn is_flooded(&self) -> bool {
        self.wire.output.len() > REQUESTS_MARK
    }

    /// Waits until the client took what it was sent.
    pub(crate) async fn drain(&mut self) -> Result<(), Stop> {
        poll_fn(|cx| {
            if let Poll::Ready(stop) = self.poll_background(cx, Waiting::Output) {
                return Poll::Ready(Err(stop));
            }
            if self.is_flooded() { Poll::Pending } else { Poll::Ready(Ok(())) }
        })
        .await?;
        self.wire.last_read = Instant::now();
        Ok(())
    }

    /// Does all that can be done without the client's next request. Ready only where the connection ends.
    fn poll_background(&mut self, cx: &mut Context<'_>, waiting: Waiting) -> Poll<Stop> {
        loop {
            let emptied = match self.take_events(cx) {
                Ok(emptied) => emptied,
                Err(stop) => return Poll::Ready(stop),
            };
            self.tell_confirms();
            self.settle_now();
            match self.wire.poll_write(cx) {
                // There is room again for the events that were left.
                Poll::Ready(Ok(())) if !emptied => {}
                Poll::Ready(Ok(())) | Poll::Pending => break,
                Poll::Ready(Err(error)) => return Poll::Ready(error.into()),
            }
        }
        if let Some(shutdown) = &mut self.shutdown
            && shutdown.as_mut().poll(cx).is_ready()
        {
            self.shutdown = None;
            self.leaving = Some(leave::deadline());
        }
        if let Some(deadline) = &mut self.leaving
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(leave::farewell());
        }
        self.poll_heartbeat(cx, waiting)
    }

    /// Takes events until there are none, or until the client has enough to read: then some may be left, and nothing
    /// wakes this connection for them. Says whether there are none.
    fn take_events(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let mut taken = std::mem::take(&mut self.taken_events);
        while self.wire.output.len() <= EVENTS_MARK {
            let Some(events) = &mut self.events else { break };
            match events.poll_recv_many(cx, &mut taken, EVENTS) {
                Poll::Pending => break,
                Poll::Ready(0) => self.events = None,
                Poll::Ready(_) => {}
            }
            for event in taken.drain(..) {
                self.on_event(event)?;
            }
        }
        self.taken_events = taken;
        Ok(self.wire.output.len() <= EVENTS_MARK)
    }

    fn poll_heartbeat(&mut self, cx: &mut Context<'_>, waiting: Waiting) -> Poll<Stop> {
        let (Some(interval), Some(sleep)) = (self.peer.heartbeat, &mut self.heartbeat) else { return Poll::Pending };
        while sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let (read, written) = (self.wire.last_read, self.wire.last_written);
            let silent_at = match waiting {
                Waiting::Input => Some(read + interval * 2),
                Waiting::Output => Some(read.max(written) + interval * 2),
                Waiting::Broker => None,
            };
            if silent_at.is_some_and(|at| at <= now) {
                return Poll::Ready(Stop::Silent);
            }
            let mut speak_at = written + interval / 2;
            if speak_at <= now {
                // Where something waits to be written, the socket is full, and a heartbeat would not get through.
                if self.wire.output.is_empty() {
                    self.wire.output.heartbeat();
                    if let Poll::Ready(Err(error)) = self.wire.poll_write(cx) {
                        return Poll::Ready(error.into());
                    }
                }
                speak_at = now + interval / 2;
            }
            sleep.as_mut().reset(silent_at.map_or(speak_at, |at| at.min(speak_at)));
        }
        Poll::Pending
    }

    /// Ends the use of the session: what the client got and did not settle goes back. What its consumers hold goes
    /// back when the session is dropped.
    pub(crate) fn release(mut self) -> Wire<T> {
        self.settle_now();
        let mut ids = Vec::new();
        for channel in self.channels.open() {
            ids.extend(channel.unsettled.drain().filter(|(_, consumer)| consumer.is_none()).map(|(id, _)| id));
        }
        if !ids.is_empty() {
            self.session.settle(&ids, Settlement::Requeue);
        }
        self.wire
    }
}
