//! Forming a cluster, and joining one.
//!
//! A cluster is formed once, by whoever keeps the record of it. A node without data never forms one by itself: it asks its
//! peers to take it in, and waits to be told otherwise.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ferrymq_core::Refusal;

use super::{Inner, users};
use crate::{
    archiving::{Found, RestoreTarget, SourceError},
    catalogue::{Answer, Command, NodeRecord, RestoredFormation},
    identity::{IdentityError, Membership},
    link::{self, Call, Reply, decode, encode},
    refusal::unavailable,
};

/// How often a node without data asks its peers.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Ordinals that are asked. A cluster that has none of these is found by its operator only.
const ORDINALS_ASKED: u32 = 9;
const JOIN_TIMEOUT: Duration = Duration::from_secs(3);

/// A cluster to be formed.
#[derive(Clone)]
pub struct Formation {
    /// Its id.
    pub cluster_id: String,
    /// Its first nodes.
    pub nodes: Vec<FirstNode>,
    /// Mirrors of a queue that asks for no number.
    pub default_mirrors: u8,
    /// Its first users.
    pub users: Vec<FirstUser>,
    /// What it begins with, where that is what another cluster had.
    pub restore: Option<RestoreOrder>,
}

/// A cluster begins with what another one had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOrder {
    /// As of when.
    pub target: RestoreTarget,
    /// What is damaged or missing is left out, and listed.
    pub allow_partial: bool,
}

/// A first node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstNode {
    /// Its place in the StatefulSet.
    pub ordinal: u32,
    /// Its identity.
    pub uuid: String,
    /// Its zone.
    pub zone: Option<String>,
}

/// A first user.
#[derive(Clone, PartialEq, Eq)]
pub struct FirstUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
    /// May log in only from the broker's own machine.
    pub loopback_only: bool,
}

/// Why a cluster was not formed.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// This node is in another cluster.
    #[error("this node is of cluster {found} already, and not of {wanted}")]
    OtherCluster {
        /// The cluster that it is of.
        found: String,
        /// The cluster that was to be formed.
        wanted: String,
    },
    /// A member is missing, or is not who it was said to be.
    #[error("broker {ordinal} was not adopted: {reason}")]
    Member {
        /// Its place in the StatefulSet.
        ordinal: u32,
        /// Why not.
        reason: String,
    },
    /// What it is to begin with cannot be read.
    #[error("the cluster cannot be restored: {0}")]
    Restore(Arc<SourceError>),
    /// It is to begin with an archive, and this node was not told of one.
    #[error("this broker was not told which archive to restore from: its configuration has no restoreFrom")]
    NoSource,
    /// Its place could not be written.
    #[error("this node's place in the cluster was not written")]
    Identity(#[from] IdentityError),
    /// Something else; to be tried again.
    #[error("{0}")]
    NotYet(String),
}

impl Inner {
    /// Forms a cluster. Sent again, it goes on where it was.
    pub(super) async fn form(self: &Arc<Self>, formation: Formation) -> Result<(), FormError> {
        let membership = self.identity().membership;
        if let Some(found) = membership.filter(|membership| membership.cluster_id != formation.cluster_id) {
            return Err(FormError::OtherCluster { found: found.cluster_id, wanted: formation.cluster_id });
        }
        if matches!(self.catalogue(|catalogue| catalogue.is_formed()), Ok(true)) {
            return Ok(());
        }
        let mut nodes = formation.nodes;
        nodes.sort_by_key(|node| node.ordinal);
        let found = match &formation.restore {
            Some(order) => Some(self.find_source(order)?),
            None => None,
        };
        let first_node = self.first_number(&nodes, found.as_ref());
        let peers: Vec<(u64, u32)> = (first_node..).zip(nodes.iter().map(|node| node.ordinal)).collect();
        self.adopt_majority(&formation.cluster_id, &nodes, &peers).await?;
        let open = self.catalogue.get().ok_or_else(|| FormError::NotYet("this node is none of the members".into()))?;
        if open.group.is_pristine() {
            let voters: BTreeSet<u64> = peers.iter().map(|(id, _)| *id).collect();
            open.group.initialize(voters).await.map_err(|error| FormError::NotYet(error.to_string()))?;
        }
        let mut users = Vec::new();
        for user in formation.users {
            let hashed = users::hash(user.password, user.loopback_only).await;
            users.push((user.name, hashed.map_err(|error| FormError::NotYet(error.to_string()))?));
        }
        let version = &self.settings.version;
        let nodes = nodes.into_iter().map(|FirstNode { ordinal, uuid, zone }| NodeRecord {
            ordinal,
            uuid,
            zone,
            version: version.clone(),
            run: 0,
            replaced: false,
        });
        let (cluster_id, default_mirrors) = (formation.cluster_id, formation.default_mirrors);
        let command = match found {
            None => Command::Form { cluster_id, default_mirrors, nodes: nodes.collect(), users },
            Some(Found { saved, restoration, .. }) => Command::FormRestored(Box::new(RestoredFormation {
                cluster_id,
                default_mirrors,
                first_node,
                nodes: nodes.collect(),
                users,
                saved: saved.to_vec(),
                restoration,
            })),
        };
        self.change(command).await.map(|_| ()).map_err(|refusal| FormError::NotYet(refusal.to_string()))
    }

    /// The number of the first node: one that no node had of whose messages some come back. Where this node has a number
    /// already, by an earlier try, the others get those that go with it.
    fn first_number(&self, nodes: &[FirstNode], found: Option<&Found>) -> u64 {
        let own = nodes.iter().position(|node| node.ordinal == self.settings.ordinal);
        let before = own.and_then(|place| self.id().checked_sub(place as u64));
        before.filter(|first| *first > 0).unwrap_or_else(|| found.map_or(1, |found| found.first_node))
    }

