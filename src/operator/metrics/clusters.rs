//! Clusters as their statuses say, looked up at each scrape: one that is gone is gone from the next page.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use ferrymq_api::{ConditionType, MessageQueue};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt, runtime::reflector};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use super::Stores;

/// What the watches know, once this operator leads.
#[derive(Clone)]
pub(super) struct Clusters(pub(super) Arc<OnceLock<Vec<Stores>>>);

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clusters").finish_non_exhaustive()
    }
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Namespace and name.
type Key = (String, String);

impl Collector for Clusters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(stores) = self.0.get() else { return Ok(()) };
        let mut clusters: Vec<_> = stores.iter().flat_map(|stores| stores.clusters.state()).collect();
        clusters.sort_by_cached_key(|cluster| key_of(cluster));
        write_conditions(&mut encoder, &clusters)?;
        gauge(&mut encoder, "cluster_brokers", "Brokers that a MessageQueue asks for.", &clusters, |cluster| {
            i64::from(cluster.spec.replicas)
        })?;
        gauge(
            &mut encoder,
            "cluster_brokers_ready",
            "Brokers of a MessageQueue that serve clients.",
            &clusters,
            |it| it.status.as_ref().map_or(0, |status| status.ready_replicas.into()),
        )?;
        let topics: Vec<_> = stores.iter().flat_map(|stores| stores.topics.state()).collect();
        let topics = topics.iter().map(|topic| {
            let status = topic.status.as_ref();
            (topic.namespace(), &topic.spec.cluster, status.is_some_and(|status| ready(&status.conditions)))
        });
        of_clusters(&mut encoder, "cluster_topics", "Topics of a cluster, by whether they are ready.", topics)?;
        let users: Vec<_> = stores.iter().flat_map(|stores| stores.users.state()).collect();
        let users = users.iter().map(|user| {
            let status = user.status.as_ref();
            (user.namespace(), &user.spec.cluster, status.is_some_and(|status| ready(&status.conditions)))
        });
        of_clusters(&mut encoder, "cluster_users", "Users of a cluster, by whether they are ready.", users)
    }
}

fn key_of(cluster: &MessageQueue) -> Key {
    (cluster.namespace().unwrap_or_default(), cluster.name_any())
}

fn ready(conditions: &[Condition]) -> bool {
    conditions.iter().any(|it| it.type_ == ConditionType::Ready.as_str() && it.status == "True")
}

fn labels((namespace, name): &Key) -> Labels<'_> {
    vec![("namespace", namespace.as_str()), ("messagequeue", name.as_str())]
}

/// Each condition has three series, one of which is 1: none comes and goes.
fn write_conditions(encoder: &mut DescriptorEncoder<'_>, clusters: &[Arc<MessageQueue>]) -> fmt::Result {
    let help = "1 for the status that a condition of a MessageQueue has, 0 for those that it has not.";
    let mut metric = encoder.encode_descriptor("cluster_condition", help, None, MetricType::Gauge)?;
    for cluster in clusters {
        let key = key_of(cluster);
        for condition in cluster.status.iter().flat_map(|status| &status.conditions) {
            for status in ["True", "False", "Unknown"] {
                let mut labels = labels(&key);
                labels.extend([("type", condition.type_.as_str()), ("status", status)]);
                metric.encode_family(&labels)?.encode_gauge(&i64::from(condition.status == status))?;
            }
        }
    }
    Ok(())
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    clusters: &[Arc<MessageQueue>],
    figure: impl Fn(&MessageQueue) -> i64,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for cluster in clusters {
        metric.encode_family(&labels(&key_of(cluster)))?.encode_gauge(&figure(cluster))?;
    }
    Ok(())
}

/// Counts resources by the cluster that they are of.
fn of_clusters<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    resources: impl Iterator<Item = (Option<String>, &'a String, bool)>,
) -> fmt::Result {
    let mut counts: BTreeMap<Key, [i64; 2]> = BTreeMap::new();
    for (namespace, cluster, ready) in resources {
        let [not_ready, is_ready] = counts.entry((namespace.unwrap_or_default(), cluster.clone())).or_default();
        *(if ready { is_ready } else { not_ready }) += 1;
    }
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (key, [not_ready, is_ready]) in &counts {
        for (ready, count) in [("false", not_ready), ("true", is_ready)] {
            let mut labels = labels(key);
            labels.push(("ready", ready));
            metric.encode_family(&labels)?.encode_gauge(count)?;
        }
    }
    Ok(())
}

/// Watches that know of one of each.
pub(super) fn sample() -> Stores {
    Stores { clusters: store(CLUSTER), topics: store(TOPIC), users: store(USER), backups: reflector::store().0 }
}

const CLUSTER: &str = r#"{"metadata": {"name": "orders", "namespace": "shop"}, "spec": {"storage": {"size": "1Gi"}},
    "status": {"readyReplicas": 2, "conditions": [{"type": "Ready", "status": "False", "reason": "ReplicasBehind",
        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}"#;
const TOPIC: &str = r#"{"metadata": {"name": "order-created", "namespace": "shop"}, "spec": {"cluster": "orders"}}"#;
const USER: &str = r#"{"metadata": {"name": "alice", "namespace": "shop"}, "spec": {"cluster": "orders"}}"#;

fn store<K>(json: &str) -> reflector::Store<K>
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + 'static,
{
    let (reader, mut writer) = reflector::store();
    let whole =
        json.replacen('{', &format!("{{\"apiVersion\": \"ferrymq.io/v1alpha1\", \"kind\": \"{}\", ", K::kind(&())), 1);
    if let Ok(object) = serde_json::from_str(&whole) {
        writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(object));
    }
    reader
}

#[cfg(test)]
mod tests {
    use crate::metrics::sample_metrics;

    #[test]
    fn clusters_are_as_their_statuses_say() {
        let page = sample_metrics().unwrap();
        for line in [
            r#"ferrymq_cluster_condition{namespace="shop",messagequeue="orders",type="Ready",status="True"} 0"#,
            r#"ferrymq_cluster_condition{namespace="shop",messagequeue="orders",type="Ready",status="False"} 1"#,
            r#"ferrymq_cluster_brokers{namespace="shop",messagequeue="orders"} 3"#,
            r#"ferrymq_cluster_brokers_ready{namespace="shop",messagequeue="orders"} 2"#,
            r#"ferrymq_cluster_topics{namespace="shop",messagequeue="orders",ready="false"} 1"#,
            r#"ferrymq_cluster_users{namespace="shop",messagequeue="orders",ready="false"} 1"#,
            "ferrymq_operator_leader 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
        }
    }
}
