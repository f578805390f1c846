//! The catalogue, and the routing that follows from it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::AtomicU32,
};

use ferrymq_core::ExchangeKind;
use ferrymq_queue::{Exchange, QueueId};

use super::logs::{LogRecords, Partitions};
use super::records::{BindingRecord, ExchangeRecord, QueueRecord, Records, VirtualHostRecords};
use super::restoration::Restoration;
use super::users::{DeclaredUsers, UserIndex};

/// The exchanges that every virtual host has.
pub(super) const BUILT_IN_EXCHANGES: [(&str, ExchangeKind); 3] =
    [("amq.direct", ExchangeKind::Direct), ("amq.fanout", ExchangeKind::Fanout), ("amq.topic", ExchangeKind::Topic)];

/// What there is. Changed only by [`Catalogue::apply`], on every node alike.
#[derive(Default)]
pub(crate) struct Catalogue {
    pub(crate) records: Records,
    pub(crate) logs: LogRecords,
    /// Nodes that are being emptied.
    pub(crate) draining: BTreeSet<u64>,
    /// Users that somebody declared; the others may do everything.
    pub(crate) users: DeclaredUsers,
    /// What the cluster was made of, where that is a backup.
    pub(crate) restoration: Option<Restoration>,
    pub(super) user_index: UserIndex,
    pub(super) partitions: Partitions,
    routes: HashMap<String, HashMap<String, Exchange>>,
    names: HashMap<QueueId, (String, String)>,
    /// Queues by shard, for placing new ones.
    pub(super) queues_in_shard: HashMap<u32, usize>,
}

/// Where a message goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Routed {
    /// There is no such exchange.
    NoExchange,
    /// Clients may not publish to it.
    Internal,
    /// To the queues that were put.
    Queues,
    /// To a partition that the topic has not: it has so many.
    NoPartition { partitions: u32 },
}

impl Catalogue {
    /// The catalogue of these records.
    pub(crate) fn of(records: Records, logs: LogRecords, draining: BTreeSet<u64>, users: DeclaredUsers) -> Self {
        let mut catalogue = Self { logs, draining, users, ..Self::default() };
        for (host, content) in &records.virtual_hosts {
            for (name, exchange) in &content.exchanges {
                catalogue.routes_of(host).insert(name.clone(), Exchange::new(exchange.kind));
            }
            for (name, queue) in &content.queues {
                catalogue.index_queue(host, name, queue);
            }
            for binding in &content.bindings {
                if let Some(queue) = content.queues.get(&binding.queue).and_then(|queue| QueueId::new(queue.id)) {
                    catalogue.route_binding(host, binding, queue);
                }
            }
        }
        catalogue.records = records;
        catalogue.index_all_partitions();
        catalogue.index_users();
        catalogue
    }

    /// Whether the cluster is formed.
    pub(crate) fn is_formed(&self) -> bool {
        !self.records.cluster_id.is_empty()
    }

    /// Puts the queues that a message goes to: id and shard. Of a topic's partitions it is the one that is wanted, else the
    /// key's, and where there is no key the next in turn.
    pub(crate) fn route(
        &self,
        (host, exchange, key): (&str, &str, &str),
        partition: Option<u32>,
        turn: &AtomicU32,
        out: &mut Vec<(QueueId, u32)>,
    ) -> Routed {
        let Some(content) = self.records.virtual_hosts.get(host) else { return Routed::NoExchange };
        if exchange.is_empty() {
            out.extend(content.queues.get(key).and_then(|queue| Some((QueueId::new(queue.id)?, queue.shard))));
            return Routed::Queues;
        }
        let Some(route) = self.routes.get(host).and_then(|routes| routes.get(exchange)) else {
            return Routed::NoExchange;
        };
        if content.exchanges.get(exchange).is_some_and(|record| record.internal) {
            return Routed::Internal;
        }
        let mut queues = Vec::new();
        route.route(key, &mut queues);
        out.extend(queues.into_iter().filter_map(|id| Some((id, self.queue_by_id(id)?.2.shard))));
        self.route_to_partition((host, exchange, key), partition, turn, out)
    }

    /// A queue by name.
    pub(crate) fn queue(&self, host: &str, name: &str) -> Option<&QueueRecord> {
        self.records.virtual_hosts.get(host)?.queues.get(name)
    }

    /// A queue by number: virtual host, name and record.
    pub(crate) fn queue_by_id(&self, id: QueueId) -> Option<(&str, &str, &QueueRecord)> {
        let (host, name) = self.names.get(&id)?;
        Some((host, name, self.queue(host, name)?))
    }

