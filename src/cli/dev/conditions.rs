//! What is so, as conditions: the words of the resources' status, and sentences.

use ferrymq_admin_api::{AdminError, ClusterStatus, NodeStatus, Phase, Reason as Refused, ShardView, TopicView};
use ferrymq_api::{ConditionType, Reason};

use super::formation::Step;

/// A condition of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    /// Kind and name of the resource, as kubectl writes them.
    pub(super) resource: String,
    pub(super) kind: ConditionType,
    pub(super) holds: bool,
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// What the brokers of a cluster say.
pub(super) struct Cluster<'a> {
    pub(super) name: &'a str,
    pub(super) step: &'a Step,
    pub(super) nodes: &'a [Option<NodeStatus>],
    /// As one that serves sees it.
    pub(super) status: Option<&'a ClusterStatus>,
    /// Why the formation was refused, where it was.
    pub(super) refused: Option<&'a str>,
}

impl Cluster<'_> {
    /// The conditions of the `MessageQueue`.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        let resource = format!("messagequeue/{}", self.name);
        let condition =
            |kind, (holds, reason, message)| Condition { resource: resource.clone(), kind, holds, reason, message };
        let mut conditions = vec![condition(ConditionType::Ready, self.ready())];
        if let Some(status) = self.status {
            conditions.push(condition(ConditionType::ReplicationHealthy, replication(&status.shards)));
        }
        conditions
    }

    fn ready(&self) -> (bool, Reason, String) {
        match self.step {
            Step::DataLost => (
                false,
                Reason::DataLost,
                "this cluster was formed before, and no broker has its data any more; put the data back, or remove the \
                 cluster's folder in --data-dir to begin anew without its messages"
                    .to_owned(),
            ),
            Step::Foreign(ordinals) => {
                let names: Vec<_> = ordinals.iter().map(|ordinal| format!("{}-{ordinal}", self.name)).collect();
                let message = format!(
                    "{} has data of a cluster that formation.json does not name; put the right files back, or start with \
                     another --data-dir",
                    names.join(", ")
                );
                (false, Reason::ForeignCluster, message)
            }
            Step::Record(_) | Step::Form | Step::Agreed => match self.refused {
                Some(refused) => (false, Reason::FormationRefused, refused.to_owned()),
                None => (false, Reason::Forming, "the brokers answer, and are being made one cluster".to_owned()),
            },
            Step::Wait | Step::Formed => self.serving(),
        }
    }

    fn serving(&self) -> (bool, Reason, String) {
        let count = self.nodes.len();
        let serving = self.nodes.iter().flatten().filter(|node| node.phase == Phase::Serving).count();
        let of_all = format!("{serving} of {count} brokers serve");
        if serving < count {
            let waiting = (0..).zip(self.nodes).find_map(|(ordinal, node): (u32, _)| match node {
                None => Some(format!("{}-{ordinal} does not answer yet", self.name)),
                Some(node) if node.phase != Phase::Serving => {
                    Some(format!("{}-{ordinal}: {}", self.name, node.message))
                }
                Some(_) => None,
            });
            let message = format!("{of_all}; {}", waiting.unwrap_or_default());
            return (false, Reason::WaitingForBrokers, message);
        }
        let Some(status) = self.status else {
            return (false, Reason::ClusterUnreachable, format!("{of_all}, and none tells how the cluster is"));
        };
        match status.shards.iter().filter(|shard| shard.leader.is_none()).count() {
            0 => (true, Reason::AllServing, of_all),
            without => (
                false,
                Reason::ShardsWithoutLeader,
                format!("{of_all}; {without} of {} shards have no leader", status.shards.len()),
            ),
        }
    }
}

fn replication(shards: &[ShardView]) -> (bool, Reason, String) {
    let (count, healthy) = (shards.len(), shards.iter().filter(|shard| shard.healthy).count());
    if healthy == count {
        return (true, Reason::AllServing, format!("all mirrors of {count} shards are in sync"));
    }
    (
        false,
        Reason::ReplicasBehind,
        format!("all mirrors of {healthy} of {count} shards are in sync; the others catch up"),
    )
}

