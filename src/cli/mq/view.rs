//! A cluster as its status has it, and what comes next. Pure.

use ferrymq_api::{ConditionType, MessageQueue, NodeState, Reason, ShardSummary, UpdatePlan};
use kube::ResourceExt;
use serde::Serialize;

/// A cluster, as somebody who asks for it wants to see it. Also what `-o json` prints: fields are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Brokers that the spec asks for.
    pub(crate) wanted: i32,
    /// Brokers that serve.
    pub(crate) serving: i32,
    pub(crate) version: Option<String>,
    pub(crate) messages: Option<i64>,
    pub(crate) queues: Option<i64>,
    pub(crate) brokers: Vec<BrokerView>,
    pub(crate) shards: Option<ShardSummary>,
    /// Restarts that are to come.
    pub(crate) plan: Option<UpdatePlan>,
    /// Conditions that are not as they should be.
    pub(crate) concerns: Vec<Concern>,
    /// What comes next, and who does it.
    pub(crate) next: Next,
}

/// A broker of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BrokerView {
    pub(crate) name: String,
    pub(crate) zone: Option<String>,
    pub(crate) state: NodeState,
    /// Shards that it leads.
    pub(crate) leaders: i32,
    /// Shards that it holds.
    pub(crate) replicas: i32,
    /// How full its disk is, of a hundred.
    pub(crate) disk_used_percent: Option<i32>,
}

/// A condition that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Concern {
    pub(crate) condition: String,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "who", content = "what", rename_all = "camelCase")]
pub(crate) enum Next {
    /// Nobody has looked at the latest change yet.
    Unseen(String),
    /// A person has to change something.
    Person(String),
    /// The operator is on its way.
    Operator(String),
    /// There is nothing to do now, but something that somebody may want to do, or that waits for its time.
    Choice(String),
    /// There is nothing to do.
    Nobody,
}

impl View {
    pub(crate) fn of(cluster: &MessageQueue) -> Self {
        let status = cluster.status.clone().unwrap_or_default();
        let brokers = status.nodes.into_iter().map(|node| BrokerView {
            name: node.name,
            zone: node.zone,
            state: node.state,
            leaders: node.leaders.unwrap_or_default(),
            replicas: node.replicas.unwrap_or_default(),
            disk_used_percent: node.disk_used_percent,
        });
        Self {
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
            wanted: cluster.spec.replicas,
            serving: status.ready_replicas,
            version: status.version,
            messages: status.messages,
            queues: status.queues,
            brokers: brokers.collect(),
            shards: status.shards,
            plan: status.plan,
            concerns: concerns(cluster),
            next: next(cluster),
        }
    }

    /// There is nothing to do, for anybody.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.next, Next::Nobody | Next::Choice(_))
    }
}

/// The conditions that are not as they should be; `Reconciling` is none, as it is what comes next.
fn concerns(cluster: &MessageQueue) -> Vec<Concern> {
    let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
    let not_good = conditions.filter(|condition| {
        let good = if condition.type_ == ConditionType::Stalled.as_str() { "False" } else { "True" };
        condition.type_ != ConditionType::Reconciling.as_str() && condition.status != good
    });
    let concern = |condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| Concern {
        condition: condition.type_.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    };
    not_good.map(concern).collect()
}

