//! What may happen now, and what must wait for what. Pure.

use std::{collections::BTreeMap, time::SystemTime};

use ferrymq_admin_api::NodeStatus;
use ferrymq_api::{Cluster, ConditionType, MessageQueue};
use k8s_openapi::{
    api::{
        apps::v1::StatefulSetSpec,
        core::v1::{ConfigMap, PersistentVolumeClaim, PodSpec},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use crate::{
    message_queue::{
        build::input,
        certificates::{self, Certificates},
        dereference::Observed,
        forming::{self, Forming},
        machines::{self, LostVolume},
        restart::{self, Restart},
        scale::{self, Scale},
        trouble,
        update::{Gate, Target, Update, gate},
    },
    names::{self, APPROVED_ANNOTATION, INPUT_ANNOTATION},
    objects::Kind,
    settings::Settings,
};

/// How long brokers may be away before what was begun counts as stopped.
const COMES_BACK_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What may happen now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// How many pods there are to be, and what comes next about that.
    pub(crate) scale: Scale,
    /// The image of new pods.
    pub(crate) image: String,
    /// When it is pulled.
    pub(crate) pull_policy: Option<String>,
    /// What pods are made of now, where that is to stay.
    pub(crate) kept: Option<Kept>,
    /// The claims' templates as they are; they can never change.
    pub(crate) kept_claims: Option<Vec<PersistentVolumeClaim>>,
    /// The restarts that are to come.
    pub(crate) update: Option<Update>,
    /// Brokers were away for longer than a restart takes.
    pub(crate) overdue: bool,
    /// Whether the cluster is to be formed.
    pub(crate) forming: Forming,
    /// Which broker may be restarted.
    pub(crate) restart: Restart,
    /// Which certificates are made, and how they all are.
    pub(crate) certificates: Certificates,
    /// The operator's namespace, where it runs in the Kubernetes cluster.
    pub(crate) operator_namespace: Option<String>,
    /// What is to be done about a volume that went with its machine.
    pub(crate) lost_volume: Option<LostVolume>,
}

/// What pods are made of now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    /// The StatefulSet's spec.
    pub(crate) spec: StatefulSetSpec,
    /// Which state of the resource's spec that was built from.
    pub(crate) mark: String,
    /// The brokers' configuration, where it is there.
    pub(crate) configuration: Option<String>,
}

pub(crate) fn next(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> Plan {
    let live = observed.stateful_set.as_ref();
    // Where the StatefulSet is being made anew, its pods stay what they are.
    let orphaned = || observed.pods.values().filter(|_| live.is_none()).find_map(|pod| image_in(pod.spec.as_ref()?));
    let image = cluster.pods.image.clone().or_else(orphaned).unwrap_or_else(|| settings.broker_image.clone());
    let pull_policy = pull_policy(cluster, settings);
    let answers: BTreeMap<u32, NodeStatus> = observed
        .brokers
        .iter()
        .filter_map(|(ordinal, answer)| Some((*ordinal, answer.as_ref().ok()?.clone())))
        .collect();
    let recorded = resource.status.as_ref().and_then(|status| status.formation.as_ref());
    let approved = resource.annotations().get(APPROVED_ANNOTATION).map(String::as_str);
    let (kept, update) = update(cluster, observed, &image, approved, now);
    let gate = update.as_ref().map_or(Gate::Open, |update| update.gate);
    Plan {
        scale: scale::decide(cluster, observed),
        image,
        pull_policy,
        kept,
        kept_claims: live.and_then(|set| set.spec.as_ref()?.volume_claim_templates.clone()),
        update,
        overdue: is_overdue(resource, now),
        forming: forming::decide(cluster, recorded, &answers, &uuid::Uuid::new_v4().to_string()),
        restart: restart::decide(cluster, observed, gate),
        certificates: certificates::next(cluster, observed, SystemTime::now()),
        operator_namespace: settings.lease.as_ref().map(|lease| lease.namespace.clone()),
        lost_volume: machines::lost_volume(cluster, observed, now),
    }
}

/// What pods are to be made of as long as it is to stay what it is, and the restarts that are to come.
fn update(
    cluster: &Cluster,
    observed: &Observed,
    image: &str,
    approved: Option<&str>,
    now: Timestamp,
) -> (Option<Kept>, Option<Update>) {
    let Some(kept) = kept(cluster, observed) else { return (None, None) };
    let mark = input(cluster);
    let running = image_of(&kept.spec).unwrap_or_default();
    let by_operator = kept.mark == mark;
    let target = Target { mark: &mark, image, by_operator };
    let plan = |target: Target<'_>, brokers, gate| {
        let (id, image) = (target.id(), target.image.to_owned());
        Update { id, image, by_operator: target.by_operator, brokers: restart::in_order(brokers, observed), gate }
    };
    if by_operator && running == image {
        let outdated = restart::outdated(observed.stateful_set.as_ref(), &observed.pods);
        // What was begun goes on as what it was begun as.
        let target = Target { by_operator: false, ..target };
        let update = (!outdated.is_empty()).then(|| plan(target, outdated, gate(cluster, target, approved, now)));
        return (Some(kept), update);
    }
    // What cannot start is not kept until a window opens.
    let broken = !by_operator && trouble::of_pods(cluster, observed).iter().any(|trouble| trouble.stalls);
    let gate = if broken { Gate::Open } else { gate(cluster, target, approved, now) };
    let update = plan(target, observed.pods.keys().copied().collect(), gate);
    ((gate != Gate::Open).then_some(kept), Some(update))
}

