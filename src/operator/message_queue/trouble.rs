//! What keeps brokers from running, as far as Kubernetes says it: which object, why, and what to do. Pure.

use ferrymq_api::{Cluster, Reason};
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use crate::{
    message_queue::{dereference::Observed, machines, scale::is_emptied},
    names,
};

/// Something that keeps a broker from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// It will not go away by itself.
    pub(crate) stalls: bool,
}

/// What keeps brokers from running; the most telling first.
pub(crate) fn of_pods(cluster: &Cluster, observed: &Observed) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    if let Some(refusal) = &observed.pod_refusal {
        troubles.push(Trouble {
            reason: Reason::PodsRefused,
            message: format!(
                "StatefulSet {} may not make its pods: {}; raise the quota, or change the policy that refuses them",
                names::stateful_set(&cluster.name),
                shortened(refusal)
            ),
            stalls: true,
        });
    }
    for (ordinal, pod) in &observed.pods {
        let name = names::pod(&cluster.name, *ordinal);
        let trouble = machines::trouble(cluster, observed, *ordinal);
        troubles.extend(trouble.or_else(|| of_container(&name, pod)).or_else(|| of_scheduling(&name, pod)));
    }
    troubles.extend(of_strangers(cluster, observed));
    troubles
}

/// Brokers that do not take the operator's token.
fn of_strangers(cluster: &Cluster, observed: &Observed) -> Option<Trouble> {
    let first = names::pod(&cluster.name, *observed.strangers.first()?);
    let all: Vec<String> = observed.strangers.iter().map(|ordinal| names::pod(&cluster.name, *ordinal)).collect();
    Some(Trouble {
        reason: Reason::TokenUnknown,
        message: format!(
            "{} do not know the token in Secret {}, which was changed, or made anew; they serve clients, and read it when \
             they start: put the old one back, or restart them one after the other: kubectl delete pod/{first} \
             --namespace {}",
            all.join(", "),
            names::token_secret(&cluster.name),
            cluster.namespace
        ),
        stalls: true,
    })
}

/// Objects that somebody deleted, and that are not gone yet.
pub(crate) fn of_objects(observed: &Observed) -> Option<Trouble> {
    let going = observed.objects.iter().filter(|(_, object)| object.metadata.deletion_timestamp.is_some());
    let going: Vec<String> = going
        .map(|((kind, name), object)| match object.finalizers() {
            [] => format!("{} {name}", kind.as_str()),
            finalizers => format!("{} {name} (which waits for {})", kind.as_str(), finalizers.join(", ")),
        })
        .collect();
    (!going.is_empty()).then(|| Trouble {
        reason: Reason::BeingDeleted,
        message: format!("somebody deleted {}; it is made again as soon as it is gone", going.join(", ")),
        stalls: false,
    })
}

/// Claims that somebody deleted, and that stay as long as their brokers run.
pub(crate) fn of_going_claims(cluster: &Cluster, observed: &Observed) -> Option<Trouble> {
    let going = observed.claims.iter().filter(|(ordinal, claim)| {
        claim.metadata.deletion_timestamp.is_some()
            && !is_emptied(claim)
            && **ordinal < cluster.replicas
            && observed.pods.get(ordinal).is_some_and(|pod| pod.metadata.deletion_timestamp.is_none())
            && !observed.lost_volumes.contains_key(ordinal)
    });
    let going: Vec<u32> = going.map(|(ordinal, _)| *ordinal).collect();
    let first = names::pod(&cluster.name, *going.first()?);
    let claims: Vec<String> = going.iter().map(|ordinal| names::claim(&cluster.name, *ordinal)).collect();
    Some(Trouble {
        reason: Reason::VolumeGoing,
        message: format!(
            "somebody deleted {}: a volume goes when its broker stops, which comes back empty and is filled by the others; \
             have it done while every shard is in sync, one broker at a time: kubectl delete pod/{first} --namespace {}",
            claims.join(", "),
            cluster.namespace
        ),
        stalls: false,
    })
}

