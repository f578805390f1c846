//! The messages between the replicas of a group, and who carries them.

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ferrymq_wire::{Reader, Write};
use openraft::{
    EmptyNode, OptionalSend, RaftNetworkFactory,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption, v2::RaftNetworkV2},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
        VoteRequest, VoteResponse,
    },
};

use crate::{
    codec,
    disk_reader::reading,
    log::{GroupLog, KeptEntry},
    log_index,
    state::Saved,
    types::{GroupId, NodeId, Snapshot, Types, Vote},
};

pub(crate) const APPEND: u8 = 1;
pub(crate) const VOTE: u8 = 2;
pub(crate) const PRE_VOTE: u8 = 3;
pub(crate) const SNAPSHOT: u8 = 4;
pub(crate) const TRANSFER: u8 = 5;

/// What a piece of a snapshot is: its beginning, answered by the index up to which the other has all entries that the
/// state needs; entries that it needs; a part of the state.
pub(crate) const SNAPSHOT_BEGINS: u8 = 0;
pub(crate) const SNAPSHOT_ENTRIES: u8 = 1;
pub(crate) const SNAPSHOT_STATE: u8 = 2;

/// Bytes of a snapshot sent at a time.
const CHUNK: usize = 512 << 10;
/// How long one chunk, or the installing of the whole after the last one, may take.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

/// Which of the connections to another node a message takes, so that what is urgent never waits behind what is big.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Votes and heartbeats: small and urgent.
    Control,
    /// Entries and snapshots.
    Bulk,
}

/// Carries messages between nodes. Cheap to call; each call ends within its timeout.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request to a group's replica on another node, and gives its answer ([`Group::handle`](crate::Group::handle)).
    fn call(
        &self,
        target: NodeId,
        lane: Lane,
        group: GroupId,
        request: Bytes,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, TransportError>> + Send + '_>>;
}

/// Why no answer came.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// There is no connection.
    #[error("node {node} cannot be reached: {reason}")]
    Unreachable {
        /// The node.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// It did not answer in time, or not with an answer.
    #[error("node {node} did not answer: {reason}")]
    Failed {
        /// The node.
        node: NodeId,
        /// What happened.
        reason: String,
    },
}

/// Makes openraft's connections for one group.
pub(crate) struct Network {
    pub(crate) group: GroupId,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) log: GroupLog,
}

impl Network {
    fn connection(&self, target: NodeId, lane: Lane) -> Connection {
        Connection { group: self.group, target, lane, transport: self.transport.clone(), log: self.log.clone() }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: NodeId, _node: &EmptyNode) -> Connection {
        self.connection(target, Lane::Bulk)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, _node: &EmptyNode) -> Connection {
        self.connection(target, Lane::Control)
    }
}

/// One group's way to its replica on another node.
pub(crate) struct Connection {
    group: GroupId,
    target: NodeId,
    lane: Lane,
    transport: Arc<dyn Transport>,
    log: GroupLog,
}

impl Connection {
    async fn call(&self, lane: Lane, request: BytesMut, timeout: Duration) -> Result<Bytes, RPCError<Types>> {
        self.transport.call(self.target, lane, self.group, request.freeze(), timeout).await.map_err(|error| match error
        {
            TransportError::Unreachable { .. } => RPCError::Unreachable(Unreachable::new(&error)),
            TransportError::Failed { .. } => RPCError::Network(NetworkError::new(&error)),
        })
    }

