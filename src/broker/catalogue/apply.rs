//! Each command's effect.

use ferrymq_queue::QueueId;

use super::{
    Catalogue,
    command::{Answer, Command, Denied, KindName},
    records::{BindingRecord, ExchangeRecord, NodeRecord, Owner, QueueRecord, UserRecord},
    state::BUILT_IN_EXCHANGES,
};

impl Catalogue {
    /// Applies a command, on every node alike.
    pub(crate) fn apply(&mut self, command: Command) -> Answer {
        if let Command::Form { cluster_id, default_mirrors, nodes, users } = command {
            return self.form(cluster_id, default_mirrors, nodes, users);
        }
        if let Command::FormRestored(formation) = command {
            return self.form_restored(*formation);
        }
        if !self.is_formed() {
            return denied(Denied::Not { reason: "the cluster is not formed yet".into() });
        }
        match command {
            Command::Form { .. } | Command::FormRestored(_) => Answer::Done,
            Command::AddNode(node) => self.add_node(node),
            Command::NodeStarted { node, run, version } => self.node_started(node, run, version),
            Command::ForgetNode { node } => {
                self.records.nodes.remove(&node);
                Answer::Done
            }
            Command::ShardBegun { shard } => {
                if let Some(record) = self.records.shards.get_mut(&shard) {
                    record.begun = true;
                }
                Answer::Done
            }
            Command::DeclareExchange { virtual_host, name, exchange } => {
                self.declare_exchange(&virtual_host, &name, exchange)
            }
            Command::DeleteExchange { virtual_host, name, if_unused } => {
                self.delete_exchange(&virtual_host, &name, if_unused)
            }
            Command::DeclareQueue { virtual_host, name, durable, auto_delete, exclusive, mirrors } => {
                self.declare_queue(&virtual_host, &name, durable, auto_delete, exclusive, mirrors)
            }
            Command::DeleteQueue { virtual_host, name, id } => self.delete_queue(&virtual_host, &name, id),
            Command::Bind { virtual_host, binding } => self.bind(&virtual_host, binding),
            Command::Unbind { virtual_host, binding } => self.unbind(&virtual_host, &binding),
            Command::PutUser { name, user } => self.put_user(name, user),
            Command::DeclareTopic { topic, empty } => self.declare_topic(topic, &empty),
            Command::RemoveTopic { virtual_host, name, owner_uid, delete } => {
                self.remove_topic(&virtual_host, &name, &owner_uid, delete)
            }
            Command::DeclareLog { virtual_host, name, mirrors, retention } => {
                self.declare_log(&virtual_host, &name, mirrors, retention)
            }
            Command::DeclareTopicWithLog { topic, empty, log } => self.declare_topic_with_log(topic, &empty, log),
            Command::SetDraining { ordinal, draining } => self.set_draining(ordinal, draining),
            Command::RemoveNode { ordinal } => self.remove_node(ordinal),
            Command::DeclareUser { user, password_hash } => self.declare_user(user, password_hash),
            Command::RemoveUser { name, owner_uid, delete } => self.remove_user(&name, &owner_uid, delete),
            Command::ShardRestored { shard } => self.shard_restored(shard),
            Command::RestoreProblem { shard, problem } => self.restore_problem(shard, problem),
        }
    }

    fn form(
        &mut self,
        cluster_id: String,
        default_mirrors: u8,
        nodes: Vec<NodeRecord>,
        users: Vec<(String, UserRecord)>,
    ) -> Answer {
        if self.is_formed() {
            return Answer::Done;
        }
        self.records.cluster_id = cluster_id;
        self.records.default_mirrors = default_mirrors;
        for node in nodes {
            self.records.next_node += 1;
            self.records.nodes.insert(self.records.next_node, node);
        }
        self.records.users = users.into_iter().collect();
        self.user_index.version += 1;
        self.add_virtual_host("/");
        self.shard_for(default_mirrors);
        Answer::Done
    }

    fn node_started(&mut self, node: u64, run: u64, version: String) -> Answer {
        if let Some(record) = self.records.nodes.get_mut(&node) {
            record.run = record.run.max(run);
            record.version = version;
        }
        Answer::Gone { queues: self.remove_exclusive(|owner| owner.node == node && owner.run < run) }
    }

    /// Removes the exclusive queues of these owners; gives their ids and shards.
    pub(super) fn remove_exclusive(&mut self, of: impl Fn(Owner) -> bool) -> Vec<(u64, u32)> {
        let left: Vec<(String, String)> = self
            .records
            .virtual_hosts
            .iter()
            .flat_map(|(host, content)| content.queues.iter().map(move |(name, queue)| (host, name, queue)))
            .filter(|(_, _, queue)| queue.exclusive.is_some_and(&of))
            .map(|(host, name, _)| (host.clone(), name.clone()))
            .collect();
        let gone = left.iter().filter_map(|(host, name)| self.remove_queue(host, name));
        gone.map(|queue| (queue.id, queue.shard)).collect()
    }

    fn declare_exchange(&mut self, host: &str, name: &str, exchange: ExchangeRecord) -> Answer {
        let Some(content) = self.records.virtual_hosts.get(host) else { return no_virtual_host(host) };
        match content.exchanges.get(name) {
            None => self.add_exchange(host, name, exchange),
            Some(current) => {
                if let Some(answer) = exchange_differs(name, &exchange, current) {
                    return answer;
                }
            }
        }
        Answer::Done
    }

