//! What tests build on: resources through the real parsing and checking.

use std::time::SystemTime;

use ferrymq_admin_api::{ClusterStatus, NodeStatus, NodeView, Phase, QueueView, ShardView, TopicView};
use ferrymq_api::{CheckedTopic, CheckedUser, Cluster, MessageQueue, Resource, Topic, User, parse_resources};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use serde_json::json;

use crate::{
    cluster_state::{ClusterState, Formed},
    message_queue::{
        certificates,
        dereference::{Credentials, Observed},
        forming::Forming,
        plan::Plan,
        restart::Restart,
        scale::{Scale, Step},
    },
    settings::Settings,
    topic,
};

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: ferrymq.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop, uid: uid-of-{name}, \
         generation: 1}}\nspec: {spec}\n"
    )
}

/// A checked cluster `orders` in namespace `shop`.
pub(crate) fn cluster(spec: &str) -> Cluster {
    match parse_resources(&document("MessageQueue", "orders", spec), "test.yaml").unwrap().remove(0) {
        Resource::MessageQueue(_, cluster) => *cluster,
        other => panic!("{other:?}"),
    }
}

/// Its resource.
pub(crate) fn resource(spec: &str) -> MessageQueue {
    match parse_resources(&document("MessageQueue", "orders", spec), "test.yaml").unwrap().remove(0) {
        Resource::MessageQueue(resource, _) => *resource,
        other => panic!("{other:?}"),
    }
}

fn parsed_topic(spec: &str) -> (Topic, CheckedTopic) {
    let cluster = document("MessageQueue", "orders", "{replicas: 7, storage: {size: 1Gi}}");
    let text = format!("{cluster}---\n{}", document("Topic", "order-created", spec));
    match parse_resources(&text, "test.yaml").unwrap().remove(1) {
        Resource::Topic(resource, topic) => (*resource, *topic),
        other => panic!("{other:?}"),
    }
}

/// A checked topic `order-created`.
pub(crate) fn topic(spec: &str) -> CheckedTopic {
    parsed_topic(spec).1
}

/// Its resource.
pub(crate) fn topic_resource(spec: &str) -> Topic {
    parsed_topic(spec).0
}

/// The topic, as a broker has it that was told; its one queue has seven messages.
pub(crate) fn topic_view(topic: &CheckedTopic) -> TopicView {
    let queues = topic.queues.iter().map(|queue| QueueView {
        name: queue.name.clone(),
        messages: 7,
        consumers: 1,
        leader: Some(1),
    });
    TopicView {
        declaration: topic::declaration(topic),
        in_sync: true,
        drift: String::new(),
        replicated: true,
        queues: queues.collect(),
        partitions: Vec::new(),
    }
}

fn parsed_user(spec: &str) -> (User, CheckedUser) {
    let cluster = document("MessageQueue", "orders", "{storage: {size: 1Gi}}");
    let text = format!("{cluster}---\n{}", document("User", "billing", spec));
    match parse_resources(&text, "test.yaml").unwrap().remove(1) {
        Resource::User(resource, user) => (*resource, *user),
        other => panic!("{other:?}"),
    }
}

/// A checked user `billing`.
pub(crate) fn user(spec: &str) -> CheckedUser {
    parsed_user(spec).1
}

/// Its resource.
pub(crate) fn user_resource(spec: &str) -> User {
    parsed_user(spec).0
}

/// A cluster of three brokers that is there.
pub(crate) fn formed() -> ClusterState {
    ClusterState::Formed(Formed { brokers: 3, mirrors: Some(3), paused: false })
}

pub(crate) fn settings() -> Settings {
    Settings {
        broker_image: "ferrymq:1".to_owned(),
        broker_image_pull_policy: None,
        namespaces: Vec::new(),
        probe_address: ([127, 0, 0, 1], 0).into(),
        metrics_address: ([127, 0, 0, 1], 0).into(),
        lease: None,
    }
}

pub(crate) fn credentials() -> Credentials {
    Credentials {
        username: "user-1".to_owned(),
        password: "p@ss/".to_owned(),
        token: "token".to_owned(),
        trust: None,
        version: Some("1".to_owned()),
    }
}

/// The plan of a cluster of which nothing is there yet.
pub(crate) fn plan(cluster: &Cluster) -> Plan {
    Plan {
        scale: Scale { replicas: cluster.replicas, step: Step::None },
        image: cluster.pods.image.clone().unwrap_or_else(|| "ferrymq:1".to_owned()),
        pull_policy: None,
        kept: None,
        kept_claims: None,
        update: None,
        overdue: false,
        forming: Forming::Wait("the brokers start".to_owned()),
        restart: Restart::None,
        certificates: certificates::next(cluster, &Observed::default(), SystemTime::now()),
        operator_namespace: Some("ferrymq-system".to_owned()),
        lost_volume: None,
    }
}

/// What a broker says of itself.
pub(crate) fn node(ordinal: u32, phase: Phase, cluster: Option<&str>) -> NodeStatus {
    NodeStatus {
        ordinal,
        uuid: format!("uuid-{ordinal}"),
        phase,
        message: String::new(),
        cluster_id: cluster.map(str::to_owned),
        node_id: cluster.map(|_| u64::from(ordinal) + 1),
        version: "0.1.0".to_owned(),
        disk: None,
        certificates: Vec::new(),
        archive: None,
        restoration: None,
    }
}

/// A shard placed on these nodes, in sync on those.
pub(crate) fn shard(id: u32, placed_on: &[u64], in_sync: &[u64]) -> ShardView {
    ShardView {
        id,
        placed_on: placed_on.to_vec(),
        voters: placed_on.to_vec(),
        leader: in_sync.first().copied(),
        in_sync: in_sync.to_vec(),
        healthy: placed_on == in_sync,
    }
}

/// Three nodes, the first of which leads the catalogue, with these shards.
pub(crate) fn view(shards: Vec<ShardView>) -> ClusterStatus {
    let node = |ordinal: u32| NodeView {
        id: u64::from(ordinal) + 1,
        ordinal,
        uuid: format!("uuid-{ordinal}"),
        zone: None,
        reachable: true,
        version: None,
        leaders: 1,
        replicas: 1,
        draining: false,
    };
    ClusterStatus {
        cluster_id: "c".to_owned(),
        catalogue_leader: Some(1),
        nodes: (0..3).map(node).collect(),
        shards,
        messages: 0,
        queues: 0,
    }
}

/// Three brokers that serve, whose pods are of these revisions; `new` is the one to be.
pub(crate) fn rolling(revisions: [&str; 3]) -> Observed {
    let set: StatefulSet = serde_json::from_value(json!({
        "metadata": {"name": "orders", "generation": 7},
        "status": {"observedGeneration": 7, "updateRevision": "new", "replicas": 3},
    }))
    .unwrap();
    let mut observed = Observed { stateful_set: Some(set), ..Observed::default() };
    for (ordinal, revision) in (0..).zip(revisions) {
        let name = format!("orders-{ordinal}");
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": name, "labels": {"controller-revision-hash": revision}},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        )
        .unwrap();
        let claim = json!({"metadata": {"name": format!("data-{name}")}, "status": {"phase": "Bound"}});
        observed.pods.insert(ordinal, pod);
        observed.claims.insert(ordinal, serde_json::from_value(claim).unwrap());
        observed.brokers.insert(ordinal, Ok(node(ordinal, Phase::Serving, Some("c"))));
    }
    observed.view = Some(view(vec![shard(1, &[1, 2, 3], &[1, 2, 3])]));
    observed
}
