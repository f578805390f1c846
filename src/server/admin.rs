//! The node as the admin port: its own words, in those of the admin API.

use std::{path::PathBuf, time::Duration};

use ferrymq_admin_api::{
    AdminError, AdminPort, Adoption, BackupRemoval, BackupRequest, BackupView, ClusterStatus, Draining, Formation,
    NewUser, NodeRemoval, NodeStatus, NodeView, Owner, Phase, QueueInTopic, QueueView, Reason, Safety, ShardView,
    TopicBinding, TopicDeclaration, TopicList, TopicLog, TopicRemoval, TopicView, TopicsAfter, UserDeclaration,
    UserRemoval, UserView,
};
use ferrymq_broker::{self as broker, FormError, Node, PlacementRefusal, TopicPage, TopicRefusal};

use crate::{backups, certificates::Certificates, disk, users};

/// A node, as the admin API sees it.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) node: Node,
    pub(crate) ordinal: u32,
    /// Where its data is.
    pub(crate) directory: PathBuf,
    pub(crate) certificates: Certificates,
}

impl Port {
    fn formed(&self) -> Result<(), AdminError> {
        match self.node.membership() {
            Some(_) => Ok(()),
            None => Err(AdminError::new(Reason::NotFormed, "this broker belongs to no cluster yet")),
        }
    }
}

impl AdminPort for Port {
    fn node(&self) -> NodeStatus {
        let (phase, message) = self.node.phase();
        let (cluster_id, node_id) = self.node.membership().unzip();
        NodeStatus {
            ordinal: self.ordinal,
            uuid: self.node.uuid(),
            phase: match phase {
                broker::Phase::Unformed => Phase::Unformed,
                broker::Phase::Joining => Phase::Joining,
                broker::Phase::Starting => Phase::Starting,
                broker::Phase::Serving => Phase::Serving,
                broker::Phase::Stopping => Phase::Stopping,
            },
            message,
            cluster_id,
            node_id,
            version: crate::VERSION.to_owned(),
            disk: disk::used(&self.directory),
            certificates: self.certificates.views(),
            archive: self.node.archive_figures().map(backups::archive_of),
            restoration: self.node.restoration().map(backups::restoration_of),
        }
    }

    fn ready(&self) -> bool {
        self.node.is_ready()
    }

    async fn cluster(&self) -> Result<ClusterStatus, AdminError> {
        self.formed()?;
        let view = self.node.cluster().await.map_err(|reason| AdminError::new(Reason::Unavailable, reason))?;
        let ids = |set: &std::collections::BTreeSet<u64>| set.iter().copied().collect();
        Ok(ClusterStatus {
            cluster_id: view.cluster_id,
            catalogue_leader: view.catalogue_leader,
            nodes: view
                .nodes
                .into_iter()
                .map(|node| NodeView {
                    id: node.id,
                    ordinal: node.ordinal,
                    uuid: node.uuid,
                    zone: node.zone,
                    reachable: node.reachable,
                    version: node.version,
                    leaders: node.leaders,
                    replicas: node.replicas,
                    draining: node.draining,
                })
                .collect(),
            shards: view
                .shards
                .iter()
                .map(|shard| ShardView {
                    id: shard.id,
                    placed_on: ids(&shard.placed_on),
                    voters: ids(&shard.voters),
                    leader: shard.leader,
                    in_sync: ids(&shard.in_sync),
                    healthy: shard.is_healthy(),
                })
                .collect(),
            messages: view.messages,
            queues: view.queues,
        })
    }