/// The condition of a topic: as it is, or why it was refused.
pub(super) fn of_topic(
    resource: &str,
    outcome: Option<&Result<TopicView, AdminError>>,
    unreachable: Option<&str>,
) -> Condition {
    let (holds, reason, message) = match outcome {
        Some(Ok(view)) if !view.in_sync => (false, Reason::Drifted, view.drift.clone()),
        Some(Ok(view)) if !view.replicated => {
            (false, Reason::UnderReplicated, "some mirrors of its queues are missing or catch up".to_owned())
        }
        Some(Ok(view)) => {
            let queues: Vec<_> = view.declaration.queues.iter().map(|queue| queue.name.as_str()).collect();
            let queues = match queues.as_slice() {
                [] => "no queues".to_owned(),
                [one] => format!("queue {one}"),
                several => format!("queues {}", several.join(", ")),
            };
            let partitions = match view.declaration.log.map_or(0, |log| log.partitions.get()) {
                0 => String::new(),
                1 => ", 1 partition".to_owned(),
                several => format!(", {several} partitions"),
            };
            (true, Reason::Declared, format!("exchange {}, {queues}{partitions}", view.declaration.name))
        }
        Some(Err(refused)) => (false, reason(refused.reason), refused.message.clone()),
        None => {
            let message = unreachable.unwrap_or("waits for the cluster");
            (false, Reason::ClusterNotReady, message.to_owned())
        }
    };
    Condition { resource: topic_resource(resource), kind: ConditionType::Ready, holds, reason, message }
}

/// The condition of a topic that is gone from the file, and could not be taken away yet.
pub(super) fn of_going_topic(resource: &str, refused: &AdminError) -> Condition {
    Condition {
        resource: topic_resource(resource),
        kind: ConditionType::Ready,
        holds: false,
        reason: reason(refused.reason),
        message: format!("is to be deleted: {}", refused.message),
    }
}

fn topic_resource(resource: &str) -> String {
    format!("topic/{}", resource.strip_prefix("default/").unwrap_or(resource))
}

fn reason(refused: Refused) -> Reason {
    match refused {
        Refused::Owned => Reason::TopicConflict,
        Refused::Incompatible => Reason::Incompatible,
        Refused::NotEmpty => Reason::NotEmpty,
        Refused::Invalid => Reason::Invalid,
        Refused::NotFormed | Refused::Unavailable => Reason::ClusterNotReady,
        Refused::AlreadyFormed
        | Refused::MemberMismatch
        | Refused::Unauthorized
        | Refused::NotFound
        | Refused::WouldNotFit
        | Refused::NotRestored => Reason::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ordinal: u32, phase: Phase) -> Option<NodeStatus> {
        Some(NodeStatus {
            ordinal,
            uuid: String::new(),
            phase,
            message: "looks for its peers".to_owned(),
            cluster_id: Some("c".to_owned()),
            node_id: Some(1),
            version: String::new(),
            disk: None,
            certificates: Vec::new(),
            archive: None,
            restoration: None,
        })
    }

    fn shard(leader: Option<u64>, healthy: bool) -> ShardView {
        ShardView { id: 0, placed_on: vec![1], voters: vec![1], leader, in_sync: vec![1], healthy }
    }

    fn status(shards: Vec<ShardView>) -> ClusterStatus {
        ClusterStatus {
            cluster_id: "c".to_owned(),
            catalogue_leader: Some(1),
            nodes: Vec::new(),
            shards,
            messages: 0,
            queues: 0,
        }
    }

    fn conditions(nodes: &[Option<NodeStatus>], status: Option<&ClusterStatus>, step: Step) -> Vec<(Reason, String)> {
        Cluster { name: "orders", step: &step, nodes, status, refused: None }
            .conditions()
            .into_iter()
            .map(|condition| (condition.reason, condition.message))
            .collect()
    }

    #[test]
    fn a_cluster_is_ready_when_every_broker_serves_and_every_shard_has_a_leader() {
        let nodes = [node(0, Phase::Serving), node(1, Phase::Serving)];
        let told = conditions(&nodes, Some(&status(vec![shard(Some(1), true)])), Step::Formed);
        assert_eq!(
            told,
            [
                (Reason::AllServing, "2 of 2 brokers serve".to_owned()),
                (Reason::AllServing, "all mirrors of 1 shards are in sync".to_owned())
            ]
        );
        let told = conditions(&nodes, Some(&status(vec![shard(None, false)])), Step::Formed);
        assert_eq!(told[0].0, Reason::ShardsWithoutLeader);
        assert_eq!(told[1].0, Reason::ReplicasBehind);
    }

    #[test]
    fn who_is_waited_for_is_named() {
        let told = conditions(&[node(0, Phase::Serving), node(1, Phase::Starting)], None, Step::Formed);
        assert_eq!(told[0].1, "1 of 2 brokers serve; orders-1: looks for its peers");
        let told = conditions(&[node(0, Phase::Serving), None], None, Step::Wait);
        assert_eq!(told[0].1, "1 of 2 brokers serve; orders-1 does not answer yet");
    }

    #[test]
    fn lost_data_is_said_with_what_to_do() {
        let told = conditions(&[None], None, Step::DataLost);
        assert_eq!(told[0].0, Reason::DataLost);
        assert!(told[0].1.contains("--data-dir"));
    }
}
