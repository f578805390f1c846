//! Whether a cluster is to be formed. Once: what decides is what the status says was done, and what the brokers say they
//! are; that all volumes are empty is no reason.

use std::collections::{BTreeMap, BTreeSet};

use ferrymq_admin_api::{NodeStatus, Phase};
use ferrymq_api::{Cluster, FormationRecord, MemberRecord, to_the_second};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use crate::names;

/// What is to be done about forming.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Forming {
    /// Not all brokers are there to be asked.
    Wait(String),
    /// Write down which cluster is to be formed; carry it out afterwards.
    Record(FormationRecord),
    /// Brokers have a cluster that this resource does not know of: it was made again over volumes that were retained.
    Adopt(FormationRecord),
    /// Carry out what was written down.
    Form(FormationRecord),
    /// A broker serves in the cluster: write down that it is done.
    Finish,
    /// There is nothing to do: the cluster is there, or will be found by its brokers themselves.
    Done,
    /// No broker has its data any more.
    DataLost(String),
    /// Brokers belong to different clusters.
    Foreign(String),
}

/// What is to be done, from what was recorded and what the brokers say. `new_id` is the id of a cluster to be formed.
pub(crate) fn decide(
    cluster: &Cluster,
    recorded: Option<&FormationRecord>,
    brokers: &BTreeMap<u32, NodeStatus>,
    new_id: &str,
) -> Forming {
    if let Some(sentence) = different_clusters(cluster, recorded, brokers) {
        return Forming::Foreign(sentence);
    }
    let found: Option<&str> = brokers.values().find_map(|node| node.cluster_id.as_deref());
    let missing: Vec<u32> = (0..cluster.replicas).filter(|ordinal| !brokers.contains_key(ordinal)).collect();
    let all_unformed = missing.is_empty() && !brokers.is_empty() && brokers.values().all(is_unformed);
    match (recorded, found) {
        (None, Some(id)) => Forming::Adopt(record(id, Vec::new(), None)),
        (None, None) if all_unformed => Forming::Record(first(cluster, brokers, new_id)),
        (Some(recorded), Some(_)) if !recorded.complete => go_on(recorded, brokers),
        (Some(_), Some(_)) => Forming::Done,
        (Some(recorded), None) if !all_unformed => {
            if recorded.complete {
                Forming::Done
            } else {
                wait(cluster, &missing)
            }
        }
        (Some(recorded), None) if recorded.complete => Forming::DataLost(data_lost(recorded, cluster)),
        (Some(recorded), None) => carry_out(cluster, recorded, brokers, new_id),
        (None, None) => wait(cluster, &missing),
    }
}

/// Written down, not known to be done, and brokers have been given their places. That proves only that it was begun: whoever
/// carried it out may have got no further. One that serves proves that it is done.
fn go_on(recorded: &FormationRecord, brokers: &BTreeMap<u32, NodeStatus>) -> Forming {
    let found_on_volumes = recorded.members.is_empty();
    if found_on_volumes || brokers.values().any(|node| node.phase == Phase::Serving) {
        return Forming::Finish;
    }
    Forming::Form(recorded.clone())
}

/// Written down, not known to be done, and every broker is empty.
fn carry_out(
    cluster: &Cluster,
    recorded: &FormationRecord,
    brokers: &BTreeMap<u32, NodeStatus>,
    new_id: &str,
) -> Forming {
    let still_there = recorded.members.iter().filter(|member| {
        let ordinal = u32::try_from(member.ordinal).ok();
        ordinal.and_then(|ordinal| brokers.get(&ordinal)).is_some_and(|node| node.uuid == member.uuid)
    });
    let still_there = still_there.count();
    if still_there == recorded.members.len() && still_there > 0 {
        return Forming::Form(recorded.clone());
    }
    // A broker lost its volume before it was known whether the cluster was formed. A majority that is there unchanged and
    // knows of no cluster proves that it was not: nothing was ever confirmed to anybody.
    if still_there * 2 > recorded.members.len() {
        return Forming::Record(first(cluster, brokers, new_id));
    }
    Forming::DataLost(data_lost(recorded, cluster))
}

fn is_unformed(node: &NodeStatus) -> bool {
    node.phase == Phase::Unformed && node.cluster_id.is_none()
}

fn wait(cluster: &Cluster, missing: &[u32]) -> Forming {
    let missing: Vec<String> = missing.iter().map(|ordinal| names::pod(&cluster.name, *ordinal)).collect();
    Forming::Wait(if cluster.replicas == 0 {
        "there is nobody to form a cluster, as replicas is 0".to_owned()
    } else if missing.is_empty() {
        "the brokers start".to_owned()
    } else {
        format!("waiting for {} to answer", missing.join(", "))
    })
}

fn first(cluster: &Cluster, brokers: &BTreeMap<u32, NodeStatus>, id: &str) -> FormationRecord {
    let members = brokers
        .iter()
        .filter(|(ordinal, _)| **ordinal < cluster.replicas)
        .filter_map(|(ordinal, node)| {
            Some(MemberRecord { ordinal: i32::try_from(*ordinal).ok()?, uuid: node.uuid.clone() })
        })
        .collect();
    record(id, members, Some(i32::from(cluster.mirrors)))
}

fn record(id: &str, members: Vec<MemberRecord>, mirrors: Option<i32>) -> FormationRecord {
    let time = Time(to_the_second(Timestamp::now()));
    FormationRecord { cluster_id: id.to_owned(), members, mirrors, time, complete: false }
}