fn next(cluster: &MessageQueue) -> Next {
    let Some(status) = cluster.status.as_ref().filter(|status| !status.conditions.is_empty()) else {
        return Next::Unseen("no operator has looked at it yet".to_owned());
    };
    if status.observed_generation != cluster.metadata.generation {
        return Next::Unseen("the operator has not seen the latest change yet".to_owned());
    }
    let is_true = |kind: ConditionType| {
        let mut conditions = status.conditions.iter();
        conditions.find(|condition| condition.type_ == kind.as_str() && condition.status == "True")
    };
    if let Some(stalled) = is_true(ConditionType::Stalled) {
        return Next::Person(stalled.message.clone());
    }
    if cluster.spec.paused {
        return Next::Choice("spec.paused is true: the operator changes nothing until it is false".to_owned());
    }
    if let Some(reconciling) = is_true(ConditionType::Reconciling) {
        return Next::Operator(reconciling.message.clone());
    }
    let waits = [Reason::UpgradeWaits, Reason::ApprovalAwaited, Reason::WindowAwaited].map(Reason::as_str);
    let later = status.conditions.iter().find(|condition| waits.contains(&condition.reason.as_str()));
    later.map_or(Next::Nobody, |later| Next::Choice(later.message.clone()))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A cluster of three brokers in two zones, of which one catches up.
    pub(crate) fn catching_up() -> MessageQueue {
        let node = |name: &str, zone: &str, state: &str, leaders: i32| json!({"name": name, "zone": zone, "state": state, "leaders": leaders, "replicas": 12});
        let condition = |kind: &str, status: &str, reason: &str, message: &str| {
            json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 2,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let behind = "all 3 brokers serve; 4 of 13 shards miss mirrors: broker 1 catches up";
        serde_json::from_value(json!({
            "apiVersion": "ferrymq.io/v1alpha1", "kind": "MessageQueue",
            "metadata": {"name": "orders", "namespace": "shop", "generation": 2},
            "spec": {"storage": {"size": "1Gi"}},
            "status": {
                "observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "version": "0.1.0",
                "messages": 1_204_331, "queues": 7,
                "nodes": [node("orders-0", "a", "Serving", 5), node("orders-1", "b", "Serving", 0),
                    node("orders-2", "a", "Serving", 7)],
                "shards": {"total": 13, "healthy": 9, "underReplicated": 4, "withoutLeader": 0},
                "conditions": [
                    condition("Ready", "False", "ReplicasBehind", behind),
                    condition("Reconciling", "True", "Progressing", behind),
                    condition("Stalled", "False", "NothingInTheWay", "nothing is in the way"),
                    condition("ScaleComplete", "True", "AllRunning", "3 of 3 brokers belong to the cluster"),
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_is_not_good_is_a_concern_and_what_goes_on_is_next() {
        let view = View::of(&catching_up());
        let concerns: Vec<&str> = view.concerns.iter().map(|concern| concern.condition.as_str()).collect();
        assert_eq!(concerns, ["Ready"]);
        assert!(matches!(&view.next, Next::Operator(what) if what.contains("broker 1 catches up")), "{:?}", view.next);
    }

    #[test]
    fn what_was_not_seen_yet_is_not_settled() {
        let mut cluster = catching_up();
        cluster.metadata.generation = Some(3);
        assert!(matches!(View::of(&cluster).next, Next::Unseen(_)));
        cluster.status = None;
        assert!(matches!(View::of(&cluster).next, Next::Unseen(_)));
    }

    #[test]
    fn restarts_that_wait_for_a_window_are_a_choice_and_the_cluster_is_settled() {
        let mut cluster = catching_up();
        let conditions = &mut cluster.status.as_mut().unwrap().conditions;
        conditions[1].status = "False".to_owned();
        conditions[3].reason = "WindowAwaited".to_owned();
        conditions[3].message = "orders-2 is to be restarted, when the next maintenance window opens".to_owned();
        let view = View::of(&cluster);
        assert!(view.is_settled() && matches!(&view.next, Next::Choice(what) if what.contains("window")), "{view:?}");
    }

    #[test]
    fn a_person_is_asked_before_anything_else() {
        let mut cluster = catching_up();
        let conditions = &mut cluster.status.as_mut().unwrap().conditions;
        conditions[2].status = "True".to_owned();
        conditions[2].message = "set replicas to at least 3".to_owned();
        assert_eq!(View::of(&cluster).next, Next::Person("set replicas to at least 3".to_owned()));
    }
}
