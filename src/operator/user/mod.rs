//! A reconcile of a `User`.

mod apply;
mod binding;
mod dereference;
mod links;
mod plan;
mod status;

pub(crate) use links::UserLinks;

use std::{sync::Arc, time::Duration};

use ferrymq_api::{CheckedUser, User};
use kube::{ResourceExt, runtime::controller::Action};

use crate::{context::Context, error::ReconcileError, finalizers, names::USER_FINALIZER, user::plan::Plan};

/// How often a user is looked at whose broker has what it asks for.
const SLOW: Duration = Duration::from_secs(10);

/// How often one is looked at that waits for its broker, or for somebody.
const QUICK: Duration = Duration::from_secs(1);

/// How soon one is looked at of which something was just written.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Brings one `User` a step closer to its spec, or lets it go. Idempotent: may be stopped at any line and run again.
pub(crate) async fn reconcile(resource: Arc<User>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let next = step(&resource, &context).await?;
    context.backoff.went_on(&resource.uid().unwrap_or_default());
    Ok(next)
}

async fn step(resource: &User, context: &Context) -> Result<Action, ReconcileError> {
    let Some(resource) = dereference::current(resource, context).await? else { return Ok(Action::await_change()) };
    if resource.metadata.deletion_timestamp.is_some() {
        return let_go(&resource, context).await;
    }
    let user = match CheckedUser::check(&resource) {
        Ok(user) => user,
        Err(invalid) => {
            status::publish(&resource, None, &Plan::Invalid(invalid.to_string()), context).await?;
            return Ok(Action::requeue(SLOW));
        }
    };
    let observed = dereference::read(&user, context).await?;
    let plan = plan::next(&user, &observed);
    if let Plan::WriteBinding(secret) = &plan {
        apply::write_binding(&resource, &user, secret, &observed, context).await?;
        return Ok(Action::requeue(AT_ONCE));
    }
    if matches!(plan, Plan::Declare(_)) && !finalizers::has(&resource, USER_FINALIZER) {
        // Before anything is made in the broker: else a resource could go and leave it behind.
        finalizers::add(&resource, USER_FINALIZER, context).await?;
        return Ok(Action::requeue(AT_ONCE));
    }
    let outcome = apply::carry_out(&resource, &user, &observed, plan, context).await;
    let settled = status::publish(&resource, Some(&user), &outcome, context).await?;
    Ok(Action::requeue(if settled { SLOW } else { QUICK }))
}

/// The resource is being deleted: does with the user as its policy says, and drops the finalizer. Where the cluster is gone
/// or going, or the whole namespace is, there is nothing left to do, and nothing is waited for.
async fn let_go(resource: &User, context: &Context) -> Result<Action, ReconcileError> {
    if !finalizers::has(resource, USER_FINALIZER) {
        return Ok(Action::await_change());
    }
    if let Ok(user) = CheckedUser::check(resource) {
        let observed = dereference::for_removal(&user, context).await?;
        if let Some(waits) = apply::remove(resource, &user, &observed, context).await {
            status::publish(resource, Some(&user), &waits, context).await?;
            return Ok(Action::requeue(QUICK));
        }
    }
    finalizers::drop(resource, USER_FINALIZER, context).await?;
    Ok(Action::await_change())
}

/// What to do after a reconcile that did not go on.
pub(crate) fn after_error(resource: Arc<User>, error: &ReconcileError, context: Arc<Context>) -> Action {
    context.after_error(&*resource, error)
}