    /// Gives the members their places. A minority may be out of reach, or have lost its data since: it comes in by itself,
    /// at its place or as a new node, once the rest has formed the cluster.
    async fn adopt_majority(
        &self,
        cluster_id: &str,
        nodes: &[FirstNode],
        peers: &[(u64, u32)],
    ) -> Result<(), FormError> {
        let mut adopted = 0;
        let mut refused = None;
        for ((id, _), node) in peers.iter().zip(nodes) {
            match self.adopt_somewhere(cluster_id, *id, node, peers).await {
                Ok(()) => adopted += 1,
                Err(reason) => {
                    tracing::warn!(ordinal = node.ordinal, reason, "not adopted yet");
                    refused.get_or_insert(FormError::Member { ordinal: node.ordinal, reason });
                }
            }
        }
        match refused {
            Some(refused) if adopted * 2 <= nodes.len() => Err(refused),
            _ => Ok(()),
        }
    }

    async fn adopt_somewhere(
        &self,
        cluster_id: &str,
        id: u64,
        node: &FirstNode,
        peers: &[(u64, u32)],
    ) -> Result<(), String> {
        if node.ordinal == self.settings.ordinal {
            return self.adopt(cluster_id.to_owned(), id, &node.uuid, peers.to_vec()).await;
        }
        let call =
            Call::Adopt { cluster_id: cluster_id.to_owned(), node: id, uuid: node.uuid.clone(), peers: peers.to_vec() };
        let hello = link::Hello { cluster_id: cluster_id.to_owned(), ..self.hello() };
        let asked = link::ask(&*self.settings.network, &self.address_of(node.ordinal), &hello, encode(&call)).await;
        let reply = asked.map_err(|error| error.to_string())?;
        match decode(&reply).map_err(|error| error.to_string())? {
            Reply::Done => Ok(()),
            _ => Err("it gave an answer that makes no sense".into()),
        }
    }

    /// Becomes a node of a cluster that is being formed.
    pub(super) async fn adopt(
        &self,
        cluster_id: String,
        node: u64,
        uuid: &str,
        peers: Vec<(u64, u32)>,
    ) -> Result<(), String> {
        let _one_at_a_time = self.joining.lock().await;
        let identity = self.identity();
        if identity.uuid != uuid {
            return Err(format!("it is {}, and not {uuid}: it has lost its data since", identity.uuid));
        }
        match identity.membership {
            Some(membership) if membership.cluster_id == cluster_id && membership.node == node => {}
            Some(membership) => {
                return Err(format!("it is node {} of cluster {} already", membership.node, membership.cluster_id));
            }
            None => {
                let membership = Membership { cluster_id, node, peers };
                self.set_membership(membership).map_err(|error| error.to_string())?;
            }
        }
        self.open_catalogue().await.map_err(|error| error.to_string())
    }

    /// Takes a node in that has no data. One of its ordinal that was there before is replaced by it.
    pub(super) async fn let_join(
        &self,
        ordinal: u32,
        uuid: String,
        zone: Option<String>,
        version: String,
    ) -> Result<Reply, Refusal> {
        if !matches!(self.catalogue(|catalogue| catalogue.is_formed()), Ok(true)) {
            return Ok(Reply::NotFormed);
        }
        let node = NodeRecord { ordinal, uuid, zone, version, run: 0, replaced: false };
        let Answer::Node { id } = self.change(Command::AddNode(node)).await? else {
            return Err(unavailable("the catalogue gave an answer that makes no sense"));
        };
        let (cluster_id, peers) = self.catalogue(|catalogue| {
            let nodes = catalogue.records.nodes.iter().filter(|(_, node)| !node.replaced);
            let peers = nodes.map(|(id, node)| (*id, node.ordinal)).collect();
            (catalogue.records.cluster_id.clone(), peers)
        })?;
        Ok(Reply::Joined { cluster_id, node: id, peers })
    }

    /// Asks the peers to take this node in, until it is in a cluster.
    pub(super) async fn join(self: Arc<Self>) {
        let mut asks = tokio::time::interval(ASK_EVERY);
        while self.identity().membership.is_none() {
            asks.tick().await;
            for ordinal in (0..ORDINALS_ASKED).filter(|ordinal| *ordinal != self.settings.ordinal) {
                match self.ask_to_join(ordinal).await {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(reason) => tracing::debug!(ordinal, reason, "not taken in"),
                }
                if self.identity().membership.is_some() {
                    return;
                }
            }
        }
    }

    async fn ask_to_join(&self, ordinal: u32) -> Result<bool, String> {
        let call = Call::Join {
            ordinal: self.settings.ordinal,
            uuid: self.identity().uuid,
            zone: self.settings.zone.clone(),
            version: self.settings.version.clone(),
        };
        let address = self.address_of(ordinal);
        let hello = self.hello();
        let asked = link::ask(&*self.settings.network, &address, &hello, encode(&call));
        let asked = tokio::time::timeout(JOIN_TIMEOUT, asked).await;
        let reply = asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let Reply::Joined { cluster_id, node, peers } = decode(&reply).map_err(|error| error.to_string())? else {
            return Ok(false);
        };
        let _one_at_a_time = self.joining.lock().await;
        if self.identity().membership.is_some() {
            return Ok(true);
        }
        tracing::info!(cluster_id, node, "taken in");
        self.set_membership(Membership { cluster_id, node, peers }).map_err(|error| error.to_string())?;
        self.open_catalogue().await.map_err(|error| error.to_string())?;
        Ok(true)
    }
}
