//! Changing the catalogue, asking a shard's leader, putting commands into a shard.

use std::time::Duration;

use bytes::Bytes;
use ferrymq_core::{Refusal, Settlement};
use ferrymq_queue::{CommandWriter, ConsumerKey, QueueId, Request};
use ferrymq_replication::{NodeId, ProposeError};
use tokio::time::{Instant, timeout, timeout_at};

use super::Inner;
use crate::{
    catalogue::{Answer, CatalogueMachine, Command, Owner},
    gateway::{Left, Submit, Waiter, complete},
    link::{Call, GetReply, Notice, QueueCounts, Reply, Tell, decode, encode},
    refusal::unavailable,
    session::done,
    shard::Taken,
};

/// How long a request waits for a leader before it is refused.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

impl Inner {
    /// Changes the catalogue, and waits until this node's own copy has the change.
    pub(crate) async fn change(&self, command: Command) -> Result<Answer, Refusal> {
        let bytes = CatalogueMachine::encode(&command).map_err(|error| unavailable(&error.to_string()))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match timeout(ATTEMPT, self.propose_anywhere(&bytes)).await {
                Ok(Some((index, answer))) => {
                    self.wait_applied(index).await;
                    return CatalogueMachine::decode(&answer).map_err(|error| unavailable(&error.to_string()));
                }
                _ if Instant::now() >= until => {
                    return Err(unavailable(
                        "the cluster has no majority of its brokers; wait until enough of them run",
                    ));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn propose_anywhere(&self, command: &bytes::Bytes) -> Option<(u64, Vec<u8>)> {
        let open = self.catalogue.get()?;
        let leader = open.group.leadership().borrow().leader?;
        if leader == self.id() {
            return self.propose_here(command.clone()).await.ok();
        }
        let call = encode(&Call::Propose { command: command.to_vec() });
        let reply = self.links.peer(leader)?.call(call, ATTEMPT).await.ok()?;
        match decode(&reply) {
            Ok(Reply::Answer { index, answer }) => Some((index, answer)),
            _ => None,
        }
    }

    /// Proposes a command of the catalogue, where this node leads it.
    pub(super) async fn propose_here(&self, command: bytes::Bytes) -> Result<(u64, Vec<u8>), ProposeError> {
        let open = self.catalogue.get().ok_or(ProposeError::NotLeader)?;
        let (index, answer) = open.group.propose(command).await?.applied().await?;
        Ok((index, answer.to_vec()))
    }

    async fn wait_applied(&self, index: u64) {
        let Some(open) = self.catalogue.get() else { return };
        let mut applied = open.applied.clone();
        let until = Instant::now() + PATIENCE;
        // A copy that came by a snapshot does not count commands, so that is looked at too.
        while *applied.borrow_and_update() < index && open.group.view().applied < index && Instant::now() < until {
            if let Ok(Err(_)) = timeout(PAUSE, applied.changed()).await {
                return;
            }
        }
    }

    /// Waits until this node knows all changes of the catalogue that were answered before this call, or gives up after a
    /// few seconds: then it knows what it knew.
    pub(crate) async fn catch_up(&self) {
        let Some(open) = self.catalogue.get() else { return };
        let leader = open.group.leadership().borrow().leader;
        let Some(peer) = leader.filter(|leader| *leader != self.id()).and_then(|leader| self.links.peer(leader)) else {
            return;
        };
        let Ok(reply) = peer.call(encode(&Call::CatalogueIndex), ATTEMPT).await else { return };
        if let Ok(Reply::Index(index)) = decode(&reply) {
            self.wait_applied(index).await;
        }
    }

    /// Asks whoever leads a shard, and again where that changes.
    pub(crate) async fn ask_leader(&self, shard: u32, call: &Call) -> Result<Reply, Refusal> {
        let bytes = encode(call);
        self.ask_leader_or_again(shard, |_| bytes.clone()).await
    }

    /// The same, where the question differs when it is asked again.
    async fn ask_leader_or_again(&self, shard: u32, call: impl Fn(bool) -> Bytes) -> Result<Reply, Refusal> {
        let until = Instant::now() + PATIENCE;
        let mut changes = self.leaders.changes();
        let mut again = false;
        loop {
            changes.borrow_and_update();
            if let Some(reply) = self.ask_leader_once(shard, &call(again)).await {
                return Ok(reply);
            }
            again = true;
            if Instant::now() >= until {
                return Err(unavailable("the queue has no leader; wait until a majority of its brokers run"));
            }
            // A leader may also be there and not ready: so not only its change is waited for.
            let _ = timeout_at(Instant::now() + PAUSE, changes.changed()).await;
        }
    }

    async fn ask_leader_once(&self, shard: u32, call: &Bytes) -> Option<Reply> {
        let leader = self.leaders.of(shard)?;
        let reply = if leader == self.id() {
            self.answer_call(leader, decode(call).ok()?).await.ok()?
        } else {
            decode(&self.links.peer(leader)?.call(call.clone(), ATTEMPT).await.ok()?).ok()?
        };
        (!matches!(reply, Reply::NotLeader)).then_some(reply)
    }

    /// Counts queues of one shard.
    pub(crate) async fn count(&self, shard: u32, queues: Vec<u64>) -> Result<Vec<QueueCounts>, Refusal> {
        match self.ask_leader(shard, &Call::Count { shard, queues }).await? {
            Reply::Counts(counts) => Ok(counts),
            _ => Err(unavailable("the queue's leader gave an answer that makes no sense")),
        }
    }

    /// Puts commands into a shard. They take effect once, in the order of these calls.
    pub(crate) fn put(&self, shard: u32, waiter: Option<Waiter>, put: impl FnOnce(&mut CommandWriter)) {
        self.outbox(shard).push(self, waiter, put);
    }

    /// Whether something that this node put into a shard has not taken effect yet.
    pub(crate) fn has_under_way(&self, shard: u32) -> bool {
        !self.outbox(shard).is_idle()
    }

    /// What became of requests of a run of this node.
    pub(super) fn on_outcomes(&self, shard: u32, run: u64, outcomes: Vec<(u64, Option<u64>)>) {
        if run != self.run() {
            return;
        }
        let outbox = self.outbox(shard);
        for (sequence, wanted) in outcomes {
            match wanted {
                None => complete(outbox.took_effect(self, sequence), self.consumers()),
                Some(wanted) => outbox.send_again(self, wanted),
            }
        }
    }

    /// Makes a queue in its shard, and waits until it is there.
    pub(crate) async fn create_in_shard(&self, shard: u32, queue: QueueId) -> Result<(), Refusal> {
        let (waiter, told) = done();
        self.put(shard, Some(waiter), |commands| commands.create(queue));
        match timeout(PATIENCE, told).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(unavailable("the queue has no leader; wait until a majority of its brokers run")),
        }
    }

    /// Deletes a queue in its shard.
    pub(crate) fn delete_in_shard(&self, shard: u32, queue: QueueId) {
        self.put(shard, None, |commands| commands.delete(queue));
    }

    /// Settles messages.
    pub(crate) fn settle(&self, shard: u32, queue: QueueId, messages: Vec<u64>, settlement: Settlement) {
        tracing::trace!(node = self.id(), shard, queue = queue.get(), ?messages, ?settlement, "settles");
        let given_back = self.consumers().settling(queue, &messages, settlement);
        let waiter = Waiter::Settled { queue, messages: messages.clone() };
        #[cfg(feature = "simulation")]
        if ferrymq_replication::simulation::Flaw::DropSettlement.strikes(20) {
            return complete(vec![waiter], self.consumers());
        }
        self.put(shard, Some(waiter), |commands| match settlement {
            Settlement::Accept => commands.accept(queue, &messages),
            Settlement::Requeue => commands.requeue(queue, self.id(), &given_back),
            Settlement::Discard => commands.discard(queue, &messages),
        });
    }

    /// Removes what is ready in a queue of a shard that this node leads.
    pub(super) async fn purge_here(&self, shard: u32, queue: u64) -> Option<u64> {
        let replica = self.replica(shard)?;
        let (upto, held, count) = replica.group.machine().purge(queue)?;
        if let Some(queue) = QueueId::new(queue).filter(|_| count > 0) {
            let (waiter, told) = done();
            self.put(shard, Some(waiter), |commands| commands.purge(queue, upto, &held));
            timeout(PATIENCE, told).await.ok()?.ok()?;
        }
        Some(count)
    }

    /// Takes a message for a get, where this node leads the shard.
    pub(super) async fn get_here(
        &self,
        key: ConsumerKey,
        shard: u32,
        queue: u64,
        again: bool,
    ) -> Option<Option<GetReply>> {
        let replica = self.replica(shard)?;
        let taken = replica.group.machine().get(key, queue, again)?;
        Some(match taken {
            Taken::Nothing => None,
            Taken::Message(reply) => Some(reply),
            Taken::Elsewhere(reply, place) => {
                let bytes = replica.message(QueueId::new(queue)?, place).await?;
                Some(GetReply { bytes: bytes.to_vec(), ..reply })
            }
        })
    }

    /// Takes a message for a session, where there is one.
    pub(crate) async fn get(&self, shard: u32, queue: QueueId, session: u64) -> Result<Option<GetReply>, Refusal> {
        let until = Instant::now() + PATIENCE;
        loop {
            let getting = Getting { node: self, number: self.consumers().get_begins(shard) };
            let number = getting.number;
            let call = |again| encode(&Call::Get { shard, queue: queue.get(), number, again });
            let Reply::Got(got) = self.ask_leader_or_again(shard, call).await? else {
                return Err(unavailable("the queue's leader gave an answer that makes no sense"));
            };
            let Some(got) = got else {
                getting.took_nothing();
                return Ok(None);
            };
            if self.consumers().took(number, got.term, queue, got.holding, session) {
                return Ok(Some(got));
            }
            if Instant::now() >= until {
                return Err(unavailable("the queue changes its leader again and again; try again later"));
            }
        }
    }

    /// Detaches all consumers of queues; what is on its way to them still comes.
    pub(super) fn stop_deliveries(&self) {
        for (consumer, shard, queue) in self.consumers().attached() {
            self.tell_leader(shard, Notice::Detach { shard, queue, consumer });
        }
    }

    /// Detaches a consumer.
    pub(crate) fn detach(&self, consumer: u64) {
        if let Some((shard, queue)) = self.consumers().remove(consumer) {
            self.tell_leader(shard, Notice::Detach { shard, queue, consumer });
        }
    }

    /// A consumer has passed on so many deliveries.
    pub(crate) fn grant(&self, consumer: u64, deliveries: u32) {
        if let Some((shard, queue, deliveries)) = self.consumers().passed_on(consumer, deliveries) {
            self.tell_leader(shard, Notice::Grant { shard, queue, consumer, deliveries });
        }
    }

    fn tell_leader(&self, shard: u32, notice: Notice) {
        // Where the leader changes, the next one is told all there is.
        let Some(leader) = self.leaders.of(shard) else { return };
        if leader == self.id() {
            self.on_notice(leader, notice);
        } else if let Some(peer) = self.links.peer(leader) {
            peer.tell(Tell::Notice(notice).encode());
        }
    }

    /// A session is gone: its consumers go, what it holds goes back, its queues are deleted.
    pub(crate) fn close_session(self: &std::sync::Arc<Self>, owner: Owner, host: &str) {
        let Left { consumers, held } = self.consumers().remove_session(owner.session);
        for (consumer, shard, queue) in consumers {
            self.tell_leader(shard, Notice::Detach { shard, queue, consumer });
        }
        for (shard, queue, messages) in held {
            self.settle(shard, queue, messages, Settlement::Requeue);
        }
        let own = self.catalogue(|catalogue| {
            let content = catalogue.records.virtual_hosts.get(host);
            let queues = content.into_iter().flat_map(|content| &content.queues);
            let own = queues.filter(|(_, queue)| queue.exclusive == Some(owner));
            own.map(|(name, queue)| (name.clone(), queue.shard, queue.id)).collect::<Vec<_>>()
        });
        let Ok(own) = own else { return };
        if own.is_empty() || self.is_stopping() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (this, host) = (self.clone(), host.to_owned());
        self.spawn(async move {
            for (name, shard, id) in own {
                let command = Command::DeleteQueue { virtual_host: host.clone(), name, id: Some(id) };
                if let Err(error) = this.change(command).await {
                    tracing::warn!(%error, "an exclusive queue was not deleted with its connection; it is when this broker starts again");
                } else if let Some(queue) = QueueId::new(id) {
                    this.delete_in_shard(shard, queue);
                }
            }
        });
    }

    /// Waits while publishers are to wait.
    pub(crate) async fn until_not_blocked(&self) {
        if self.blocked.borrow().is_some() {
            let mut blocked = self.blocked.subscribe();
            // The sender lives as long as this does.
            let _ = blocked.wait_for(Option::is_none).await;
        }
    }
}

/// A get that is under way. Where it is given up, the leader is told that it is not known what it took.
struct Getting<'a> {
    node: &'a Inner,
    number: u64,
}

impl Getting<'_> {
    fn took_nothing(self) {
        self.node.consumers().get_ends(self.number);
    }
}

impl Drop for Getting<'_> {
    fn drop(&mut self) {
        if let Some(shard) = self.node.consumers().get_ends(self.number) {
            self.node.tell_leader(shard, Notice::Doubt);
        }
    }
}

impl Submit for Inner {
    fn submit(&self, shard: u32, request: Request) {
        let Some(leader): Option<NodeId> = self.leaders.of(shard) else { return };
        if leader == self.id() {
            if let Some(replica) = self.replica(shard) {
                replica.intake.push(request);
            }
        } else if let Some(peer) = self.links.peer(leader) {
            peer.tell(Tell::Submit { shard, request }.encode());
        }
    }
}
