//! A cluster, as one of its nodes sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Inner;
use crate::{
    catalogue::{CATALOGUE_GROUP, Restoration},
    link::{Call, Reply, ShardReport, decode, encode},
};

/// How long a node may take to answer before it counts as out of reach.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// A cluster, as one of its nodes sees it.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// Its id.
    pub cluster_id: String,
    /// The node that leads the catalogue.
    pub catalogue_leader: Option<u64>,
    /// Its nodes.
    pub nodes: Vec<NodeView>,
    /// Its shards; number 0 is the catalogue.
    pub shards: Vec<ShardView>,
    /// Messages in all queues.
    pub messages: u64,
    /// Queues in all virtual hosts.
    pub queues: u64,
}

/// How far a cluster is that begins with what another one had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorationView {
    /// The folder of the archive.
    pub folder: String,
    /// What of it, in words.
    pub what: String,
    /// Shards that there are to restore.
    pub shards: u32,
    /// Those that are not there yet.
    pub left: u32,
    /// Why some are not, or what is left out of them, a sentence each.
    pub problems: Vec<String>,
    /// What was left out, a sentence each.
    pub missing: Vec<String>,
}

impl RestorationView {
    pub(super) fn of(restoration: &Restoration) -> Self {
        let problem = |(shard, problem): (&u32, &String)| format!("shard {shard}: {problem}");
        Self {
            folder: restoration.cluster.clone(),
            what: restoration.what.clone(),
            shards: restoration.shards,
            left: u32::try_from(restoration.left.len()).unwrap_or(u32::MAX),
            problems: restoration.problems.iter().map(problem).collect(),
            missing: restoration.missing.clone(),
        }
    }
}

/// A node, as its cluster sees it.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Its number.
    pub id: u64,
    /// Its place in the StatefulSet.
    pub ordinal: u32,
    /// Its identity.
    pub uuid: String,
    /// Its zone.
    pub zone: Option<String>,
    /// It answered.
    pub reachable: bool,
    /// The version that it runs, where it answered.
    pub version: Option<String>,
    /// Shards that it leads.
    pub leaders: u32,
    /// Shards that it holds, or is to hold; the catalogue, which every node has, is not one of them.
    pub replicas: u32,
    /// It is being emptied.
    pub draining: bool,
}

/// A shard, as its cluster sees it.
#[derive(Debug, Clone)]
pub struct ShardView {
    /// Its number.
    pub id: u32,
    /// The nodes that are to hold it.
    pub placed_on: BTreeSet<u64>,
    /// The nodes that vote in it.
    pub voters: BTreeSet<u64>,
    /// The node that leads it.
    pub leader: Option<u64>,
    /// The voters that have all that is committed, or nearly.
    pub in_sync: BTreeSet<u64>,
}

impl ShardView {
    /// It is a shard of queues, and this node votes in it, or is to hold it.
    fn is_held_by(&self, node: u64) -> bool {
        self.id != CATALOGUE_GROUP && (self.placed_on.contains(&node) || self.voters.contains(&node))
    }

    /// It has a leader, its voters are as placed, and all of them are in sync.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.leader.is_some() && self.voters == self.placed_on && self.in_sync == self.voters
    }
}

/// Whether a node may stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeToStop {
    /// It may.
    pub safe: bool,
    /// Why not, as a sentence.
    pub reason: String,
}

impl Inner {
    /// What this node leads.
    pub(super) fn own_report(&self) -> Vec<ShardReport> {
        let mut reports = Vec::new();
        let mut report = |shard, view: ferrymq_replication::GroupView, messages| {
            if view.leadership.leading {
                let (voters, in_sync) = (view.voters.into_iter().collect(), view.in_sync.into_iter().collect());
                reports.push(ShardReport { shard, voters, in_sync, messages });
            }
        };
        if let Some(open) = self.catalogue.get() {
            report(CATALOGUE_GROUP, open.group.view(), 0);
        }
        for (shard, replica) in self.all_replicas() {
            let messages = replica.group.machine().machine().queues().map(|(_, queue)| queue.len()).sum();
            report(shard, replica.group.view(), messages);
        }
        reports
    }

