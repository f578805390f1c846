//! What may happen now, and what must wait for what. Pure.

use std::collections::BTreeMap;

use ferrymq_admin_api::NodeStatus;
use ferrymq_api::{Cluster, MessageQueue};
use k8s_openapi::api::{
    apps::v1::StatefulSetSpec,
    core::v1::{ConfigMap, PersistentVolumeClaim},
};
use kube::ResourceExt;

use crate::{
    message_queue::{
        build::input,
        dereference::Observed,
        forming::{self, Forming},
        restart::{self, Restart},
        scale::{self, Scale},
    },
    names::{self, INPUT_ANNOTATION},
    objects::Kind,
    settings::Settings,
};

/// What may happen now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// How many pods there are to be, and what comes next about that.
    pub(crate) scale: Scale,
    /// The image of new pods.
    pub(crate) image: String,
    /// When it is pulled.
    pub(crate) pull_policy: Option<String>,
    /// The StatefulSet's spec as it is, where what it was built from has not changed.
    pub(crate) kept_spec: Option<StatefulSetSpec>,
    /// The claims' templates as they are; they can never change.
    pub(crate) kept_claims: Option<Vec<PersistentVolumeClaim>>,
    /// The brokers' configuration as it is, where what it was built from has not changed.
    pub(crate) kept_configuration: Option<String>,
    /// The operator's own image, where brokers are left on another.
    pub(crate) newer_image: Option<String>,
    /// Whether the cluster is to be formed.
    pub(crate) forming: Forming,
    /// Which broker may be restarted.
    pub(crate) restart: Restart,
}

pub(crate) fn next(resource: &MessageQueue, cluster: &Cluster, observed: &Observed, settings: &Settings) -> Plan {
    let live = observed.stateful_set.as_ref();
    let live_spec = live.and_then(|set| set.spec.as_ref());
    let same_input =
        live.and_then(|set| set.annotations().get(INPUT_ANNOTATION)).is_some_and(|mark| *mark == input(cluster));
    let kept_spec = live_spec.filter(|_| same_input).cloned();
    let image = cluster.pods.image.clone().unwrap_or_else(|| settings.broker_image.clone());
    let running = live_spec.and_then(image_of);
    let newer_image =
        (kept_spec.is_some() && running.as_ref().is_some_and(|running| *running != image)).then(|| image.clone());
    let pull_policy = match (&cluster.pods.pull_policy, &cluster.pods.image) {
        (Some(policy), _) => Some(policy.as_str().to_owned()),
        (None, None) => settings.broker_image_pull_policy.clone(),
        (None, Some(_)) => None,
    };
    let answers: BTreeMap<u32, NodeStatus> = observed
        .brokers
        .iter()
        .filter_map(|(ordinal, answer)| Some((*ordinal, answer.as_ref().ok()?.clone())))
        .collect();
    let recorded = resource.status.as_ref().and_then(|status| status.formation.as_ref());
    Plan {
        scale: scale::decide(cluster, observed),
        image,
        pull_policy,
        kept_configuration: kept_spec.as_ref().and_then(|_| configuration_of(cluster, observed)),
        kept_spec,
        kept_claims: live_spec.and_then(|spec| spec.volume_claim_templates.clone()),
        newer_image,
        forming: forming::decide(cluster, recorded, &answers, &uuid::Uuid::new_v4().to_string()),
        restart: restart::decide(cluster, observed),
    }
}

fn image_of(spec: &StatefulSetSpec) -> Option<String> {
    let containers = &spec.template.spec.as_ref()?.containers;
    containers.iter().find(|container| container.name == "broker")?.image.clone()
}

fn configuration_of(cluster: &Cluster, observed: &Observed) -> Option<String> {
    let object = observed.objects.get(&(Kind::ConfigMap, names::config_map(&cluster.name)))?;
    let map: ConfigMap = serde_json::from_value(serde_json::to_value(object).ok()?).ok()?;
    map.data?.remove(names::CONFIG_FILE)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::StatefulSet;

    use super::*;
    use crate::{
        fixture::{cluster, plan, resource, settings},
        message_queue::build,
        objects::Object,
    };

    /// What there is after an operator with this image has written its objects.
    fn written_by(spec: &str, image: &str) -> Observed {
        let cluster = cluster(spec);
        let plan = Plan { image: image.to_owned(), ..plan(&cluster) };
        let objects = build::objects(&cluster, &plan, &crate::fixture::credentials()).unwrap();
        let mut observed = Observed::default();
        for Object { kind, name, value } in objects {
            if kind == Kind::StatefulSet {
                observed.stateful_set = Some(serde_json::from_value::<StatefulSet>(value.clone()).unwrap());
            }
            observed.objects.insert((kind, name), serde_json::from_value(value).unwrap());
        }
        observed
    }

    fn next_of(spec: &str, observed: &Observed, image: &str) -> Plan {
        let mut settings = settings();
        settings.broker_image = image.to_owned();
        next(&resource(spec), &cluster(spec), observed, &settings)
    }

    #[test]
    fn a_new_operator_leaves_running_brokers_on_their_image_and_configuration() {
        let spec = "{storage: {size: 1Gi}}";
        let observed = written_by(spec, "ferrymq:1");
        let plan = next_of(spec, &observed, "ferrymq:2");
        let set = observed.stateful_set.as_ref().and_then(|set| set.spec.clone());
        assert_eq!(plan.kept_spec.as_ref().map(|spec| &spec.template), set.as_ref().map(|spec| &spec.template));
        assert!(plan.kept_configuration.is_some());
        assert_eq!(plan.newer_image.as_deref(), Some("ferrymq:2"));
    }

    #[test]
    fn a_changed_spec_makes_a_new_template_but_keeps_the_claims() {
        let observed = written_by("{storage: {size: 1Gi}}", "ferrymq:1");
        let plan = next_of("{storage: {size: 1Gi}, image: 'ferrymq:2'}", &observed, "ferrymq:3");
        assert_eq!((plan.kept_spec.is_none(), plan.image.as_str(), plan.newer_image), (true, "ferrymq:2", None));
        assert!(plan.kept_claims.is_some());
    }
}