    /// Every queue of a shard.
    pub(crate) fn queues_of_shard(&self, shard: u32) -> BTreeSet<u64> {
        let queues = self.records.virtual_hosts.values().flat_map(|content| content.queues.values());
        queues.filter(|queue| queue.shard == shard).map(|queue| queue.id).collect()
    }

    /// An exchange by name.
    pub(crate) fn exchange(&self, host: &str, name: &str) -> Option<&ExchangeRecord> {
        self.records.virtual_hosts.get(host)?.exchanges.get(name)
    }

    pub(super) fn add_virtual_host(&mut self, host: &str) {
        if self.records.virtual_hosts.contains_key(host) {
            return;
        }
        self.records.virtual_hosts.insert(host.to_owned(), VirtualHostRecords::default());
        for (name, kind) in BUILT_IN_EXCHANGES {
            self.add_exchange(host, name, ExchangeRecord { kind, durable: true, auto_delete: false, internal: false });
        }
    }

    pub(super) fn add_exchange(&mut self, host: &str, name: &str, exchange: ExchangeRecord) {
        self.routes_of(host).insert(name.to_owned(), Exchange::new(exchange.kind));
        if let Some(content) = self.records.virtual_hosts.get_mut(host) {
            content.exchanges.insert(name.to_owned(), exchange);
        }
    }

    pub(super) fn remove_exchange(&mut self, host: &str, name: &str) {
        self.forget_topic_log(host, name);
        self.routes_of(host).remove(name);
        if let Some(content) = self.records.virtual_hosts.get_mut(host) {
            content.exchanges.remove(name);
            content.bindings.retain(|binding| binding.exchange != name);
        }
    }

    pub(super) fn add_queue(&mut self, host: &str, name: &str, queue: QueueRecord) {
        self.index_queue(host, name, &queue);
        if let Some(content) = self.records.virtual_hosts.get_mut(host) {
            content.queues.insert(name.to_owned(), queue);
        }
    }

    /// Removes a queue and its bindings; exchanges that are to go with their last binding go too.
    pub(super) fn remove_queue(&mut self, host: &str, name: &str) -> Option<QueueRecord> {
        let content = self.records.virtual_hosts.get_mut(host)?;
        let queue = content.queues.remove(name)?;
        let bindings: Vec<BindingRecord> =
            content.bindings.iter().filter(|binding| binding.queue == name).cloned().collect();
        let id = QueueId::new(queue.id)?;
        for binding in bindings {
            self.remove_binding(host, &binding, id);
        }
        self.names.remove(&id);
        self.forget_log(host, id);
        if let Some(count) = self.queues_in_shard.get_mut(&queue.shard) {
            *count = count.saturating_sub(1);
        }
        Some(queue)
    }

    pub(super) fn add_binding(&mut self, host: &str, binding: BindingRecord, queue: QueueId) {
        self.route_binding(host, &binding, queue);
        if let Some(content) = self.records.virtual_hosts.get_mut(host) {
            content.bindings.insert(binding);
        }
    }

    pub(super) fn remove_binding(&mut self, host: &str, binding: &BindingRecord, queue: QueueId) {
        let Some(content) = self.records.virtual_hosts.get_mut(host) else { return };
        if !content.bindings.remove(binding) {
            return;
        }
        let auto_delete = content.exchanges.get(&binding.exchange).is_some_and(|exchange| exchange.auto_delete);
        let Some(route) = self.routes_of(host).get_mut(&binding.exchange) else { return };
        route.unbind(&binding.key, queue);
        if auto_delete && route.is_unused() {
            self.remove_exchange(host, &binding.exchange);
        }
    }

    /// Whether an exchange has no bindings.
    pub(super) fn is_unused(&self, host: &str, exchange: &str) -> bool {
        self.routes.get(host).and_then(|routes| routes.get(exchange)).is_none_or(Exchange::is_unused)
    }

    fn routes_of(&mut self, host: &str) -> &mut HashMap<String, Exchange> {
        self.routes.entry(host.to_owned()).or_default()
    }

    fn route_binding(&mut self, host: &str, binding: &BindingRecord, queue: QueueId) {
        if let Some(route) = self.routes_of(host).get_mut(&binding.exchange) {
            route.bind(&binding.key, queue);
        }
    }

    fn index_queue(&mut self, host: &str, name: &str, queue: &QueueRecord) {
        if let Some(id) = QueueId::new(queue.id) {
            self.names.insert(id, (host.to_owned(), name.to_owned()));
        }
        *self.queues_in_shard.entry(queue.shard).or_default() += 1;
    }
}