    pub(super) async fn cluster_view(&self) -> Result<ClusterView, String> {
        let records = self
            .catalogue(|catalogue| {
                let records = &catalogue.records;
                let queues = records.virtual_hosts.values().map(|content| content.queues.len() as u64).sum();
                catalogue
                    .is_formed()
                    .then(|| (records.cluster_id.clone(), records.nodes.clone(), records.shards.clone(), queues))
                    .map(|found| (found, catalogue.draining.clone()))
            })
            .map_err(|refusal| refusal.to_string())?;
        let ((cluster_id, nodes, shards, queues), draining) =
            records.ok_or("the cluster is not formed yet, or this broker's copy of its catalogue is not there yet")?;
        let reports = self.gather_reports().await;
        let mut by_shard: BTreeMap<u32, (u64, ShardReport)> = BTreeMap::new();
        for (node, (report, _)) in &reports {
            for shard in report {
                by_shard.insert(shard.shard, (*node, shard.clone()));
            }
        }
        let everywhere: BTreeSet<u64> =
            nodes.iter().filter(|(_, node)| !node.replaced).map(|(id, _)| *id).take(7).collect();
        let placed = shards.into_iter().map(|(id, record)| (id, record.placed_on));
        let placed = placed.chain([(CATALOGUE_GROUP, everywhere)]);
        let mut shards: Vec<ShardView> = placed.map(|(id, on)| shard_view(id, on, by_shard.get(&id))).collect();
        shards.sort_by_key(|shard| shard.id);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let nodes = nodes.into_iter().filter(|(_, node)| !node.replaced).map(|(id, node)| NodeView {
            id,
            ordinal: node.ordinal,
            uuid: node.uuid,
            zone: node.zone,
            reachable: reports.contains_key(&id),
            version: reports.get(&id).map(|(_, version)| version.clone()),
            leaders: count(shards.iter().filter(|shard| shard.leader == Some(id)).count()),
            replicas: count(shards.iter().filter(|shard| shard.is_held_by(id)).count()),
            draining: draining.contains(&id),
        });
        Ok(ClusterView {
            cluster_id,
            catalogue_leader: by_shard.get(&CATALOGUE_GROUP).map(|(node, _)| *node),
            nodes: nodes.collect(),
            messages: by_shard.values().map(|(_, report)| report.messages).sum(),
            shards,
            queues,
        })
    }

    /// What every node that answers leads, and its version.
    pub(super) async fn gather_reports(&self) -> BTreeMap<u64, (Vec<ShardReport>, String)> {
        let asked = self.links.peers().into_iter().map(|(node, peer)| async move {
            let reply = peer.call(encode(&Call::Report), REPORT_TIMEOUT).await.ok()?;
            match decode(&reply) {
                Ok(Reply::Report { shards, version }) => Some((node, (shards, version))),
                _ => None,
            }
        });
        let mut reports: BTreeMap<_, _> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        reports.insert(self.id(), (self.own_report(), self.settings.version.clone()));
        reports
    }

    pub(super) async fn safe_to_stop(&self) -> SafeToStop {
        let own = self.id();
        let view = match self.cluster_view().await {
            Ok(view) => view,
            // In no cluster yet: nobody needs it.
            Err(_) if own == 0 => return SafeToStop { safe: true, reason: String::new() },
            Err(reason) => return SafeToStop { safe: false, reason },
        };
        for shard in view.shards.iter().filter(|shard| shard.placed_on.contains(&own) || shard.voters.contains(&own)) {
            let others = shard.in_sync.iter().filter(|node| **node != own).count();
            let majority = shard.voters.len() / 2 + 1;
            if shard.voters.len() > 1 && others < majority {
                let reason = format!(
                    "shard {} would lose its majority: {others} of its other mirrors are in sync, {majority} are needed",
                    shard.id
                );
                return SafeToStop { safe: false, reason };
            }
        }
        SafeToStop { safe: true, reason: String::new() }
    }
}

pub(super) fn shard_view(id: u32, placed_on: BTreeSet<u64>, report: Option<&(u64, ShardReport)>) -> ShardView {
    let (leader, voters, in_sync) = match report {
        Some((node, report)) => {
            (Some(*node), report.voters.iter().copied().collect(), report.in_sync.iter().copied().collect())
        }
        None => (None, placed_on.clone(), BTreeSet::new()),
    };
    ShardView { id, placed_on, voters, leader, in_sync }
}
