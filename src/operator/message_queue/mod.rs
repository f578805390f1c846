//! A reconcile of a `MessageQueue`.

pub(crate) mod act;
pub(crate) mod apply;
mod backups;
pub(crate) mod build;
pub(crate) mod certificates;
pub(crate) mod dereference;
mod drills;
mod endpoints;
pub(crate) mod forming;
mod machine_reads;
pub(crate) mod machines;
pub(crate) mod plan;
mod reclaim;
pub(crate) mod remembered;
pub(crate) mod restart;
pub(crate) mod scale;
mod scaling;
mod setback;
mod shrink;
pub(crate) mod snapshots;
mod status;
mod surplus;
pub(crate) mod trouble;
pub(crate) mod update;
mod validate;
mod verdict;
mod volumes;

#[cfg(test)]
pub(crate) use status::{of as status_of, of_setback as status_of_setback};

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use ferrymq_api::{Cluster, ConditionType, MessageQueue, MessageQueueStatus, Reason};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::{
    ResourceExt,
    runtime::{controller::Action, events::EventType, reflector::ObjectRef},
};

use crate::{
    context::Context,
    error::{ReconcileError, chain},
    message_queue::{
        act::Done, apply::Written, dereference::Observed, plan::Plan, restart::Restart, scale::Step, trouble::Trouble,
        validate::Obstacle,
    },
    objects::Object,
};

/// How often a healthy cluster is looked at: what its brokers know of each other, no watch tells.
const SLOW: Duration = Duration::from_secs(10);

/// How often one is looked at that is on its way to something.
const QUICK: Duration = Duration::from_millis(700);

/// How often one is looked at that is paused and has no broker: a watch tells when that is over.
const UNTOUCHED: Duration = Duration::from_secs(300);

/// From which failure in a row on what passes by itself is told.
const TOLD_FROM: u32 = 3;

/// How often one is looked at that has not got anywhere for a while.
const STEADY: Duration = Duration::from_secs(4);

