//! At most as many brokers may be evicted at once as leave every queue its majority; one in any case, because a machine
//! that can never be drained costs more than a queue with a single mirror being away for a moment. A broker that is not
//! ready may be evicted always: it serves nothing, and its volume stays.

use ferrymq_api::Cluster;
use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{object_meta, selector};
use crate::names;

pub(crate) fn pod_disruption_budget(cluster: &Cluster) -> PodDisruptionBudget {
    let evictable = i32::try_from(cluster.tolerated_failures().max(1)).unwrap_or(1);
    PodDisruptionBudget {
        metadata: object_meta(cluster, names::pod_disruption_budget(&cluster.name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(evictable)),
            selector: Some(selector(cluster)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    fn evictable(spec: &str) -> Option<IntOrString> {
        pod_disruption_budget(&cluster(spec)).spec.unwrap().max_unavailable
    }

    #[test]
    fn as_many_may_go_at_a_time_as_leave_a_majority() {
        assert_eq!(evictable("{replicas: 3, storage: {size: 1Gi}}"), Some(IntOrString::Int(1)));
        assert_eq!(evictable("{replicas: 5, mirrors: 5, storage: {size: 1Gi}}"), Some(IntOrString::Int(2)));
        assert_eq!(evictable("{replicas: 9, mirrors: 3, storage: {size: 1Gi}}"), Some(IntOrString::Int(1)));
    }

    #[test]
    fn a_machine_with_a_single_broker_can_be_drained() {
        assert_eq!(evictable("{replicas: 1, storage: {size: 1Gi}}"), Some(IntOrString::Int(1)));
    }
}