    /// Sends the entries that the state needs, and then the state. What the other has already is not sent again.
    async fn send_snapshot(
        &self,
        vote: &Vote,
        snapshot: &Snapshot,
    ) -> Result<SnapshotResponse<Types>, RPCError<Types>> {
        let upto = snapshot.meta.last_log_id.map_or(0, |id| id.index);
        let (theirs, mut have) = self.send_piece(vote, snapshot, SNAPSHOT_BEGINS, |_| ()).await?;
        if theirs != *vote {
            return Ok(SnapshotResponse::new(theirs));
        }
        loop {
            let (log, from) = (self.log.clone(), have.saturating_add(1));
            let entries = reading(move || log.needed(from, upto, CHUNK)).await;
            let entries = entries.map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
            let Some((last, _)) = entries.last() else { break };
            have = *last;
            let (theirs, _) =
                self.send_piece(vote, snapshot, SNAPSHOT_ENTRIES, |out| put_entries(out, &entries)).await?;
            if theirs != *vote {
                return Ok(SnapshotResponse::new(theirs));
            }
        }
        let mut offset = 0;
        loop {
            let saved = snapshot.snapshot.clone();
            let chunk = reading(move || saved.read(offset, CHUNK)).await;
            let chunk = chunk.map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
            let last = offset + chunk.len() as u64 == snapshot.snapshot.length();
            let put = |out: &mut BytesMut| {
                out.write_u64(offset);
                out.write_u8(u8::from(last));
                out.extend_from_slice(&chunk);
            };
            let (theirs, _) = self.send_piece(vote, snapshot, SNAPSHOT_STATE, put).await?;
            if last || theirs != *vote {
                return Ok(SnapshotResponse::new(theirs));
            }
            offset += chunk.len() as u64;
        }
    }

    /// Sends a piece of a snapshot; gives their vote, and up to where they have the entries.
    async fn send_piece(
        &self,
        vote: &Vote,
        snapshot: &Snapshot,
        kind: u8,
        put: impl FnOnce(&mut BytesMut),
    ) -> Result<(Vote, u64), RPCError<Types>> {
        let mut out = BytesMut::with_capacity(CHUNK + 256);
        out.write_u8(SNAPSHOT);
        codec::put_vote(&mut out, vote);
        codec::put_snapshot_meta(&mut out, &snapshot.meta);
        out.write_u8(kind);
        put(&mut out);
        let mut answer = Reader::new(self.call(Lane::Bulk, out, CHUNK_TIMEOUT).await?);
        Ok((codec::take_vote(&mut answer).map_err(malformed)?, answer.u64("entries").map_err(malformed)?))
    }
}

fn put_entries(out: &mut BytesMut, entries: &[KeptEntry]) {
    for (index, record) in entries {
        out.write_u64(*index);
        out.write_bytes(record);
    }
}

fn malformed(error: ferrymq_wire::Malformed) -> RPCError<Types> {
    RPCError::Network(NetworkError::new(&error))
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = Saved;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let size: usize = request.entries.iter().map(|entry| log_index::size(&entry.payload)).sum();
        let mut out = BytesMut::with_capacity(128 + size);
        out.write_u8(APPEND);
        codec::put_append(&mut out, &request);
        let lane = if request.entries.is_empty() { Lane::Control } else { self.lane };
        codec::take_append_response(self.call(lane, out, option.hard_ttl()).await?).map_err(malformed)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let mut out = BytesMut::with_capacity(64);
        out.write_u8(VOTE);
        codec::put_vote_request(&mut out, &request);
        codec::take_vote_response(self.call(Lane::Control, out, option.hard_ttl()).await?).map_err(malformed)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let mut out = BytesMut::with_capacity(64);
        out.write_u8(PRE_VOTE);
        codec::put_vote_request(&mut out, &request);
        codec::take_vote_response(self.call(Lane::Control, out, option.hard_ttl()).await?).map_err(malformed)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(&vote, &snapshot) => sent.map_err(StreamingError::from),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let mut out = BytesMut::with_capacity(64);
        out.write_u8(TRANSFER);
        codec::put_transfer(&mut out, &request);
        let answer = self.call(Lane::Control, out, option.hard_ttl()).await?;
        // Where it was refused, the election that does not come tells the leader so.
        match answer.first() {
            Some(1) => Ok(Ok(())),
            _ => Err(RPCError::Network(NetworkError::new(&io::Error::other("the transfer was refused")))),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(Duration::from_millis(100))))
    }
}