/// Brings one `MessageQueue` a step closer to its spec. Idempotent: may be stopped at any line and run again.
pub(crate) async fn reconcile(resource: Arc<MessageQueue>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let observed = match dereference::read(&resource, &context).await {
        Ok(observed) => observed,
        Err(error) => return Err(not_read(&resource, error, &context).await),
    };
    let key = ObjectRef::from_obj(&*resource);
    let living = observed.resource.as_ref().filter(|resource| resource.metadata.deletion_timestamp.is_none());
    let Some(resource) = living else {
        context.snapshots.forget(&key);
        context.backoff.went_on(&uid(&resource));
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
    let mut done = Done::default();
    if !cluster.paused {
        match write_and_act(resource, &cluster, &observed, &plan, &objects, &context, &mut done).await {
            Ok(written) if !written.is_empty() => {
                tell_renewals(resource, &cluster, &plan, &context).await;
                tell_made(resource, &written, &context).await;
                // What was just written is looked at anew before anything is built on it.
                context.snapshots.forget(&key);
                let status = status::of(resource, &cluster, &observed, &plan, &Done::default());
                publish(resource, status, &context).await?;
                return Ok(Action::requeue(Duration::from_millis(50)));
            }
            Ok(_) => {}
            Err(error) => {
                done.setback = to_be_told(resource, &error, &context);
                publish(resource, status::of(resource, &cluster, &observed, &plan, &done), &context).await?;
                return Err(error);
            }
        }
    }
    let status = status::of(resource, &cluster, &observed, &plan, &done);
    let next = if is_left_alone(&cluster, &observed) { UNTOUCHED } else { look_again(resource, &status, &plan, &done) };
    if next < SLOW {
        context.snapshots.forget(&key);
    }
    publish(resource, status, &context).await?;
    context.backoff.went_on(&uid(resource));
    Ok(Action::requeue(next))
}

/// Tells who watches the resource which certificates were just made anew.
async fn tell_renewals(resource: &MessageQueue, cluster: &Cluster, plan: &Plan, context: &Context) {
    for note in plan.certificates.renewed(cluster) {
        context.tell(resource, EventType::Normal, "CertificateRenewed", "Renew", note).await;
    }
}

/// Writes what differs, or, where nothing does, acts. Gives what was written.
async fn write_and_act(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    plan: &Plan,
    objects: &[Object],
    context: &Context,
    done: &mut Done,
) -> Result<Vec<Written>, ReconcileError> {
    let written = apply::write(cluster, objects, observed, context).await?;
    if written.is_empty() {
        surplus::remove(resource, observed, context).await?;
        act::carry_out(resource, cluster, observed, plan, context, done).await?;
    }
    Ok(written)
}

/// Tells of what a cluster that runs did not have any more.
async fn tell_made(resource: &MessageQueue, written: &[Written], context: &Context) {
    let formation = resource.status.as_ref().and_then(|status| status.formation.as_ref());
    if !formation.is_some_and(|formation| formation.complete) {
        return;
    }
    for Written { title, .. } in written.iter().filter(|written| written.is_new) {
        let note = format!("{title} was not there, and is made");
        context.tell(resource, EventType::Normal, "ObjectMade", "Heal", note).await;
    }
}

fn uid(resource: &MessageQueue) -> String {
    resource.uid().unwrap_or_default()
}

/// Whether there is nothing to see of a cluster, and nothing to do.
fn is_left_alone(cluster: &Cluster, observed: &Observed) -> bool {
    cluster.paused && observed.stateful_set.is_none() && observed.pods.is_empty()
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
    match waited {
        ..=120 => QUICK,
        121..=900 => STEADY,
        _ => SLOW,
    }
}

/// Writes the status where it says something new, and tells who watches the resource of a new reason.
async fn publish(resource: &MessageQueue, new: MessageQueueStatus, context: &Context) -> Result<(), ReconcileError> {
    let old = resource.status.clone().unwrap_or_default();
    if old == new {
        return Ok(());
    }
    if !status::differs_but_for_counters(&old, &new) && !context.counters_are_due(&uid(resource)) {
        return Ok(());
    }
    const TOLD: [ConditionType; 3] = [ConditionType::Ready, ConditionType::Stalled, ConditionType::ScaleComplete];
    let [ready, stalled, scale] = TOLD.map(|kind| says(&new, kind));
    let [was_ready, was_stalled, was_scale] = TOLD.map(|kind| says(&old, kind));
    let written = status::write(resource, new, context).await?;
    let stalls = stalled.as_ref().is_some_and(|stalled| stalled.status == "True");
    let is_new = |now: &Condition, before: &Option<Condition>| {
        before.as_ref().is_none_or(|before| (&before.reason, &before.status) != (&now.reason, &now.status))
    };
    if let Some(now) = ready.as_ref().filter(|now| is_new(now, &was_ready)) {
        let kind = if stalls { EventType::Warning } else { EventType::Normal };
        context.tell(&written, kind, &now.reason, "Reconcile", now.message.clone()).await;
    }
    let told = ready.map(|ready| ready.reason);
    if let Some(now) = stalled.filter(|now| stalls && Some(&now.reason) != told.as_ref() && is_new(now, &was_stalled)) {
        context.tell(&written, EventType::Warning, &now.reason, "Reconcile", now.message).await;
    }
    if let Some(now) = scale.filter(|now| was_scale.as_ref().is_some_and(|before| before.reason != now.reason)) {
        let refused = now.reason == Reason::ScaleDownRefused.as_str();
        let kind = if refused { EventType::Warning } else { EventType::Normal };
        context.tell(&written, kind, &now.reason, "Scale", now.message).await;
    }
    Ok(())
}

fn says(status: &MessageQueueStatus, kind: ConditionType) -> Option<Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind.as_str()).cloned()
}

async fn refuse(resource: &MessageQueue, obstacle: &Obstacle, context: &Context) -> Result<Action, ReconcileError> {
    publish(resource, status::of_obstacle(resource, obstacle), context).await?;
    context.backoff.went_on(&uid(resource));
    Ok(Action::requeue(SLOW))
}

/// What of an error goes into the status: what asks for a person at once, what passes by itself when it has not for a while.
fn to_be_told(resource: &MessageQueue, error: &ReconcileError, context: &Context) -> Option<Trouble> {
    let before = context.backoff.failures(&uid(resource)).map_or(0, |(failures, _)| failures);
    setback::of(error).filter(|setback| setback.stalls || before + 1 >= TOLD_FROM)
}

/// What there is of the cluster could not be read: what was known of it stays.
async fn not_read(resource: &MessageQueue, error: ReconcileError, context: &Context) -> ReconcileError {
    if let Some(setback) = to_be_told(resource, &error, context) {
        let status = status::of_setback(resource, &setback);
        if let Err(error) = publish(resource, status, context).await {
            tracing::debug!(error = %chain(&error), "what the API server does not give cannot be said either");
        }
    }
    error
}

/// What to do after a reconcile that did not go on.
pub(crate) fn after_error(resource: Arc<MessageQueue>, error: &ReconcileError, context: Arc<Context>) -> Action {
    context.after_error(&*resource, error)
}
