//! The brokers: all started at once, one volume each. Pods are replaced by the operator, one at a time and when that
//! endangers nothing (`OnDelete`), not by the StatefulSet's controller, which knows nothing of mirrors.

use std::collections::BTreeMap;

use ferrymq_api::Cluster;
use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
        },
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use serde_json::{Value, json};

use super::{archives, object_meta, pod, selector};
use crate::{
    message_queue::{certificates::client_secret, plan::Plan},
    names,
    objects::fingerprint,
};

pub(crate) fn stateful_set(cluster: &Cluster, plan: &Plan) -> StatefulSet {
    let mark = plan.kept.as_ref().map_or_else(|| input(cluster), |kept| kept.mark.clone());
    let mut metadata = object_meta(cluster, names::stateful_set(&cluster.name));
    metadata.annotations = Some(BTreeMap::from([(names::INPUT_ANNOTATION.to_owned(), mark)]));
    let replicas = i32::try_from(plan.scale.replicas).unwrap_or(i32::MAX);
    let mut spec = plan.kept.as_ref().map(|kept| kept.spec.clone()).unwrap_or_else(|| fresh(cluster, plan));
    spec.replicas = Some(replicas);
    spec.persistent_volume_claim_retention_policy = Some(retention());
    spec.update_strategy =
        Some(StatefulSetUpdateStrategy { type_: Some("OnDelete".to_owned()), ..StatefulSetUpdateStrategy::default() });
    StatefulSet { metadata, spec: Some(spec), ..StatefulSet::default() }
}

fn fresh(cluster: &Cluster, plan: &Plan) -> StatefulSetSpec {
    StatefulSetSpec {
        pod_management_policy: Some("Parallel".to_owned()),
        selector: selector(cluster),
        service_name: Some(names::nodes_service(&cluster.name)),
        template: pod::template(cluster, &plan.image, plan.pull_policy.as_deref()),
        volume_claim_templates: Some(plan.kept_claims.clone().unwrap_or_else(|| vec![claim(cluster)])),
        // Only what is replaced by hand and comes back is of interest; ten old templates are not.
        revision_history_limit: Some(2),
        ..StatefulSetSpec::default()
    }
}

/// The claims are never the StatefulSet's: one that somebody deletes would take all messages with it. See `reclaim.rs`.
fn retention() -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some("Retain".to_owned()),
        when_scaled: Some("Retain".to_owned()),
    }
}

fn claim(cluster: &Cluster) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".to_owned()),
            labels: Some(names::labels(cluster)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: cluster.storage.class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(cluster.storage.size.0.clone()))])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

/// What of the spec goes into pods and configuration. Pods are replaced when this changes, and only then.
///
/// A setting that is added in a later version must be left out while it has its default: else that version, once
/// installed, would restart every broker.
pub(crate) fn input(cluster: &Cluster) -> String {
    let listeners: Vec<Value> =
        cluster.listeners.iter().map(|listener| json!([listener.name, listener.scheme(), listener.port])).collect();
    let mut input = json!({
        "image": cluster.pods.image,
        "pullPolicy": cluster.pods.pull_policy.map(ferrymq_api::ImagePullPolicy::as_str),
        "pullSecrets": cluster.pods.pull_secrets,
        "resources": cluster.pods.resources,
        "spreadKey": cluster.pods.spread_key,
        "template": cluster.pods.template,
        "memoryHighWater": cluster.memory_high_water,
        "listeners": listeners,
    });
    if let (Some(secret), Some(input)) = (client_secret(cluster), input.as_object_mut()) {
        input.insert("clientTls".to_owned(), secret.into());
    }
    if let (Some(archives), Some(input)) = (archives::input(cluster), input.as_object_mut()) {
        input.insert("archives".to_owned(), archives);
    }
    fingerprint(&input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, plan};

    #[test]
    fn brokers_start_together_with_a_volume_each() {
        let cluster = cluster("{replicas: 3, storage: {size: 20Gi, storageClassName: fast}}");
        let spec = stateful_set(&cluster, &plan(&cluster)).spec.unwrap();
        assert_eq!(spec.pod_management_policy.as_deref(), Some("Parallel"));
        assert_eq!(spec.service_name.as_deref(), Some("orders-nodes"));
        let claims = spec.volume_claim_templates.unwrap();
        let claim = claims.first().and_then(|claim| claim.spec.as_ref()).unwrap();
        assert_eq!(claim.storage_class_name.as_deref(), Some("fast"));
    }

    #[test]
    fn volumes_outlive_the_stateful_set_whatever_is_said() {
        for spec in ["{storage: {size: 1Gi}}", "{storage: {size: 1Gi, reclaimPolicy: Delete}}"] {
            let cluster = cluster(spec);
            let spec = stateful_set(&cluster, &plan(&cluster)).spec.unwrap();
            let retention = spec.persistent_volume_claim_retention_policy.unwrap();
            assert_eq!(retention.when_deleted.as_deref(), Some("Retain"));
        }
    }

    #[test]
    fn scaling_and_reclaiming_restart_no_broker() {
        let before = input(&cluster("{replicas: 3, storage: {size: 1Gi}}"));
        assert_eq!(before, input(&cluster("{replicas: 5, storage: {size: 1Gi, reclaimPolicy: Delete}}")));
        assert_ne!(before, input(&cluster("{storage: {size: 1Gi}, image: 'ferrymq:2'}")));
        let with_tls = input(&cluster("{storage: {size: 1Gi}, tls: {}}"));
        assert_ne!(before, with_tls);
        assert_eq!(with_tls, input(&cluster("{storage: {size: 1Gi}, tls: {names: [a.b], certificateDuration: 9d}}")));
    }

    #[test]
    fn what_pods_were_built_from_has_the_same_mark_in_every_version() {
        assert_eq!(input(&cluster("{storage: {size: 1Gi}}")), "bbe9e8c7115ba591");
    }
}
