//! A reconcile of a `MessageQueue`.

pub(crate) mod act;
pub(crate) mod apply;
pub(crate) mod build;
pub(crate) mod certificates;
pub(crate) mod dereference;
pub(crate) mod forming;
pub(crate) mod plan;
pub(crate) mod restart;
pub(crate) mod scale;
mod scaling;
mod shrink;
pub(crate) mod snapshots;
mod status;
mod trouble;
pub(crate) mod update;
mod validate;
mod verdict;
mod volumes;

#[cfg(test)]
pub(crate) use status::{of as status_of, of_refusal as refused_status};

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use ferrymq_api::{Cluster, ConditionType, MessageQueue, MessageQueueStatus, Reason};
use k8s_openapi::jiff::Timestamp;
use kube::{
    ResourceExt,
    runtime::{controller::Action, events::EventType, reflector::ObjectRef},
};

use crate::{
    context::Context,
    error::{ReconcileError, chain},
    message_queue::{act::Done, plan::Plan, restart::Restart, scale::Step, validate::Obstacle},
};

/// How often a healthy cluster is looked at: what its brokers know of each other, no watch tells.
const SLOW: Duration = Duration::from_secs(10);

/// How often one is looked at that is on its way to something.
const QUICK: Duration = Duration::from_millis(700);

/// How often one is looked at that has not got anywhere for a while.
const STEADY: Duration = Duration::from_secs(4);

/// Brings one `MessageQueue` a step closer to its spec. Idempotent: may be stopped at any line and run again.
pub(crate) async fn reconcile(resource: Arc<MessageQueue>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let key = ObjectRef::from_obj(&*resource);
    let observed = dereference::read(&resource, &context).await?;
    let living = observed.resource.as_ref().filter(|resource| resource.metadata.deletion_timestamp.is_none());
    let Some(resource) = living else {
        context.snapshots.forget(&key);
        // What it owns goes with it; volumes by their own policy. Nothing waits for the operator.
        return Ok(Action::await_change());
    };
    let cluster = match validate::check(resource, &observed) {
        Ok(cluster) => cluster,
        Err(obstacle) => return refuse(resource, &obstacle, &context).await,
    };
    let plan = plan::next(resource, &cluster, &observed, &context.settings, Timestamp::now());
    let made = certificates::make(&cluster, &observed, &plan.certificates, SystemTime::now())?;
    let objects = build::objects(&cluster, &plan, &observed, &made)?;
    let done = if cluster.paused {
        Done::default()
    } else {
        match apply::write(&cluster, &objects, &observed, &context).await {
            Ok(written) if !written.is_empty() => {
                tell_renewals(resource, &cluster, &plan, &context).await;
                // What was just written is looked at anew before anything is built on it.
                context.snapshots.forget(&key);
                let status = status::of(resource, &cluster, &observed, &plan, &Done::default());
                publish(resource, status, &context).await?;
                return Ok(Action::requeue(Duration::from_millis(50)));
            }
            Ok(_) => act::carry_out(resource, &cluster, &observed, &plan, &context).await?,
            Err(error) => return not_written(resource, error, &context).await,
        }
    };
    let status = status::of(resource, &cluster, &observed, &plan, &done);
    let next = look_again(resource, &status, &plan, &done);
    if next != SLOW {
        context.snapshots.forget(&key);
    }
    publish(resource, status, &context).await?;
    Ok(Action::requeue(next))
}

/// Tells who watches the resource which certificates were just made anew.
async fn tell_renewals(resource: &MessageQueue, cluster: &Cluster, plan: &Plan, context: &Context) {
    for note in plan.certificates.renewed(cluster) {
        context.tell(resource, EventType::Normal, "CertificateRenewed", "Renew", note).await;
    }
}