    async fn form(&self, formation: Formation) -> Result<(), AdminError> {
        let formation = broker::Formation {
            cluster_id: formation.cluster_id,
            nodes: formation
                .members
                .into_iter()
                .map(|member| broker::FirstNode { ordinal: member.ordinal, uuid: member.uuid, zone: member.zone })
                .collect(),
            default_mirrors: formation.default_mirrors,
            users: formation
                .users
                .into_iter()
                .map(|user| broker::FirstUser {
                    name: user.name,
                    password: user.password,
                    loopback_only: user.loopback_only,
                })
                .collect(),
            restore: formation.restore.map(backups::order_of).transpose()?,
        };
        self.node.form(formation).await.map_err(|error| {
            let reason = match &error {
                FormError::OtherCluster { .. } => Reason::AlreadyFormed,
                FormError::Member { .. } => Reason::MemberMismatch,
                FormError::Restore(_) | FormError::NoSource => Reason::NotRestored,
                FormError::Identity(_) | FormError::NotYet(_) => Reason::Unavailable,
            };
            AdminError::new(reason, error.to_string())
        })
    }

    async fn safe_to_stop(&self) -> Result<Safety, AdminError> {
        let broker::SafeToStop { safe, reason } = self.node.safe_to_stop().await;
        Ok(Safety { safe, reason })
    }

    async fn hand_over(&self) -> Result<(), AdminError> {
        self.formed()?;
        self.node.hand_over().await;
        Ok(())
    }

    async fn drain(&self, Draining { ordinal, draining }: Draining) -> Result<(), AdminError> {
        self.formed()?;
        self.node.drain(ordinal, draining).await.map_err(not_placed)
    }

    async fn remove_node(&self, NodeRemoval { ordinal }: NodeRemoval) -> Result<(), AdminError> {
        self.formed()?;
        self.node.remove_node(ordinal).await.map_err(not_placed)
    }

    async fn back_up(&self, request: BackupRequest) -> Result<BackupView, AdminError> {
        self.formed()?;
        let name = backups::checked(request.name)?;
        let made = self.node.back_up(&name, request.made_for).await;
        made.map(backups::backup_of).map_err(|reason| AdminError::new(Reason::Unavailable, reason))
    }

    async fn remove_backup(&self, removal: BackupRemoval) -> Result<(), AdminError> {
        self.formed()?;
        let name = backups::checked(removal.name)?;
        self.node.remove_backup(&name).await.map_err(|reason| AdminError::new(Reason::Unavailable, reason))
    }

    async fn declare_topic(&self, topic: TopicDeclaration) -> Result<TopicView, AdminError> {
        self.formed()?;
        let topic = topic_of(topic)?;
        self.node.declare_topic(topic).await.map(view_of).map_err(refused)
    }

    async fn topics(&self) -> Result<TopicList, AdminError> {
        self.formed()?;
        self.node.topics().await.map(list_of).map_err(refused)
    }

    async fn topics_after(&self, TopicsAfter { version, after, limit }: TopicsAfter) -> Result<TopicList, AdminError> {
        self.formed()?;
        let page = TopicPage { after: after.map(|topic| (topic.virtual_host, topic.name)), limit };
        self.node.topics_after(&version, page).await.map(list_of).map_err(refused)
    }

    async fn remove_topic(&self, removal: TopicRemoval) -> Result<(), AdminError> {
        self.formed()?;
        let TopicRemoval { virtual_host, name, owner_uid, delete, only_if_empty } = removal;
        self.node.remove_topic(&virtual_host, &name, &owner_uid, delete, only_if_empty).await.map_err(refused)
    }

    async fn declare_user(&self, user: UserDeclaration) -> Result<UserView, AdminError> {
        self.formed()?;
        self.node.declare_user(users::user_of(user)).await.map(users::view_of).map_err(users::refused)
    }

    async fn users(&self) -> Result<Vec<UserView>, AdminError> {
        self.formed()?;
        Ok(self.node.users().map_err(users::refused)?.into_iter().map(users::view_of).collect())
    }

    async fn remove_user(&self, UserRemoval { name, owner_uid, delete }: UserRemoval) -> Result<(), AdminError> {
        self.formed()?;
        self.node.remove_user(&name, &owner_uid, delete).await.map_err(users::refused)
    }