fn data_lost(recorded: &FormationRecord, cluster: &Cluster) -> String {
    format!(
        "no broker has the data of cluster {} any more: all {} volumes are empty. Bring the volumes back, or delete this \
         MessageQueue and make it again to begin with an empty cluster; until then nothing is formed",
        recorded.cluster_id, cluster.replicas
    )
}

/// Why the brokers, or the record and the brokers, cannot be one cluster.
fn different_clusters(
    cluster: &Cluster,
    recorded: Option<&FormationRecord>,
    brokers: &BTreeMap<u32, NodeStatus>,
) -> Option<String> {
    let mut holders: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (ordinal, node) in brokers {
        if let Some(id) = node.cluster_id.as_deref() {
            holders.entry(id).or_default().push(names::pod(&cluster.name, *ordinal));
        }
    }
    let mut ids: BTreeSet<&str> = holders.keys().copied().collect();
    ids.extend(recorded.map(|recorded| recorded.cluster_id.as_str()));
    if ids.len() <= 1 {
        return None;
    }
    let mut parts: Vec<String> = holders
        .iter()
        .map(|(id, pods)| {
            format!("{} {} to cluster {id}", pods.join(", "), if pods.len() == 1 { "belongs" } else { "belong" })
        })
        .collect();
    if let Some(recorded) = recorded {
        parts.push(format!("this MessageQueue was formed as cluster {}", recorded.cluster_id));
    }
    Some(format!("{}; give the brokers that are foreign the volumes that are theirs, or empty ones", parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, node};

    fn three() -> Cluster {
        cluster("{replicas: 3, storage: {size: 1Gi}}")
    }

    fn unformed() -> BTreeMap<u32, NodeStatus> {
        (0..3).map(|ordinal| (ordinal, node(ordinal, Phase::Unformed, None))).collect()
    }

    fn recorded(complete: bool) -> FormationRecord {
        FormationRecord { complete, ..first(&three(), &unformed(), "old") }
    }

    #[test]
    fn nothing_is_formed_until_every_broker_answers() {
        let mut brokers = unformed();
        brokers.remove(&1);
        assert_eq!(decide(&three(), None, &brokers, "new"), Forming::Wait("waiting for orders-1 to answer".to_owned()));
    }

    #[test]
    fn the_intent_is_written_down_before_it_is_carried_out() {
        let Forming::Record(record) = decide(&three(), None, &unformed(), "new") else { panic!("no record") };
        assert_eq!((record.cluster_id.as_str(), record.members.len(), record.mirrors), ("new", 3, Some(3)));
        assert_eq!(decide(&three(), Some(&record), &unformed(), "other"), Forming::Form(record));
    }

    #[test]
    fn a_broker_that_serves_ends_the_forming_and_one_that_was_only_given_its_place_does_not() {
        let mut brokers = unformed();
        brokers.insert(0, node(0, Phase::Joining, Some("old")));
        assert_eq!(decide(&three(), Some(&recorded(false)), &brokers, "new"), Forming::Form(recorded(false)));
        brokers.insert(0, node(0, Phase::Serving, Some("old")));
        assert_eq!(decide(&three(), Some(&recorded(false)), &brokers, "new"), Forming::Finish);
        assert_eq!(decide(&three(), Some(&recorded(true)), &brokers, "new"), Forming::Done);
    }

    #[test]
    fn empty_volumes_of_a_formed_cluster_are_data_lost_and_no_reason_to_form_another() {
        let Forming::DataLost(sentence) = decide(&three(), Some(&recorded(true)), &unformed(), "new") else {
            panic!("not told")
        };
        assert!(sentence.contains("cluster old"), "{sentence}");
    }

    #[test]
    fn a_formed_cluster_whose_brokers_are_silent_is_waited_for() {
        let mut brokers = unformed();
        brokers.remove(&2);
        assert_eq!(decide(&three(), Some(&recorded(true)), &brokers, "new"), Forming::Done);
    }

    #[test]
    fn retained_volumes_are_found_again_and_not_formed_over() {
        let mut brokers = unformed();
        brokers.insert(2, node(2, Phase::Starting, Some("ancient")));
        let Forming::Adopt(record) = decide(&three(), None, &brokers, "new") else { panic!("not adopted") };
        assert_eq!((record.cluster_id.as_str(), record.members.len()), ("ancient", 0));
    }

    #[test]
    fn a_volume_lost_between_intent_and_deed_begins_anew_only_where_a_majority_proves_that_nothing_was_formed() {
        let mut brokers = unformed();
        brokers.insert(0, NodeStatus { uuid: "another".to_owned(), ..node(0, Phase::Unformed, None) });
        assert!(matches!(decide(&three(), Some(&recorded(false)), &brokers, "new"), Forming::Record(_)));
        brokers.insert(1, NodeStatus { uuid: "another too".to_owned(), ..node(1, Phase::Unformed, None) });
        assert!(matches!(decide(&three(), Some(&recorded(false)), &brokers, "new"), Forming::DataLost(_)));
    }

    #[test]
    fn brokers_of_different_clusters_are_told_apart_by_name() {
        let mut brokers = unformed();
        brokers.insert(0, node(0, Phase::Serving, Some("a")));
        brokers.insert(1, node(1, Phase::Serving, Some("b")));
        let Forming::Foreign(sentence) = decide(&three(), None, &brokers, "new") else { panic!("not told") };
        assert!(sentence.starts_with("orders-0 belongs to cluster a; orders-1 belongs to cluster b"), "{sentence}");
        brokers.remove(&1);
        assert!(matches!(decide(&three(), Some(&recorded(true)), &brokers, "new"), Forming::Foreign(_)));
    }
}