/// What keeps volumes from being there.
pub(crate) fn of_claims(cluster: &Cluster, observed: &Observed) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for (ordinal, claim) in &observed.claims {
        let name = names::claim(&cluster.name, *ordinal);
        let said = observed.claim_events.get(ordinal).cloned().unwrap_or_default();
        match phase(claim) {
            "Bound" => {}
            "Lost" => troubles.push(Trouble {
                reason: Reason::VolumeLost,
                message: format!(
                    "the volume of PersistentVolumeClaim {name} is gone; delete the claim and then the pod {}, and the \
                     broker fetches its data from the others",
                    names::pod(&cluster.name, *ordinal)
                ),
                stalls: true,
            }),
            _ => {
                let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
                let class = class.map_or_else(
                    || "the default storage class (there is none, or it was not set in time)".to_owned(),
                    |class| format!("storage class {class}"),
                );
                let why =
                    if said.message.is_empty() { String::new() } else { format!(": {}", shortened(&said.message)) };
                troubles.push(Trouble {
                    reason: Reason::VolumeNotBound,
                    message: format!("PersistentVolumeClaim {name} of {class} is not bound{why}"),
                    // One that waits for its pod, or is being made, will be there by itself.
                    stalls: said.complaint,
                });
            }
        }
    }
    troubles
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn of_container(name: &str, pod: &Pod) -> Option<Trouble> {
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|status| status.name == "broker")?;
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let said = waiting.message.as_deref().map(shortened).unwrap_or_default();
    match waiting.reason.as_deref()? {
        reason @ ("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull"
        | "ImageInspectError") => {
            Some(Trouble {
                reason: Reason::ImageUnavailable,
                message: format!(
                    "{name} cannot start: image {} cannot be pulled ({reason}: {said}); check spec.image and \
                     spec.imagePullSecrets",
                    container.image
                ),
                // The first attempt may have met a moment's trouble of the registry.
                stalls: reason != "ErrImagePull",
            })
        }
        "CrashLoopBackOff" => Some(Trouble {
            reason: Reason::CrashLooping,
            message: format!("{name} stops again and again ({}); see `kubectl logs {name}`", last_end(container)),
            stalls: true,
        }),
        reason @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => Some(Trouble {
            reason: Reason::ContainerRefused,
            message: format!("the container of {name} cannot be made ({reason}: {said})"),
            stalls: true,
        }),
        _ => None,
    }
}

/// How a container ended last.
fn last_end(container: &ContainerStatus) -> String {
    let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let Some(ended) = ended else { return "it is not known why".to_owned() };
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let said = ended.message.as_deref().map(last_line).unwrap_or_default();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    format!("{reason}, exit code {}, {} restarts{said}", ended.exit_code, container.restart_count)
}

fn of_scheduling(name: &str, pod: &Pod) -> Option<Trouble> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    if scheduled.status != "False" || scheduled.reason.as_deref() != Some("Unschedulable") {
        return None;
    }
    let said = scheduled.message.as_deref().map(shortened).unwrap_or_default();
    Some(Trouble { reason: Reason::Unschedulable, message: format!("no machine takes {name}: {said}"), stalls: false })
}

/// The first line, of bearable length.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    clip(line)
}

fn last_line(text: &str) -> String {
    clip(text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default())
}

