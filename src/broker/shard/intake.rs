//! Requests of all nodes for a shard that this one leads, put together into entries: what gathers while the last entries
//! are on their way makes the next one. A lone request never waits.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::BytesMut;
use ferrymq_queue::{Outcome, Request, decode_outcomes, encode_request};
use ferrymq_replication::{Group, NodeId, Pending, task};
use tokio::sync::{Notify, Semaphore};

use super::ShardState;

/// Bytes of an entry at which the next one begins.
const ENTRY_BYTES: usize = 2 << 20;
/// Entries on their way at a time.
const ENTRIES_UNDER_WAY: usize = 3;

/// A node, and which of its runs.
type NodeRun = (NodeId, u64);
/// Who made a request, and its sequence.
type Asked = (NodeRun, u64);

/// What waits to be proposed.
#[derive(Default)]
pub(crate) struct Intake {
    waiting: Mutex<Vec<Request>>,
    arrived: Notify,
}

/// Where outcomes go: node and run, and sequence and outcome of each of its requests.
pub(crate) trait Answers: Send + Sync + 'static {
    fn answer(&self, shard: u32, to: NodeRun, outcomes: Vec<(u64, Outcome)>);
}

impl Intake {
    /// Takes a request; requests of one node stay in order.
    pub(crate) fn push(&self, request: Request) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        self.arrived.notify_one();
    }

    /// Proposes what arrives, until this is dropped.
    pub(crate) async fn run(self: Arc<Self>, group: Arc<Group<ShardState>>, answers: Arc<dyn Answers>) {
        let under_way = Arc::new(Semaphore::new(ENTRIES_UNDER_WAY));
        loop {
            self.arrived.notified().await;
            loop {
                let Ok(permit) = under_way.clone().acquire_owned().await else { return };
                let Some((requests, entry)) = self.next_entry() else { break };
                // Where another node leads, its nodes send it again.
                let Ok(pending) = group.propose(entry.freeze()).await else { continue };
                let (answers, shard) = (answers.clone(), group.id());
                task::spawn(async move {
                    answer(pending, requests, shard, &*answers).await;
                    drop(permit);
                });
            }
        }
    }

    fn next_entry(&self) -> Option<(Vec<Asked>, BytesMut)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return None;
        }
        let mut bytes = 0;
        let fits = waiting.iter().position(|request| {
            bytes += request.commands.len();
            bytes > ENTRY_BYTES
        });
        let taken = fits.unwrap_or(waiting.len()).max(1);
        let rest = waiting.split_off(taken);
        let taken = mem::replace(&mut *waiting, rest);
        drop(waiting);
        let mut entry = BytesMut::with_capacity(taken.iter().map(|request| request.commands.len() + 28).sum());
        let requests = taken.iter().map(|request| ((request.node, request.session), request.sequence)).collect();
        taken.iter().for_each(|request| encode_request(request, &mut entry));
        Some((requests, entry))
    }
}

async fn answer(pending: Pending, requests: Vec<Asked>, shard: u32, answers: &dyn Answers) {
    let Ok((_, reply)) = pending.applied().await else { return };
    let Ok(outcomes) = decode_outcomes(reply) else { return };
    let mut by_node: Vec<(NodeRun, Vec<(u64, Outcome)>)> = Vec::new();
    for ((node, sequence), outcome) in requests.into_iter().zip(outcomes) {
        match by_node.iter_mut().find(|(known, _)| *known == node) {
            Some((_, list)) => list.push((sequence, outcome)),
            None => by_node.push((node, vec![(sequence, outcome)])),
        }
    }
    for (node, outcomes) in by_node {
        answers.answer(shard, node, outcomes);
    }
}
