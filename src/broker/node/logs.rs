//! Reading logs from whichever replica, and what retention removes of them.

use std::time::Duration;

use ferrymq_core::{LogPosition, Refusal};
use ferrymq_queue::QueueId;
use ferrymq_replication::{NodeId, task};

use super::Inner;
use crate::{
    catalogue::Retention,
    link::{Call, Reply, encode},
    refusal::unavailable,
    shard::{LogBatch, LogRead},
};

/// How long a reader waits at a replica before it looks again whether that one, and the log, are still there.
const WAIT: Duration = Duration::from_secs(2);
/// How long an answer may take beyond that.
const DISTANCE: Duration = Duration::from_secs(5);

impl Inner {
    /// The number of the message at a position of a log.
    pub(crate) async fn find_in_log(&self, shard: u32, queue: QueueId, at: LogPosition) -> Result<u64, Refusal> {
        match self.ask_leader(shard, &Call::FindInLog { shard, queue: queue.get(), position: at }).await? {
            Reply::Found(number) => Ok(number),
            _ => Err(unavailable("the log's leader gave an answer that makes no sense")),
        }
    }

    pub(super) fn find_in_log_here(&self, shard: u32, queue: u64, position: LogPosition) -> Option<u64> {
        self.replica(shard)?.group.machine().find_in_log(QueueId::new(queue)?, position)
    }

    /// Messages of a log from this one on, from this node's replica, or from another's where it has none. `None` where the
    /// log is gone.
    ///
    /// # Errors
    ///
    /// No node that has a replica answers: to be tried again a little later.
    pub(crate) async fn read_log(&self, queue: QueueId, from: u64) -> Result<Option<LogBatch>, Refusal> {
        let found = self.catalogue(|catalogue| {
            let (_, _, record) = catalogue.queue_by_id(queue)?;
            let placed = catalogue.records.shards.get(&record.shard)?;
            Some((record.shard, placed.placed_on.clone()))
        })?;
        let Some((shard, placed_on)) = found else { return Ok(None) };
        // One that is being moved away from here may stop to follow.
        if placed_on.contains(&self.id())
            && let Some(replica) = self.replica(shard)
        {
            return Ok(Some(replica.read_log(&self.reader, &LogRead { queue, from, wait: WAIT }).await));
        }
        let leader = self.leaders.of(shard).filter(|leader| placed_on.contains(leader));
        let others = placed_on.iter().copied().filter(|node| Some(*node) != leader);
        for node in leader.into_iter().chain(others) {
            if let Some(batch) = self.read_log_from(node, shard, queue, from).await {
                return Ok(Some(batch));
            }
        }
        Err(unavailable("no broker that keeps the log answers"))
    }

    async fn read_log_from(&self, node: NodeId, shard: u32, queue: QueueId, from: u64) -> Option<LogBatch> {
        let peer = self.links.peer(node)?;
        let _one_of_few = self.distant_reads.acquire().await.ok()?;
        let wait = u32::try_from(WAIT.as_millis()).unwrap_or(u32::MAX);
        let call = encode(&Call::ReadLog { shard, queue: queue.get(), from, wait });
        LogBatch::decode(peer.call(call, WAIT + DISTANCE).await.ok()?).ok()
    }

    pub(super) async fn read_log_here(&self, shard: u32, queue: u64, from: u64, wait: u32) -> Result<LogBatch, String> {
        let replica = self.replica(shard).ok_or_else(|| format!("shard {shard} is not on this node"))?;
        let queue = QueueId::new(queue).ok_or("no log has the number 0")?;
        let wait = Duration::from_millis(wait.into()).min(WAIT);
        Ok(replica.read_log(&self.reader, &LogRead { queue, from, wait }).await)
    }

    /// Removes what is too old or too much from the logs that this node leads. Every replica removes the same, because the
    /// leader says up to which message.
    pub(super) fn trim_logs(&self) {
        let bounded = self.catalogue(|catalogue| {
            let bounded = catalogue.logs.queues.iter().filter(|(_, kept)| **kept != Retention::default());
            let found = bounded.filter_map(|(id, kept)| {
                let id = QueueId::new(*id)?;
                Some((id, catalogue.queue_by_id(id)?.2.shard, *kept))
            });
            found.collect::<Vec<_>>()
        });
        let now = task::time_of_day();
        for (queue, shard, kept) in bounded.unwrap_or_default() {
            let Some(replica) = self.replica(shard).filter(|replica| replica.group.leadership().borrow().leading)
            else {
                continue;
            };
            let before = kept.age.map(|age| now.saturating_sub(age));
            let surplus = {
                let state = replica.group.machine();
                state.machine().queue(queue).and_then(|queue| queue.surplus(before, kept.bytes))
            };
            if let Some(upto) = surplus {
                tracing::debug!(shard, queue, upto, "a log is trimmed");
                self.put(shard, None, |commands| commands.trim(queue, upto));
            }
        }
    }
}
