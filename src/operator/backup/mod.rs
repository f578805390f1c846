//! A reconcile of a `Backup`: a broker of its cluster is asked to make it, and how far it is, until it is there or was given
//! up. What ended is never begun anew. One that is there may be restored to see whether it can be (`verification.rs`).

mod status;
mod verification;

use std::{sync::Arc, time::Duration};

use ferrymq_admin_api::{BackupRemoval, BackupRequest, BackupState, BackupView, Client as AdminClient};
use ferrymq_api::{Backup, BackupDeletionPolicy, CheckedBackup, ConditionType};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::{
    Api, ResourceExt,
    runtime::{controller::Action, events::EventType},
};

use crate::{
    cluster_state::{self, ClusterState, NotUsable},
    context::Context,
    error::{ReconcileError, chain},
    finalizers,
    links::{LinkError, find},
    names::BACKUP_FINALIZER,
};

pub(crate) use verification::{ended as verified, is_under_way as is_being_verified};

/// How often a broker is asked how far it is.
const QUICK: Duration = Duration::from_secs(1);

/// How often one is looked at that waits for its cluster, or for somebody.
const SLOW: Duration = Duration::from_secs(5);

/// How soon one is looked at of which something was just written.
const AT_ONCE: Duration = Duration::from_millis(20);

/// How long a backup may take, whatever it waits for.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What a backup is at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stage {
    /// Somebody has to change something.
    Stuck(ferrymq_api::Reason, String),
    /// It goes on by itself.
    Waits(ferrymq_api::Reason, String),
    /// A broker makes it.
    Runs(BackupView),
    /// It is in the archive.
    Complete(BackupView),
    /// It was given up.
    Failed(String),
}

