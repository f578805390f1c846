//! What is done about the number of brokers: one is emptied, one is taken out of its cluster, a volume goes.

use ferrymq_admin_api::{Client as AdminClient, Draining, NodeRemoval, Reason};
use ferrymq_api::{Cluster, MessageQueue};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy},
    runtime::events::EventType,
};
use serde_json::json;

use crate::{
    context::Context,
    error::{ReconcileError, chain},
    message_queue::{
        act::{client, serving},
        dereference::Observed,
        scale::Step,
    },
    names::{self, EMPTIED_ANNOTATION},
};

/// Does what comes next, and gives why the brokers refuse it, where they do. What they cannot do just now is tried again.
pub(crate) async fn carry_out(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    step: &Step,
    context: &Context,
) -> Result<Option<String>, ReconcileError> {
    match step {
        Step::None | Step::Wait(_) | Step::Await(_) => Ok(None),
        Step::Refused { undo: None, .. } | Step::TooFull { undo: None, .. } => Ok(None),
        Step::Tell { ordinal, draining } => tell(resource, cluster, observed, *ordinal, *draining, context).await,
        Step::Refused { undo: Some(ordinal), .. } | Step::TooFull { undo: Some(ordinal), .. } => {
            tell(resource, cluster, observed, *ordinal, false, context).await
        }
        Step::Remove(ordinal) => remove(resource, cluster, observed, *ordinal, context).await,
        Step::Clear(ordinal) => {
            clear(resource, observed, *ordinal, ("VolumeDeleted", EMPTIED), context).await.map(|()| None)
        }
        Step::Renew(ordinal) => {
            // The claim first: it goes as soon as its pod does, and the next pod waits for another one.
            clear(resource, observed, *ordinal, ("VolumeDeleted", EMPTIED), context).await?;
            stop(resource, observed, *ordinal, context).await.map(|()| None)
        }
        Step::Retemplate => retemplate(resource, observed, context).await.map(|()| None),
    }
}

/// Why the volume of a broker goes that was taken out.
const EMPTIED: &str = "its broker was emptied, and is none of the cluster any more";

/// Gives up a volume that went with its machine: its broker comes in as a new one, and the others fill it.
pub(crate) async fn give_up(
    resource: &MessageQueue,
    observed: &Observed,
    ordinal: u32,
    context: &Context,
) -> Result<(), ReconcileError> {
    let why = "it was on a machine that is gone, and every shard has a majority elsewhere";
    clear(resource, observed, ordinal, ("VolumeGivenUp", why), context).await?;
    stop(resource, observed, ordinal, context).await
}

/// A broker that serves, and is not the one that is spoken of.
fn another(observed: &Observed, ordinal: u32) -> Result<Option<AdminClient>, ReconcileError> {
    match serving(observed).into_iter().find(|serving| *serving != ordinal) {
        Some(other) => client(observed, other),
        None => Ok(None),
    }
}

async fn tell(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    ordinal: u32,
    draining: bool,
    context: &Context,
) -> Result<Option<String>, ReconcileError> {
    let Some(client) = another(observed, ordinal)? else { return Ok(None) };
    let name = names::pod(&cluster.name, ordinal);
    match client.drain(&Draining { ordinal, draining }).await {
        Ok(()) => {
            let (reason, note) = match draining {
                true => ("DrainingNode", format!("{name} is emptied: what it holds goes to the other brokers")),
                false => ("KeepingNode", format!("{name} stays, and gets its share of the queues again")),
            };
            context.tell(resource, EventType::Normal, reason, "Scale", note).await;
            Ok(None)
        }
        Err(error) if error.refusal().is_some_and(|refusal| refusal.reason == Reason::WouldNotFit) => {
            Ok(Some(chain(&error)))
        }
        Err(error) => {
            tracing::warn!(cluster = %cluster.name, broker = %name, error = %chain(&error), "it is not told to be emptied yet");
            Ok(None)
        }
    }
}

