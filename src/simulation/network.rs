//! Links that are slow, cut, or reset, as a person or the seed says.
//!
//! What TCP keeps is kept: a connection's bytes come in their order, once, or not at all. What it does not keep is not: bytes
//! of a connection that its one end has given up for lost may still come to the other, after those of the next one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use ferrymq_broker::{Listener, Network, Stream};
use ferrymq_testkit::Chance;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    Story,
    pipe::{Pipe, Reader, Writer},
};

/// How long a connection attempt waits before it is tried again, while a link is cut.
const CONNECT_AGAIN: Duration = Duration::from_millis(200);

/// All links of a cluster. Cheap to clone; the same one.
#[derive(Clone)]
pub(crate) struct Links(Arc<Shared>);

pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) story: Story,
}

struct State {
    chance: Chance,
    listeners: BTreeMap<u32, mpsc::UnboundedSender<Stream>>,
    pipes: Vec<Weak<Mutex<Pipe>>>,
    /// From, to.
    cut: BTreeSet<(u32, u32)>,
    slow: BTreeMap<(u32, u32), Duration>,
    touched: u64,
}

impl Links {
    /// Links that are all whole.
    #[must_use]
    pub(crate) fn new(chance: Chance, story: Story) -> Self {
        let state = State {
            chance,
            listeners: BTreeMap::new(),
            pipes: Vec::new(),
            cut: BTreeSet::new(),
            slow: BTreeMap::new(),
            touched: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), story }))
    }

    /// What the broker with this ordinal reaches others by.
    #[must_use]
    pub(crate) fn of(&self, ordinal: u32) -> Arc<dyn Network> {
        Arc::new(View { links: self.clone(), ordinal })
    }

    /// Where it is reached, from now on.
    #[must_use]
    pub(crate) fn listen(&self, ordinal: u32) -> Door {
        let (door, accepted) = mpsc::unbounded_channel();
        self.0.state().listeners.insert(ordinal, door);
        Door(accepted)
    }

    /// Nothing that `from` sends comes to `to` any more; the other way is as it was.
    pub(crate) fn cut(&self, from: u32, to: u32) {
        self.0.state().cut.insert((from, to));
    }

    /// What `from` sends to `to` takes so much longer.
    pub(crate) fn slow_down(&self, from: u32, to: u32, by: Duration) {
        self.0.state().slow.insert((from, to), by);
    }

    /// All links are whole and quick again; what waited comes now.
    pub(crate) fn heal(&self) {
        let pipes = {
            let mut state = self.0.state();
            state.cut.clear();
            state.slow.clear();
            state.pipes()
        };
        pipes.iter().for_each(|pipe| Pipe::lock(pipe).wake());
    }

    /// The ends of the connections at `at`, to the other one, are told that the connection is lost. What is under way
    /// still comes. Gives how many there were.
    pub(crate) fn reset(&self, at: u32, other: u32) -> usize {
        let between = |pipe: &&Arc<Mutex<Pipe>>| Pipe::lock(pipe).is_between(at, other);
        let pipes = self.0.state().pipes();
        pipes.iter().filter(between).map(|pipe| Pipe::lock(pipe).reset_at(at)).count()
    }

    /// The power of a host fails: what it sent is lost, and nobody is told that its connections are.
    pub(crate) fn go_dark(&self, ordinal: u32) {
        let pipes = {
            let mut state = self.0.state();
            state.listeners.remove(&ordinal);
            state.pipes()
        };
        pipes.iter().filter(|pipe| Pipe::lock(pipe).is_of(ordinal)).for_each(|pipe| Pipe::lock(pipe).go_dark());
    }

    /// The host is there again: whoever still holds a connection to it is told that it is lost.
    pub(crate) fn come_back(&self, ordinal: u32) {
        let pipes = self.0.state().pipes();
        pipes.iter().filter(|pipe| Pipe::lock(pipe).is_of(ordinal)).for_each(|pipe| Pipe::lock(pipe).refuse());
    }

    /// The process that listened there is gone.
    pub(crate) fn close_door(&self, ordinal: u32) {
        self.0.state().listeners.remove(&ordinal);
    }

    /// How often a message was held up by a fault so far.
    #[must_use]
    pub(crate) fn touched(&self) -> u64 {
        self.0.state().touched
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the next bytes take.
    pub(crate) fn latency(&self, from: u32, to: u32) -> Duration {
        let mut state = self.state();
        let usual = if state.chance.one_in(30) { state.chance.millis(2, 20) } else { state.chance.millis(0, 2) };
        match state.slow.get(&(from, to)).copied() {
            Some(slow) => {
                state.touched += 1;
                let most = u64::try_from(slow.as_millis()).unwrap_or(u64::MAX);
                usual + state.chance.millis(0, most)
            }
            None => usual,
        }
    }

    pub(crate) fn is_cut(&self, from: u32, to: u32) -> bool {
        let mut state = self.state();
        let cut = state.cut.contains(&(from, to));
        state.touched += u64::from(cut);
        cut
    }
}

impl State {
    fn pipes(&mut self) -> Vec<Arc<Mutex<Pipe>>> {
        self.pipes.retain(|pipe| pipe.strong_count() > 0);
        self.pipes.iter().filter_map(Weak::upgrade).collect()
    }
}

/// The links, as one broker sees them.
struct View {
    links: Links,
    ordinal: u32,
}

impl Network for View {
    fn connect<'a>(&'a self, address: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        Box::pin(async move {
            let to: u32 = address.parse().map_err(|_| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
            let from = self.ordinal;
            let shared = &self.links.0;
            tokio::time::sleep(shared.latency(from, to)).await;
            while shared.is_cut(from, to) || shared.is_cut(to, from) {
                tokio::time::sleep(CONNECT_AGAIN).await;
            }
            let there = Pipe::new(from, to);
            let back = Pipe::new(to, from);
            let theirs = Stream {
                input: Box::new(Reader::new(there.clone(), shared.clone())),
                output: Box::new(Writer::new(back.clone(), shared.clone())),
            };
            let mut state = shared.state();
            state.pipes.retain(|pipe| pipe.strong_count() > 0);
            state.pipes.extend([Arc::downgrade(&there), Arc::downgrade(&back)]);
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            state.listeners.get(&to).ok_or_else(refused)?.send(theirs).map_err(|_| refused())?;
            drop(state);
            shared.story.note((from, to));
            Ok(Stream {
                input: Box::new(Reader::new(back, shared.clone())),
                output: Box::new(Writer::new(there, shared.clone())),
            })
        })
    }
}

/// Where a broker is reached.
pub(crate) struct Door(mpsc::UnboundedReceiver<Stream>);

impl Listener for Door {
    async fn accept(&mut self) -> io::Result<(Stream, String)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, "a simulated link".to_owned())),
            // Closed with its process.
            None => std::future::pending().await,
        }
    }
}

/// When bytes that are sent now come, where those before come then.
pub(crate) fn due(before: Instant, latency: Duration) -> Instant {
    before.max(Instant::now() + latency)
}