/// What is said of a backup in this respect.
pub(crate) fn condition_of(resource: &Backup, kind: ConditionType) -> Option<&Condition> {
    resource.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// Whether a backup is in the archive, or was given up.
pub(crate) fn ended(resource: &Backup) -> Option<bool> {
    let complete = condition_of(resource, ConditionType::Complete)?;
    match complete.status.as_str() {
        "True" => Some(true),
        "False" if complete.reason == ferrymq_api::Reason::BackupFailed.as_str() => Some(false),
        _ => None,
    }
}

/// Brings one `Backup` a step closer to its end. Idempotent: may be stopped at any line and run again.
pub(crate) async fn reconcile(resource: Arc<Backup>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let next = step(&resource, &context).await?;
    context.backoff.went_on(&resource.uid().unwrap_or_default());
    Ok(next)
}

async fn step(resource: &Backup, context: &Context) -> Result<Action, ReconcileError> {
    let name = resource.name_any();
    let api = Api::<Backup>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    // As the API server has it now, not as the watch had it a moment ago.
    let current = api.get_opt(&name).await;
    let current = current.map_err(|source| ReconcileError::Read { what: format!("Backup {name}"), source })?;
    let Some(resource) = &current else { return Ok(Action::await_change()) };
    if resource.metadata.deletion_timestamp.is_some() {
        return let_go(resource, context).await;
    }
    match ended(resource) {
        Some(true) => return verification::step(resource, context).await,
        Some(false) => return Ok(Action::await_change()),
        None => {}
    }
    if !finalizers::has(resource, BACKUP_FINALIZER) {
        // Before anything is in the archive: else a resource could go and leave it behind.
        finalizers::add(resource, BACKUP_FINALIZER, context).await?;
        return Ok(Action::requeue(AT_ONCE));
    }
    let stage = match CheckedBackup::check(resource) {
        Ok(backup) => stage(resource, &backup, context).await?,
        Err(invalid) => Stage::Stuck(ferrymq_api::Reason::Invalid, invalid.to_string()),
    };
    status::publish(resource, &stage, context).await?;
    Ok(match stage {
        // It may be verified now.
        Stage::Complete(_) => Action::requeue(AT_ONCE),
        Stage::Failed(_) => Action::await_change(),
        Stage::Runs(_) => Action::requeue(QUICK),
        Stage::Stuck(..) | Stage::Waits(..) => Action::requeue(SLOW),
    })
}

async fn stage(resource: &Backup, backup: &CheckedBackup, context: &Context) -> Result<Stage, ReconcileError> {
    use ferrymq_api::Reason;
    let made_at = resource.creation_timestamp().map_or_else(Timestamp::now, |time| time.0);
    if Timestamp::now().duration_since(made_at).unsigned_abs() > LIMIT {
        return Ok(Stage::Failed(format!("it was not there within {} hours", LIMIT.as_secs() / 3600)));
    }
    let (cluster, of) = cluster_state::read(&backup.namespace, &backup.cluster, context);
    match cluster.usable("Backup", &backup.cluster, &backup.namespace) {
        Ok(formed) if formed.paused => {
            return Ok(Stage::Waits(Reason::Paused, "the cluster is paused: nothing is begun until it is not".into()));
        }
        Ok(_) => {}
        Err(NotUsable::NotFound(why)) => return Ok(Stage::Stuck(Reason::ClusterNotFound, why)),
        Err(NotUsable::Going(why)) => return Ok(Stage::Waits(Reason::ClusterGoing, why)),
        Err(NotUsable::NotReady(why)) => return Ok(Stage::Waits(Reason::ClusterNotReady, why)),
    }
    if of.is_none_or(|cluster| cluster.spec.backup.is_none()) {
        let why = format!("MessageQueue {} has no spec.backup, which says where it is archived", backup.cluster);
        return Ok(Stage::Stuck(Reason::NotArchived, why));
    }
    let key = (backup.namespace.clone(), backup.cluster.clone());
    let uid = resource.uid();
    let request = BackupRequest { name: backup.name.clone(), made_for: uid.clone() };
    let ask = |client: AdminClient| {
        let request = request.clone();
        async move { client.back_up(&request).await }
    };
    let view = match find(&context.client, &key, ask).await {
        Ok((_, view)) => view,
        Err(LinkError::Reconcile(error)) => return Err(error),
        Err(error) => return Ok(Stage::Waits(Reason::ClusterNotReady, chain(&error))),
    };
    if view.made_for.is_some() && view.made_for != uid {
        let why = format!(
            "the archive has a backup {} already, which was made for another resource; give this one another name",
            backup.name
        );
        return Ok(Stage::Stuck(Reason::BackupNameTaken, why));
    }
    Ok(match view.state {
        BackupState::Running => Stage::Runs(view),
        BackupState::Completed => Stage::Complete(view),
        BackupState::Failed => Stage::Failed(view.message),
    })
}

/// The resource is being deleted: does with what is in the archive as its policy says, and drops the finalizer. Where the
/// cluster is gone or going, or the whole namespace is, what is in the archive stays: it is what there is left of it.
async fn let_go(resource: &Backup, context: &Context) -> Result<Action, ReconcileError> {
    if !finalizers::has(resource, BACKUP_FINALIZER) {
        return Ok(Action::await_change());
    }
    if let Ok(backup) = CheckedBackup::check(resource)
        && backup.deletion_policy == BackupDeletionPolicy::Delete
        && !cluster_state::is_namespace_going(&backup.namespace, context).await?
        && matches!(cluster_state::read(&backup.namespace, &backup.cluster, context).0, ClusterState::Formed(_))
    {
        let key = (backup.namespace.clone(), backup.cluster.clone());
        let removal = BackupRemoval { name: backup.name.clone() };
        let ask = |client: AdminClient| {
            let removal = removal.clone();
            async move { client.remove_backup(&removal).await }
        };
        match find(&context.client, &key, ask).await {
            Ok(_) => {
                let note = format!("backup {} is gone from the archive, with what no other needs", backup.name);
                context.tell(resource, EventType::Normal, "BackupRemoved", "Remove", note).await;
            }
            Err(LinkError::Reconcile(error)) => return Err(error),
            Err(error) => {
                let why = format!("the deletion waits: {}", chain(&error));
                let waits = Stage::Waits(ferrymq_api::Reason::ClusterNotReady, why);
                status::publish(resource, &waits, context).await?;
                return Ok(Action::requeue(SLOW));
            }
        }
    }
    finalizers::drop(resource, BACKUP_FINALIZER, context).await?;
    Ok(Action::await_change())
}

/// What to do after a reconcile that did not go on.
pub(crate) fn after_error(resource: Arc<Backup>, error: &ReconcileError, context: Arc<Context>) -> Action {
    context.after_error(&*resource, error)
}