    async fn put_user(&self, user: NewUser) -> Result<(), AdminError> {
        self.formed()?;
        let put = self.node.put_user(user.name, user.password, user.loopback_only).await;
        put.map_err(|reason| AdminError::new(Reason::Unavailable, reason))
    }
}

fn not_placed(refusal: PlacementRefusal) -> AdminError {
    let reason = match &refusal {
        PlacementRefusal::NotFound { .. } => Reason::NotFound,
        PlacementRefusal::Refused(_) => Reason::WouldNotFit,
        PlacementRefusal::Unavailable(_) => Reason::Unavailable,
    };
    AdminError::new(reason, refusal.to_string())
}

fn topic_of(topic: TopicDeclaration) -> Result<broker::Topic, AdminError> {
    let kind = topic.exchange_type.parse();
    let kind =
        kind.map_err(|error: ferrymq_core::UnknownExchangeKind| AdminError::new(Reason::Invalid, error.to_string()))?;
    Ok(broker::Topic {
        virtual_host: topic.virtual_host,
        name: topic.name,
        owner_name: topic.owner.name,
        owner_uid: topic.owner.uid,
        adopt: topic.adoption == Adoption::AdoptIfCompatible,
        kind,
        mirrors: topic.mirrors,
        bindings: topic
            .bindings
            .into_iter()
            .map(|binding| broker::Binding { source: binding.source, routing_key: binding.routing_key })
            .collect(),
        queues: topic
            .queues
            .into_iter()
            .map(|queue| broker::QueueInTopic { name: queue.name, routing_keys: queue.routing_keys })
            .collect(),
        log: topic.log.map(|log| broker::TopicLog {
            partitions: log.partitions,
            retention: ferrymq_core::LogDeclaration {
                age: log.max_age_milliseconds.map(Duration::from_millis),
                bytes: log.max_bytes,
            },
        }),
    })
}

fn list_of(list: broker::TopicList) -> TopicList {
    TopicList { version: list.version, topics: list.topics.into_iter().map(view_of).collect(), more: list.more }
}

fn view_of(view: broker::TopicView) -> TopicView {
    let topic = view.topic;
    TopicView {
        declaration: TopicDeclaration {
            virtual_host: topic.virtual_host,
            name: topic.name,
            owner: Owner { name: topic.owner_name, uid: topic.owner_uid },
            adoption: if topic.adopt { Adoption::AdoptIfCompatible } else { Adoption::Refuse },
            exchange_type: topic.kind.to_string(),
            mirrors: topic.mirrors,
            bindings: topic
                .bindings
                .into_iter()
                .map(|binding| TopicBinding { source: binding.source, routing_key: binding.routing_key })
                .collect(),
            queues: topic
                .queues
                .into_iter()
                .map(|queue| QueueInTopic { name: queue.name, routing_keys: queue.routing_keys })
                .collect(),
            log: topic.log.map(|log| TopicLog {
                partitions: log.partitions,
                max_age_milliseconds: log.retention.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
                max_bytes: log.retention.bytes,
            }),
        },
        in_sync: view.drift.is_empty(),
        drift: view.drift,
        replicated: view.replicated,
        queues: view.queues.into_iter().map(queue_of).collect(),
        partitions: view.partitions.into_iter().map(queue_of).collect(),
    }
}

fn queue_of(queue: broker::QueueView) -> QueueView {
    QueueView { name: queue.name, messages: queue.messages, consumers: queue.consumers, leader: queue.leader }
}

fn refused(refusal: TopicRefusal) -> AdminError {
    let reason = match &refusal {
        TopicRefusal::Invalid(_) => Reason::Invalid,
        TopicRefusal::Owned { .. } => Reason::Owned,
        TopicRefusal::Incompatible(_) => Reason::Incompatible,
        TopicRefusal::NotFound(_) => Reason::NotFound,
        TopicRefusal::NotEmpty { .. } => Reason::NotEmpty,
        TopicRefusal::Unavailable(_) => Reason::Unavailable,
    };
    AdminError::new(reason, refusal.to_string())
}
