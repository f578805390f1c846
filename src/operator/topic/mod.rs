//! A reconcile of a `Topic`.

mod apply;
mod dereference;
mod plan;
mod status;

pub(crate) use status::is_to_be_looked_at;
#[cfg(test)]
pub(crate) use {
    plan::{Plan as TopicPlan, declaration},
    status::of as status_of,
};

use std::{sync::Arc, time::Duration};

use ferrymq_api::{CheckedTopic, Topic};
use kube::{ResourceExt, runtime::controller::Action};

use crate::{
    context::Context,
    error::ReconcileError,
    finalizers,
    names::TOPIC_FINALIZER,
    topic::{dereference::Observed, plan::Plan},
};

/// How often a topic is looked at whose broker has what it asks for: brokers tell what changes.
const SLOW: Duration = Duration::from_secs(300);

/// How often one is looked at that waits for its broker.
const QUICK: Duration = Duration::from_secs(1);

/// Brings one `Topic` a step closer to its spec, or lets it go. Idempotent: may be stopped at any line and run again.
pub(crate) async fn reconcile(resource: Arc<Topic>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let next = step(&resource, &context).await?;
    context.backoff.went_on(&resource.uid().unwrap_or_default());
    Ok(next)
}

async fn step(resource: &Topic, context: &Context) -> Result<Action, ReconcileError> {
    if resource.metadata.deletion_timestamp.is_some() {
        return let_go(resource, context).await;
    }
    let topic = match CheckedTopic::check(resource) {
        Ok(topic) => topic,
        Err(invalid) => {
            status::publish(resource, None, &Plan::Invalid(invalid.to_string()), context).await?;
            return Ok(Action::requeue(SLOW));
        }
    };
    let observed = dereference::read(&topic, context).await;
    let plan = plan::next(&topic, &observed);
    if matches!(plan, Plan::Declare(_)) && !finalizers::has(resource, TOPIC_FINALIZER) {
        // Before anything is made in the broker: else a resource could go and leave it behind.
        finalizers::add(resource, TOPIC_FINALIZER, context).await?;
        return Ok(Action::requeue(QUICK));
    }
    let outcome = apply::carry_out(resource, &topic, &observed, plan, context).await;
    let settled = status::publish(resource, Some(&topic), &outcome, context).await?;
    Ok(Action::requeue(if settled { SLOW } else { QUICK }))
}

/// The resource is being deleted: does with the topic as its policy says, and drops the finalizer. Where the cluster is gone
/// or going, or the whole namespace is, there is nothing left to do, and nothing is waited for.
async fn let_go(resource: &Topic, context: &Context) -> Result<Action, ReconcileError> {
    if !finalizers::has(resource, TOPIC_FINALIZER) {
        return Ok(Action::await_change());
    }
    let Ok(topic) = CheckedTopic::check(resource) else {
        finalizers::drop(resource, TOPIC_FINALIZER, context).await?;
        return Ok(Action::await_change());
    };
    let observed: Observed = dereference::for_removal(&topic, context).await?;
    match apply::remove(resource, &topic, &observed, context).await? {
        None => {
            finalizers::drop(resource, TOPIC_FINALIZER, context).await?;
            Ok(Action::await_change())
        }
        Some(waits) => {
            status::publish(resource, Some(&topic), &waits, context).await?;
            Ok(Action::requeue(QUICK))
        }
    }
}

/// What to do after a reconcile that did not go on.
pub(crate) fn after_error(resource: Arc<Topic>, error: &ReconcileError, context: Arc<Context>) -> Action {
    context.after_error(&*resource, error)
}
