//! The cluster is formed once, and that is recorded before it is done: a data directory that was lost can never become a
//! second cluster under the same name.

use ferrymq_admin_api::{Formation, Member, NewUser, NodeStatus, Phase};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is recorded of the formation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The cluster's id.
    pub(super) cluster_id: String,
    /// Its first nodes.
    pub(super) members: Vec<Member>,
    /// Mirrors of a queue that asks for no number.
    pub(super) default_mirrors: u8,
    /// The nodes were told, and agreed.
    pub(super) formed: bool,
}

impl Record {
    /// The name of its file.
    pub(crate) const FILE: &str = "formation.json";

    /// A record of these nodes under a new id.
    pub(crate) fn new(members: Vec<Member>, default_mirrors: u8) -> Self {
        Self { cluster_id: Uuid::new_v4().to_string(), members, default_mirrors, formed: false }
    }

    /// A record of nodes that were told this, and agreed.
    pub(crate) fn of(formation: &Formation) -> Self {
        Self {
            cluster_id: formation.cluster_id.clone(),
            members: formation.members.clone(),
            default_mirrors: formation.default_mirrors,
            formed: true,
        }
    }

    /// What the nodes are told.
    pub(crate) fn formation(&self) -> Formation {
        Formation {
            cluster_id: self.cluster_id.clone(),
            members: self.members.clone(),
            default_mirrors: self.default_mirrors,
            users: vec![guest()],
            restore: None,
        }
    }
}

/// A node, as it is recorded.
fn member(node: &NodeStatus) -> Member {
    Member { ordinal: node.ordinal, uuid: node.uuid.clone(), zone: None }
}

/// The user that every dev cluster has.
fn guest() -> NewUser {
    NewUser { name: "guest".to_owned(), password: "guest".to_owned(), loopback_only: true }
}

/// What is to be done next about the formation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it is formed, and has members that know it.
    Formed,
    /// Nothing yet.
    Wait,
    /// Write this record, and look again.
    Record(Record),
    /// Tell the nodes what was recorded, and record that it is done when they agreed.
    Form,
    /// Record that it was done: the nodes know it, and only the record does not.
    Agreed,
    /// The data of all brokers is gone.
    DataLost,
    /// Brokers have data of another cluster: which ones.
    Foreign(Vec<u32>),
}

/// What is to be done next: `nodes` says of each broker what it says of itself, where it answers.
pub(super) fn next(record: Option<&Record>, nodes: &[Option<NodeStatus>], default_mirrors: u8) -> Step {
    let answers: Vec<_> = nodes.iter().flatten().collect();
    let ours = record.map(|record| record.cluster_id.as_str());
    let foreign: Vec<_> = answers
        .iter()
        .filter(|node| node.cluster_id.is_some() && node.cluster_id.as_deref() != ours)
        .map(|node| node.ordinal)
        .collect();
    if !foreign.is_empty() {
        return Step::Foreign(foreign);
    }
    let all_answer = answers.len() == nodes.len();
    let Some(record) = record else {
        return match nodes.iter().cloned().collect::<Option<Vec<_>>>() {
            Some(nodes) => Step::Record(Record::new(nodes.iter().map(member).collect(), default_mirrors)),
            None => Step::Wait,
        };
    };
    if answers.iter().any(|node| node.cluster_id.is_some()) {
        // A node that was given its place proves that forming was begun, one that serves that it was done.
        return match record.formed {
            true => Step::Formed,
            false if answers.iter().any(|node| node.phase == Phase::Serving) => Step::Agreed,
            false => Step::Form,
        };
    }
    if !all_answer || answers.iter().any(|node| node.phase != Phase::Unformed) {
        return Step::Wait;
    }
    let same = |member: &Member| answers.iter().any(|node| node.ordinal == member.ordinal && node.uuid == member.uuid);
    match record {
        Record { formed: false, members, .. } if members.iter().all(same) => Step::Form,
        _ => Step::DataLost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unformed(ordinal: u32) -> NodeStatus {
        NodeStatus {
            ordinal,
            uuid: format!("u-{ordinal}"),
            phase: Phase::Unformed,
            message: String::new(),
            cluster_id: None,
            node_id: None,
            version: String::new(),
            disk: None,
            certificates: Vec::new(),
            archive: None,
            restoration: None,
        }
    }

    fn of_cluster(ordinal: u32, cluster: &str) -> NodeStatus {
        NodeStatus { phase: Phase::Serving, cluster_id: Some(cluster.to_owned()), ..unformed(ordinal) }
    }

    fn record(formed: bool) -> Record {
        Record {
            cluster_id: "c".to_owned(),
            formed,
            ..Record::new(vec![member(&unformed(0)), member(&unformed(1))], 2)
        }
    }

    #[test]
    fn nothing_is_recorded_before_every_broker_answered() {
        assert_eq!(next(None, &[Some(unformed(0)), None], 2), Step::Wait);
    }

    #[test]
    fn new_brokers_are_recorded_then_told_and_then_recorded_as_formed() {
        let nodes = [Some(unformed(0)), Some(unformed(1))];
        let Step::Record(new) = next(None, &nodes, 2) else { panic!("nothing was recorded") };
        assert!(!new.formed);
        assert_eq!(next(Some(&new), &nodes, 2), Step::Form);
        let told = [Some(of_cluster(0, &new.cluster_id)), Some(unformed(1))];
        assert_eq!(next(Some(&new), &told, 2), Step::Agreed);
        assert_eq!(next(Some(&Record { formed: true, ..new }), &told, 2), Step::Formed);
    }

    #[test]
    fn a_start_that_died_between_record_and_formation_tells_the_same_once_more() {
        let record = record(false);
        assert_eq!(next(Some(&record), &[Some(unformed(0)), Some(unformed(1))], 1), Step::Form);
        assert_eq!((record.formation().cluster_id.as_str(), record.formation().default_mirrors), ("c", 2));
        let begun = NodeStatus { phase: Phase::Joining, ..of_cluster(0, "c") };
        assert_eq!(next(Some(&record), &[Some(begun), Some(unformed(1))], 2), Step::Form);
    }

    #[test]
    fn what_was_formed_is_never_formed_again() {
        assert_eq!(next(Some(&record(true)), &[Some(unformed(0)), Some(unformed(1))], 2), Step::DataLost);
        let other = NodeStatus { uuid: "another".to_owned(), ..unformed(1) };
        assert_eq!(next(Some(&record(false)), &[Some(unformed(0)), Some(other)], 2), Step::DataLost);
    }

    #[test]
    fn a_broker_that_lost_its_data_joins_by_itself() {
        assert_eq!(next(Some(&record(true)), &[Some(of_cluster(0, "c")), Some(unformed(1))], 2), Step::Formed);
    }

    #[test]
    fn data_of_another_cluster_is_not_touched() {
        assert_eq!(next(Some(&record(true)), &[Some(of_cluster(0, "other")), None], 2), Step::Foreign(vec![0]));
        assert_eq!(next(None, &[Some(of_cluster(0, "c")), None], 2), Step::Foreign(vec![0]));
    }
}