    fn delete_exchange(&mut self, host: &str, name: &str, if_unused: bool) -> Answer {
        if !self.records.virtual_hosts.contains_key(host) {
            return no_virtual_host(host);
        }
        if if_unused && !self.is_unused(host, name) {
            return denied(Denied::InUse { kind: KindName::Exchange, name: name.to_owned() });
        }
        if !BUILT_IN_EXCHANGES.iter().any(|(built_in, _)| *built_in == name) {
            self.remove_exchange(host, name);
        }
        Answer::Done
    }

    pub(super) fn declare_queue(
        &mut self,
        host: &str,
        name: &str,
        durable: bool,
        auto_delete: bool,
        exclusive: Option<Owner>,
        mirrors: Option<u8>,
    ) -> Answer {
        let Some(content) = self.records.virtual_hosts.get(host) else { return no_virtual_host(host) };
        if let Some(current) = content.queues.get(name) {
            let differs = self.is_log_instead(name, current.id);
            return differs
                .or_else(|| queue_differs(name, durable, auto_delete, exclusive, current))
                .unwrap_or(Answer::Queue { id: current.id, shard: current.shard, made: false });
        }
        let mirrors = mirrors.unwrap_or(self.records.default_mirrors);
        let Some(shard) = self.shard_for(mirrors) else {
            return denied(Denied::Not { reason: "there is no node to hold the queue".into() });
        };
        self.records.next_queue += 1;
        let id = self.records.next_queue;
        self.add_queue(host, name, QueueRecord { id, shard, durable, auto_delete, exclusive });
        Answer::Queue { id, shard, made: true }
    }

    fn delete_queue(&mut self, host: &str, name: &str, id: Option<u64>) -> Answer {
        let is_it = self.queue(host, name).is_some_and(|queue| id.is_none_or(|id| id == queue.id));
        let gone = if is_it { self.remove_queue(host, name) } else { None };
        Answer::Gone { queues: gone.map(|queue| (queue.id, queue.shard)).into_iter().collect() }
    }

    fn bind(&mut self, host: &str, binding: BindingRecord) -> Answer {
        match self.bound_queue(host, &binding) {
            Ok(queue) => {
                self.add_binding(host, binding, queue);
                Answer::Done
            }
            Err(answer) => *answer,
        }
    }

    fn unbind(&mut self, host: &str, binding: &BindingRecord) -> Answer {
        match self.bound_queue(host, binding) {
            Ok(queue) => {
                self.remove_binding(host, binding, queue);
                Answer::Done
            }
            Err(answer) => *answer,
        }
    }

    /// The queue of a binding, where queue and exchange are there.
    fn bound_queue(&self, host: &str, binding: &BindingRecord) -> Result<QueueId, Box<Answer>> {
        let Some(content) = self.records.virtual_hosts.get(host) else { return Err(Box::new(no_virtual_host(host))) };
        let not_found = |kind, name: &str| Box::new(denied(Denied::NotFound { kind, name: name.to_owned() }));
        let queue = content.queues.get(&binding.queue).and_then(|queue| QueueId::new(queue.id));
        let queue = queue.ok_or_else(|| not_found(KindName::Queue, &binding.queue))?;
        if !content.exchanges.contains_key(&binding.exchange) {
            return Err(not_found(KindName::Exchange, &binding.exchange));
        }
        Ok(queue)
    }
}

pub(super) fn denied(why: Denied) -> Answer {
    Answer::Denied(why)
}

pub(super) fn no_virtual_host(host: &str) -> Answer {
    denied(Denied::NotFound { kind: KindName::VirtualHost, name: host.to_owned() })
}

/// What differs between an exchange that is wanted and the one that is there.
pub(super) fn exchange_differs(name: &str, wanted: &ExchangeRecord, current: &ExchangeRecord) -> Option<Answer> {
    let differs = |argument: &str, received: &dyn ToString, current: &dyn ToString| {
        Some(denied(Denied::Inequivalent {
            kind: KindName::Exchange,
            name: name.to_owned(),
            argument: argument.to_owned(),
            received: received.to_string(),
            current: current.to_string(),
        }))
    };
    if wanted.kind != current.kind {
        return differs("type", &wanted.kind, &current.kind);
    }
    let flags = [
        ("durable", wanted.durable, current.durable),
        ("auto_delete", wanted.auto_delete, current.auto_delete),
        ("internal", wanted.internal, current.internal),
    ];
    let (argument, received, current) = flags.into_iter().find(|(_, wanted, current)| wanted != current)?;
    differs(argument, &received, &current)
}

fn queue_differs(
    name: &str,
    durable: bool,
    auto_delete: bool,
    exclusive: Option<Owner>,
    current: &QueueRecord,
) -> Option<Answer> {
    if current.exclusive.is_some() && current.exclusive != exclusive {
        return Some(denied(Denied::Locked { name: name.to_owned() }));
    }
    let flags = [
        ("durable", durable, current.durable),
        ("auto_delete", auto_delete, current.auto_delete),
        ("exclusive", exclusive.is_some(), current.exclusive.is_some()),
    ];
    let (argument, received, current) = flags.into_iter().find(|(_, wanted, current)| wanted != current)?;
    Some(denied(Denied::Inequivalent {
        kind: KindName::Queue,
        name: name.to_owned(),
        argument: argument.to_owned(),
        received: received.to_string(),
        current: current.to_string(),
    }))
}