fn clip(line: &str) -> String {
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or(line)),
        None => line.trim_end_matches(['.', ';']).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        fixture::{cluster, rolling},
        message_queue::dereference::Said,
        objects::Kind,
    };

    fn with_pod(status: serde_json::Value) -> Vec<Trouble> {
        let pod = serde_json::from_value(json!({"metadata": {"name": "orders-1"}, "status": status})).unwrap();
        let observed = Observed { pods: [(1, pod)].into(), ..Observed::default() };
        of_pods(&cluster("{storage: {size: 1Gi}}"), &observed)
    }

    fn with_claim(status: serde_json::Value, said: &str, complaint: bool) -> Vec<Trouble> {
        let claim =
            json!({"metadata": {"name": "data-orders-1"}, "spec": {"storageClassName": "fast"}, "status": status});
        let observed = Observed {
            claims: [(1, serde_json::from_value(claim).unwrap())].into(),
            claim_events: [(1, Said { message: said.to_owned(), complaint })].into(),
            ..Observed::default()
        };
        of_claims(&cluster("{storage: {size: 1Gi}}"), &observed)
    }

    fn container(state: serde_json::Value) -> serde_json::Value {
        json!({"containerStatuses": [{
            "name": "broker", "image": "ferrymq:typo", "imageID": "", "ready": false, "restartCount": 4, "state": state,
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "starting\ncannot read /x\n"}},
        }]})
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_named_with_its_pod() {
        let state = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}});
        let trouble = with_pod(container(state)).remove(0);
        assert_eq!((trouble.reason, trouble.stalls), (Reason::ImageUnavailable, true));
        assert!(
            trouble.message.starts_with("orders-1 cannot start: image ferrymq:typo cannot be pulled"),
            "{}",
            trouble.message
        );
    }

    #[test]
    fn a_broker_that_crashes_is_told_with_its_last_words() {
        let trouble = with_pod(container(json!({"waiting": {"reason": "CrashLoopBackOff"}}))).remove(0);
        assert!(trouble.message.contains("exit code 1, 4 restarts: cannot read /x"), "{}", trouble.message);
    }

    #[test]
    fn a_pod_that_no_machine_takes_is_told_with_the_schedulers_words() {
        let status = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient cpu."}]});
        let trouble = with_pod(status).remove(0);
        assert_eq!(trouble.message, "no machine takes orders-1: 0/3 nodes are available: 3 Insufficient cpu");
    }

    #[test]
    fn a_volume_that_cannot_be_made_is_told_with_the_provisioners_words() {
        let trouble =
            with_claim(json!({"phase": "Pending"}), "storageclass.storage.k8s.io \"fast\" not found", true).remove(0);
        assert_eq!((trouble.reason, trouble.stalls), (Reason::VolumeNotBound, true));
        assert!(
            trouble.message.contains("data-orders-1 of storage class fast is not bound: storageclass"),
            "{}",
            trouble.message
        );
        assert!(
            !with_claim(json!({"phase": "Pending"}), "waiting for first consumer to be created before binding", false)
                [0]
            .stalls
        );
        assert!(with_claim(json!({"phase": "Bound"}), "", false).is_empty());
    }

    #[test]
    fn a_claim_that_somebody_deleted_is_told_with_the_command_that_ends_it() {
        let mut observed = rolling(["new", "new", "new"]);
        let cluster = cluster("{storage: {size: 1Gi}}");
        assert_eq!(of_going_claims(&cluster, &observed), None);
        for ordinal in [1, 2] {
            let claim = json!({"metadata": {"name": format!("data-orders-{ordinal}"),
                "deletionTimestamp": "2026-11-22T12:00:00Z", "finalizers": ["kubernetes.io/pvc-protection"]},
                "status": {"phase": "Bound"}});
            observed.claims.insert(ordinal, serde_json::from_value(claim).unwrap());
        }
        let trouble = of_going_claims(&cluster, &observed).unwrap();
        assert!(trouble.message.starts_with("somebody deleted data-orders-1, data-orders-2: "), "{}", trouble.message);
        assert!(trouble.message.ends_with("kubectl delete pod/orders-1 --namespace shop"), "{}", trouble.message);
    }

    #[test]
    fn an_object_that_does_not_go_is_told_with_what_it_waits_for() {
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "orders",
            "deletionTimestamp": "2026-11-22T12:00:00Z", "finalizers": ["example.com/balancer"]}});
        let mut observed = Observed::default();
        observed.objects.insert((Kind::Service, "orders".to_owned()), serde_json::from_value(object).unwrap());
        let message = of_objects(&observed).unwrap().message;
        assert!(message.contains("Service orders (which waits for example.com/balancer)"), "{message}");
    }

    #[test]
    fn brokers_with_another_token_are_told() {
        let observed = Observed { strangers: vec![0, 2], ..Observed::default() };
        let trouble = of_pods(&cluster("{storage: {size: 1Gi}}"), &observed).remove(0);
        assert_eq!((trouble.reason, trouble.stalls), (Reason::TokenUnknown, true));
        assert!(trouble.message.starts_with("orders-0, orders-2 do not know the token in Secret orders-token"));
    }

    #[test]
    fn pods_that_a_quota_refuses_are_told() {
        let observed = Observed {
            pod_refusal: Some(
                "create Pod orders-2 in StatefulSet orders failed error: exceeded quota: small".to_owned(),
            ),
            ..Observed::default()
        };
        let trouble = of_pods(&cluster("{storage: {size: 1Gi}}"), &observed).remove(0);
        assert!(trouble.message.contains("exceeded quota: small"), "{}", trouble.message);
    }
}