/// When to look again, if no watch says so before.
fn look_again(resource: &MessageQueue, status: &MessageQueueStatus, plan: &Plan, done: &Done) -> Duration {
    if done.formation.is_some() {
        return Duration::from_millis(50);
    }
    let holds = |kind: ConditionType| {
        status.conditions.iter().any(|condition| condition.type_ == kind.as_str() && condition.status == "True")
    };
    let scaling =
        !matches!(plan.scale.step, Step::None | Step::Refused { undo: None, .. } | Step::TooFull { undo: None, .. });
    let says = |kind: ConditionType, reason: Reason| {
        let mut conditions = status.conditions.iter();
        conditions.any(|condition| condition.type_ == kind.as_str() && condition.reason == reason.as_str())
    };
    let growing = says(ConditionType::StorageReady, Reason::VolumesGrowing)
        || says(ConditionType::StorageReady, Reason::VolumesShrinking);
    let restarting = scaling
        || growing
        || done.restarted.is_some()
        || done.restart_waits.is_some()
        || !matches!(plan.restart, Restart::None | Restart::Hold);
    if restarting {
        return QUICK;
    }
    if holds(ConditionType::Ready) {
        return SLOW;
    }
    let since = status.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str());
    let since = since.map(|condition| condition.last_transition_time.0);
    let since = since.or_else(|| resource.creation_timestamp().map(|time| time.0));
    let waited = since.map_or(0, |since| Timestamp::now().as_second() - since.as_second());
    if waited > 120 { STEADY } else { QUICK }
}

/// Writes the status where it says something new, and tells who watches the resource of a new reason.
async fn publish(resource: &MessageQueue, new: MessageQueueStatus, context: &Context) -> Result<(), ReconcileError> {
    let old = resource.status.clone().unwrap_or_default();
    if old == new {
        return Ok(());
    }
    let uid = resource.uid().unwrap_or_default();
    if !status::differs_but_for_counters(&old, &new) && !context.counters_are_due(&uid) {
        return Ok(());
    }
    let ready = |status: &MessageQueueStatus| {
        status.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str()).cloned()
    };
    let (before, now) = (ready(&old), ready(&new));
    let stalled = new
        .conditions
        .iter()
        .any(|condition| condition.type_ == ConditionType::Stalled.as_str() && condition.status == "True");
    let scale = |status: &MessageQueueStatus| {
        let mut conditions = status.conditions.iter();
        conditions.find(|condition| condition.type_ == ConditionType::ScaleComplete.as_str()).cloned()
    };
    let (scale_before, scale_now) = (scale(&old), scale(&new));
    let written = status::write(resource, new, context).await?;
    if let Some(now) = now.filter(|now| before.as_ref().map(|before| &before.reason) != Some(&now.reason)) {
        let kind = if stalled { EventType::Warning } else { EventType::Normal };
        context.tell(&written, kind, &now.reason, "Reconcile", now.message).await;
    }
    if let Some(now) = scale_now.filter(|now| scale_before.is_some_and(|before| before.reason != now.reason)) {
        let refused = now.reason == Reason::ScaleDownRefused.as_str();
        let kind = if refused { EventType::Warning } else { EventType::Normal };
        context.tell(&written, kind, &now.reason, "Scale", now.message).await;
    }
    Ok(())
}

async fn refuse(resource: &MessageQueue, obstacle: &Obstacle, context: &Context) -> Result<Action, ReconcileError> {
    publish(resource, status::of_obstacle(resource, obstacle), context).await?;
    Ok(Action::requeue(SLOW))
}

/// An object was not taken: where the API server says that it will not be, the status says so.
async fn not_written(
    resource: &MessageQueue,
    error: ReconcileError,
    context: &Context,
) -> Result<Action, ReconcileError> {
    let Some((what, why)) = error.refusal() else { return Err(error) };
    let message = format!("the API server refuses {what}: {why}");
    publish(resource, status::of_refusal(resource, Reason::Refused, &message), context).await?;
    Ok(Action::requeue(SLOW))
}

/// What to do after a reconcile that did not go on.
pub(crate) fn after_error(resource: Arc<MessageQueue>, error: &ReconcileError, _: Arc<Context>) -> Action {
    if error.is_conflict() {
        return Action::requeue(Duration::from_millis(100));
    }
    tracing::warn!(
        cluster = %resource.name_any(),
        namespace = resource.namespace(),
        error = %chain(error),
        "a reconcile did not go on; it is tried again"
    );
    Action::requeue(Duration::from_secs(3))
}