/// Whether brokers were away for longer than a restart takes.
fn is_overdue(resource: &MessageQueue, now: Timestamp) -> bool {
    let mut conditions = resource.status.iter().flat_map(|status| &status.conditions);
    let ready = conditions.find(|condition| condition.type_ == ConditionType::Ready.as_str());
    ready.is_some_and(|ready| {
        ready.status != "True" && now.duration_since(ready.last_transition_time.0) > COMES_BACK_WITHIN
    })
}

fn kept(cluster: &Cluster, observed: &Observed) -> Option<Kept> {
    let set = observed.stateful_set.as_ref()?;
    let mark = set.annotations().get(INPUT_ANNOTATION)?.clone();
    Some(Kept { spec: set.spec.clone()?, mark, configuration: configuration_of(cluster, observed) })
}

fn image_of(spec: &StatefulSetSpec) -> Option<String> {
    image_in(spec.template.spec.as_ref()?)
}

/// When the image of a cluster's pods is pulled; Kubernetes' own default where there is none.
pub(crate) fn pull_policy(cluster: &Cluster, settings: &Settings) -> Option<String> {
    match (&cluster.pods.pull_policy, &cluster.pods.image) {
        (Some(policy), _) => Some(policy.as_str().to_owned()),
        (None, None) => settings.broker_image_pull_policy.clone(),
        (None, Some(_)) => None,
    }
}