async fn remove(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    ordinal: u32,
    context: &Context,
) -> Result<Option<String>, ReconcileError> {
    let (Some(client), Some(view)) = (another(observed, ordinal)?, &observed.view) else { return Ok(None) };
    let name = names::pod(&cluster.name, ordinal);
    // Before it is done: a volume that is marked goes only when its broker is none any more, but one that is not marked
    // stays for ever.
    if let Some(claim) = observed.claims.get(&ordinal) {
        let mark = json!({"metadata": {"annotations": {EMPTIED_ANNOTATION: view.cluster_id}}});
        let claim = claim.name_any();
        claims(resource, context)
            .patch(&claim, &PatchParams::default(), &Patch::Merge(&mark))
            .await
            .map_err(|source| ReconcileError::Write { what: format!("PersistentVolumeClaim {claim}"), source })?;
    }
    match client.remove_node(&NodeRemoval { ordinal }).await {
        Ok(()) => {
            let note = format!("{name} holds nothing any more, and has left the cluster");
            context.tell(resource, EventType::Normal, "NodeRemoved", "Scale", note).await;
        }
        Err(error) => {
            tracing::warn!(cluster = %cluster.name, broker = %name, error = %chain(&error), "it is not taken out of the cluster yet");
        }
    }
    Ok(None)
}

/// Stops the pod of a broker that was taken out: this pod, and no other of its name.
async fn stop(
    resource: &MessageQueue,
    observed: &Observed,
    ordinal: u32,
    context: &Context,
) -> Result<(), ReconcileError> {
    let Some(pod) = observed.pods.get(&ordinal).filter(|pod| pod.metadata.deletion_timestamp.is_none()) else {
        return Ok(());
    };
    let name = pod.name_any();
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let pods = Api::<Pod>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    match pods.delete(&name, &parameters).await {
        Ok(_) => {
            let note = format!("{name} comes in again, with another volume");
            context.tell(resource, EventType::Normal, "RenewingBroker", "Shrink", note).await;
            Ok(())
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(ReconcileError::Write { what: format!("the deletion of Pod {name}"), source }),
    }
}

/// Deletes the StatefulSet and nothing that is its own; the next reconcile makes it again, with claims of another size,
/// which nobody can change in one that is there.
async fn retemplate(resource: &MessageQueue, observed: &Observed, context: &Context) -> Result<(), ReconcileError> {
    let Some(set) = observed.stateful_set.as_ref().filter(|set| set.metadata.deletion_timestamp.is_none()) else {
        return Ok(());
    };
    let name = set.name_any();
    let preconditions = Preconditions { uid: set.uid(), resource_version: None };
    let parameters = DeleteParams {
        preconditions: Some(preconditions),
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    let sets = Api::<StatefulSet>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    match sets.delete(&name, &parameters).await {
        Ok(_) => {
            let note = format!("StatefulSet {name} is made anew for volumes of another size; its pods run on");
            context.tell(resource, EventType::Normal, "RenewingStatefulSet", "Shrink", note).await;
            Ok(())
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(ReconcileError::Write { what: format!("the deletion of StatefulSet {name}"), source }),
    }
}

/// Deletes the volume of a broker, for this reason: this claim, and no other of its name.
async fn clear(
    resource: &MessageQueue,
    observed: &Observed,
    ordinal: u32,
    (reason, why): (&str, &str),
    context: &Context,
) -> Result<(), ReconcileError> {
    let claim = observed.claims.get(&ordinal).filter(|claim| claim.metadata.deletion_timestamp.is_none());
    let Some(claim) = claim else { return Ok(()) };
    let name = claim.name_any();
    let preconditions = Preconditions { uid: claim.uid(), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match claims(resource, context).delete(&name, &parameters).await {
        Ok(_) => {
            let note = format!("volume {name} is deleted: {why}");
            context.tell(resource, EventType::Normal, reason, "Scale", note).await;
            Ok(())
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => {
            Err(ReconcileError::Write { what: format!("the deletion of PersistentVolumeClaim {name}"), source })
        }
    }
}

fn claims(resource: &MessageQueue, context: &Context) -> Api<PersistentVolumeClaim> {
    Api::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default())
}
