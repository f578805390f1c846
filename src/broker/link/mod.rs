//! Links: how nodes talk to each other.
//!
//! Each node dials every other one, three times: so that what is urgent (votes, heartbeats) never waits behind what is big
//! (entries), and neither behind messages. A request's answer comes back on the connection that it went out on.
//!
//! | file | what is in it |
//! |---|---|
//! | `frame.rs` | frames, and the hello that begins a connection |
//! | `connection.rs` | an open connection: frames out and in, pings |
//! | `network.rs` | [`Network`]: what carries connections: TCP, or a simulation |
//! | `dial.rs` | connections to one other node, kept up |
//! | `listen.rs` | connections from other nodes |
//! | `call.rs` | what nodes ask and tell each other |

mod call;
mod connection;
mod dial;
mod frame;
mod listen;
mod network;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use ferrymq_replication::{Lane, NodeId, TransportError};

pub(crate) use call::{
    Attachment, Call, Claimed, Claims, GetReply, Notice, QueueCounts, Reply, ShardReport, Shortage, Tell, decode,
    encode,
};
pub(crate) use dial::{Peer, ask};
pub(crate) use frame::Hello;
pub(crate) use listen::listen;
pub use network::{Listener, Network, Stream, Tcp};

/// What a node does with what comes in. Implemented once, by the node.
pub(crate) trait Receive: Send + Sync + 'static {
    /// Checks who says hello, and says hello itself; an error is told to the other side, and closes the connection.
    fn greet(&self, hello: &Hello) -> Result<Hello, String>;

    /// Answers a request to a group's replica.
    fn raft(&self, group: u32, request: Bytes) -> impl Future<Output = Result<Bytes, String>> + Send;

    /// Answers a call.
    fn call(&self, from: &Hello, request: Bytes) -> impl Future<Output = Result<Bytes, String>> + Send;

    /// Takes what is told; must not wait.
    fn tell(&self, from: &Hello, message: Bytes);

    /// A node came within reach, or went out of it.
    fn reachable(&self, node: NodeId, reachable: bool);
}

/// The links to all other nodes.
pub(crate) struct Links {
    peers: RwLock<HashMap<NodeId, Arc<Peer>>>,
}

impl Links {
    pub(crate) fn new() -> Self {
        Self { peers: RwLock::default() }
    }

    /// Makes the links these: new ones are dialled, others are closed. Gives the nodes of those.
    pub(crate) fn set(&self, wanted: &HashMap<NodeId, String>, dial: impl Fn(NodeId, &str) -> Peer) -> Vec<NodeId> {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        let mut closed = Vec::new();
        peers.retain(|node, peer| {
            let stays = wanted.get(node).is_some_and(|address| address == peer.address());
            closed.extend((!stays).then_some(*node));
            stays
        });
        for (node, address) in wanted {
            peers.entry(*node).or_insert_with(|| Arc::new(dial(*node, address)));
        }
        closed
    }

    pub(crate) fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    pub(crate) fn peers(&self) -> Vec<(NodeId, Arc<Peer>)> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).iter().map(|(id, peer)| (*id, peer.clone())).collect()
    }

    /// Closes all of them.
    pub(crate) fn close(&self) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) async fn raft(
        &self,
        target: NodeId,
        lane: Lane,
        group: u32,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        let Some(peer) = self.peer(target) else {
            return Err(TransportError::Unreachable { node: target, reason: "it is no member of this cluster".into() });
        };
        peer.raft(lane, group, request, timeout).await
    }
}
