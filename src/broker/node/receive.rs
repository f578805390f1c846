//! What comes in from other nodes.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use ferrymq_core::Refusal;
use ferrymq_queue::ConsumerKey;
use ferrymq_replication::{Lane, NodeId, Transport, TransportError};

use super::{Inner, leaders::Backstage};
use crate::{
    catalogue::CATALOGUE_GROUP,
    link::{Call, Hello, Notice, Receive, Reply, Tell, decode, encode},
};

impl Receive for Inner {
    fn greet(&self, hello: &Hello) -> Result<Hello, String> {
        let own = self.hello();
        if !same(&own.token, &hello.token) {
            return Err("the other node has another token; both must be of one cluster".into());
        }
        if !own.cluster_id.is_empty() && !hello.cluster_id.is_empty() && own.cluster_id != hello.cluster_id {
            return Err(format!("this node is of cluster {}, not of {}", own.cluster_id, hello.cluster_id));
        }
        let before = {
            let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
            runs.insert(hello.node, hello.run)
        };
        if hello.node != 0 && before.is_some_and(|before| before < hello.run) {
            // It has started again: what it held, it holds no more.
            self.release(hello.node);
        }
        Ok(own)
    }

    async fn raft(&self, group: u32, request: Bytes) -> Result<Bytes, String> {
        if group == CATALOGUE_GROUP {
            let open = self.catalogue.get().ok_or("this node is in no cluster yet")?;
            return open.group.handle(request).await;
        }
        let replica = self.replica(group).ok_or_else(|| format!("shard {group} is not on this node"))?;
        replica.group.handle(request).await
    }

    async fn call(&self, from: &Hello, request: Bytes) -> Result<Bytes, String> {
        let call = decode(&request).map_err(|error| error.to_string())?;
        if let Call::ReadLog { shard, queue, from, wait } = call {
            return self.read_log_here(shard, queue, from, wait).await.map(|batch| batch.encode());
        }
        self.answer_call(from.node, call).await.map(|reply| encode(&reply))
    }

    fn tell(&self, from: &Hello, message: Bytes) {
        match Tell::decode(message) {
            Ok(Tell::Submit { shard, request }) => {
                if let Some(replica) = self.replica(shard).filter(|replica| replica.group.leadership().borrow().leading)
                {
                    replica.intake.push(request);
                }
            }
            Ok(Tell::Deliver { shard, term, to, queue, messages }) => {
                self.deliver(shard, term, to.consumer, queue, messages);
            }
            Ok(Tell::Notice(notice)) => self.on_notice(from.node, notice),
            Err(error) => tracing::warn!(from = from.node, %error, "a message of another node cannot be read"),
        }
    }

    fn reachable(&self, node: NodeId, reachable: bool) {
        let Some(this) = self.this() else { return };
        this.on_reachable(node, reachable);
    }
}

impl Inner {
    pub(super) fn on_notice(&self, from: NodeId, notice: Notice) {
        match notice {
            Notice::Leads { shards, alarm, accepts, epoch } => self.on_leads(from, shards, alarm, accepts, epoch),
            Notice::Outcomes { shard, run, outcomes } => self.on_outcomes(shard, run, outcomes),
            Notice::Gone { consumer } => self.consumers().gone(consumer),
            Notice::Claims { shard, term, claims } => self.on_claims(from, shard, term, claims),
            Notice::Doubt => self.doubt(from),
            Notice::Archived { shards } => self.on_archived(shards),
            Notice::Detach { shard, queue, consumer } => {
                if let Some(replica) = self.replica(shard) {
                    replica.group.machine().detach(ConsumerKey { node: from, consumer }, queue);
                }
            }
            Notice::Grant { shard, queue, consumer, deliveries } => {
                if let Some(replica) = self.replica(shard) {
                    replica.group.machine().grant(ConsumerKey { node: from, consumer }, queue, deliveries);
                }
            }
        }
    }

    /// Answers a call of another node, or of this one.
    pub(super) async fn answer_call(&self, from: NodeId, call: Call) -> Result<Reply, String> {
        let text = |refusal: Refusal| refusal.to_string();
        Ok(match call {
            Call::Adopt { cluster_id, node, uuid, peers } => {
                self.adopt(cluster_id, node, &uuid, peers).await?;
                Reply::Done
            }
            Call::Join { ordinal, uuid, zone, version } => {
                self.let_join(ordinal, uuid, zone, version).await.map_err(text)?
            }
            Call::Propose { command } => match self.propose_here(command.into()).await {
                Ok((index, answer)) => Reply::Answer { index, answer },
                Err(_) => Reply::NotLeader,
            },
            Call::Count { shard, queues } => {
                let replica = self.replica(shard);
                let counts = replica.and_then(|replica| replica.group.machine().count(&queues));
                counts.map_or(Reply::NotLeader, Reply::Counts)
            }
            Call::Attach { shard, attachment } => {
                let replica = self.replica(shard);
                let attached = replica.and_then(|replica| replica.group.machine().attach(from, &attachment));
                attached.map_or(Reply::NotLeader, Reply::Attached)
            }
            Call::Get { shard, queue, number, again } => {
                let key = ConsumerKey { node: from, consumer: number };
                self.get_here(key, shard, queue, again).await.map_or(Reply::NotLeader, Reply::Got)
            }
            Call::Purge { shard, queue } => self.purge_here(shard, queue).await.map_or(Reply::NotLeader, Reply::Purged),
            Call::CatalogueIndex => {
                let view = self.catalogue.get().map(|open| open.group.view());
                view.filter(|view| view.leadership.leading).map_or(Reply::NotLeader, |view| Reply::Index(view.applied))
            }
            Call::FindInLog { shard, queue, position } => {
                self.find_in_log_here(shard, queue, position).map_or(Reply::NotLeader, Reply::Found)
            }
            Call::ReadLog { .. } => return Err("a log is read from another node".into()),
            Call::Leave { shard } => self.has_left(from, shard).map_or(Reply::NotLeader, Reply::Left),
            Call::BackUpShard { shard, backup } => {
                self.back_up_here(shard, &backup).map_or(Reply::NotLeader, Reply::ShardBackup)
            }
            Call::Report => Reply::Report { shards: self.own_report(), version: self.settings.version.clone() },
        })
    }

    fn this(&self) -> Option<Arc<Self>> {
        self.itself.upgrade()
    }

    pub(super) fn backstage(&self) -> Arc<Backstage> {
        Arc::new(Backstage(self.itself.clone()))
    }
}

impl Transport for Backstage {
    fn call(
        &self,
        target: NodeId,
        lane: Lane,
        group: u32,
        request: Bytes,
        timeout: std::time::Duration,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Bytes, TransportError>> + Send + '_>> {
        Box::pin(async move {
            match self.0.upgrade() {
                Some(node) => node.links.raft(target, lane, group, request, timeout).await,
                None => Err(TransportError::Unreachable { node: target, reason: "this node stops".into() }),
            }
        })
    }
}

/// Compares without telling by its time where they differ.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