fn image_in(pod: &PodSpec) -> Option<String> {
    pod.containers.iter().find(|container| container.name == "broker")?.image.clone()
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
        let mut observed = Observed::default();
        let made = certificates::make(&cluster, &observed, &plan.certificates, SystemTime::now()).unwrap();
        let objects = build::objects(&cluster, &plan, &observed, &made).unwrap();
        for Object { kind, name, value } in objects {
            if kind == Kind::StatefulSet {
                observed.stateful_set = Some(serde_json::from_value::<StatefulSet>(value.clone()).unwrap());
            }
            observed.objects.insert((kind, name), serde_json::from_value(value).unwrap());
        }
        observed
    }

    fn next_of(spec: &str, observed: &Observed, image: &str) -> Plan {
        approved_of(spec, observed, image, None)
    }

    fn approved_of(spec: &str, observed: &Observed, image: &str, approved: Option<&str>) -> Plan {
        let (mut settings, mut resource) = (settings(), resource(spec));
        settings.broker_image = image.to_owned();
        let approved = approved.map(|id| (APPROVED_ANNOTATION.to_owned(), id.to_owned()));
        resource.annotations_mut().extend(approved);
        next(&resource, &cluster(spec), observed, &settings, "2026-11-22T12:00:00Z".parse().unwrap())
    }

    const THREE: &str = "{storage: {size: 1Gi}}";

    #[test]
    fn a_new_operator_leaves_running_brokers_on_their_image_and_configuration() {
        let observed = written_by(THREE, "ferrymq:1");
        let plan = next_of(THREE, &observed, "ferrymq:2");
        let kept = plan.kept.unwrap();
        let set = observed.stateful_set.as_ref().and_then(|set| set.spec.as_ref()).unwrap();
        assert_eq!(kept.spec.template, set.template);
        assert!(kept.configuration.is_some());
        let update = plan.update.unwrap();
        assert_eq!((update.by_operator, update.image.as_str(), update.gate), (true, "ferrymq:2", Gate::Approval));
        assert_eq!(plan.restart, Restart::None);
    }

    #[test]
    fn who_approves_what_the_operator_brings_gets_it() {
        let observed = written_by(THREE, "ferrymq:1");
        let id = next_of(THREE, &observed, "ferrymq:2").update.unwrap().id;
        let plan = approved_of(THREE, &observed, "ferrymq:2", Some(&id));
        assert!(plan.kept.is_none());
        // A still newer one was not approved.
        assert!(approved_of(THREE, &observed, "ferrymq:3", Some(&id)).kept.is_some());
    }

    #[test]
    fn a_changed_spec_makes_a_new_template_but_keeps_the_claims() {
        let observed = written_by(THREE, "ferrymq:1");
        let plan = next_of("{storage: {size: 1Gi}, image: 'ferrymq:2'}", &observed, "ferrymq:3");
        assert_eq!((plan.kept.is_none(), plan.image.as_str()), (true, "ferrymq:2"));
        assert_eq!(plan.update.map(|update| update.gate), Some(Gate::Open));
        assert!(plan.kept_claims.is_some());
    }

    #[test]
    fn what_waits_to_be_approved_reaches_no_pod_not_even_one_that_stops_by_itself() {
        let observed = written_by(THREE, "ferrymq:1");
        let manual = "{storage: {size: 1Gi}, image: 'ferrymq:2', upgrade: {approval: Manual}}";
        let plan = next_of(manual, &observed, "ferrymq:1");
        let mark = observed.stateful_set.as_ref().unwrap().annotations()[INPUT_ANNOTATION].clone();
        assert_eq!(plan.kept.as_ref().map(|kept| kept.mark.clone()), Some(mark.clone()));
        let made = certificates::make(&cluster(manual), &observed, &plan.certificates, SystemTime::now()).unwrap();
        let objects = build::objects(&cluster(manual), &plan, &observed, &made).unwrap();
        let set = objects.into_iter().find(|object| object.kind == Kind::StatefulSet).unwrap().value;
        assert_eq!(set["metadata"]["annotations"][INPUT_ANNOTATION], mark);
        assert_eq!(set["spec"]["template"]["spec"]["containers"][0]["image"], "ferrymq:1");

        let id = plan.update.unwrap().id;
        let plan = approved_of(manual, &observed, "ferrymq:1", Some(&id));
        assert!(plan.kept.is_none());
        assert_eq!(plan.update.map(|update| (update.id, update.gate)), Some((id, Gate::Open)));
    }

    #[test]
    fn what_cannot_start_is_not_kept_until_somebody_approves() {
        let mut observed = written_by("{storage: {size: 1Gi}, image: 'ferrymq:typo'}", "ferrymq:typo");
        let pod = serde_json::json!({"metadata": {"name": "orders-2"}, "status": {"containerStatuses": [{
            "name": "broker", "image": "ferrymq:typo", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": ""}}}]}});
        observed.pods.insert(2, serde_json::from_value(pod).unwrap());
        let mended = "{storage: {size: 1Gi}, image: 'ferrymq:1', upgrade: {approval: Manual}}";
        assert!(next_of(mended, &observed, "ferrymq:1").kept.is_none());
    }
}
