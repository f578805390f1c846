//! What is done for a user: its Secret, and what the broker is told by its admin API.

use ferrymq_admin_api::{CallError, Reason as Refusal, UserRemoval, UserView};
use ferrymq_api::{CheckedUser, User, UserDeletionPolicy};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::events::EventType};

use crate::{
    cluster_state::ClusterState,
    context::Context,
    error::{ReconcileError, chain},
    message_queue,
    objects::{Kind, Object},
    user::{
        dereference::Observed,
        links::UserLink,
        plan::{Declare, Plan, Why},
    },
};

/// Writes the Secret for the user's clients.
pub(crate) async fn write_binding(
    resource: &User,
    user: &CheckedUser,
    secret: &Secret,
    observed: &Observed,
    context: &Context,
) -> Result<(), ReconcileError> {
    let object = Object::new(Kind::Secret, secret.name_any(), secret)?;
    let there = match &observed.binding {
        Some(there) => Some(
            serde_json::to_value(there).map_err(|source| ReconcileError::Serialize { what: object.title(), source })?,
        ),
        None => None,
    };
    message_queue::apply::one(&user.namespace, &object, there.as_ref(), context).await?;
    let note = format!("{} has what clients of user {} need", object.title(), user.name);
    context.tell(resource, EventType::Normal, "SecretWritten", "Bind", note).await;
    Ok(())
}

/// Carries out what is to be declared; what was decided otherwise stays what it is.
pub(crate) async fn carry_out(
    resource: &User,
    user: &CheckedUser,
    observed: &Observed,
    plan: Plan,
    context: &Context,
) -> Plan {
    let Plan::Declare(declare) = plan else { return plan };
    let Some(link) = &observed.link else { return Plan::ClusterNotReady(observed.silence.clone()) };
    let outcome = declare_user(user, link, &declare).await;
    context.user_links.forget(&user.namespace, &user.cluster);
    match outcome {
        Ok(_) => {
            let (name, cluster) = (&user.name, &user.cluster);
            let (reason, note) = match declare.why {
                Why::New => ("UserDeclared", format!("cluster {cluster} has user {name} as it is asked for")),
                Why::Password => ("PasswordChanged", format!("user {name} of cluster {cluster} has its new password")),
                Why::Permissions => {
                    ("PermissionsChanged", format!("user {name} of cluster {cluster} has its new permissions"))
                }
            };
            context.tell(resource, EventType::Normal, reason, "Declare", note).await;
            Plan::Settled
        }
        Err(error) => refused(user, &error),
    }
}

async fn declare_user(user: &CheckedUser, link: &UserLink, declare: &Declare) -> Result<UserView, CallError> {
    if let Some(stale) = &declare.stale_owner {
        // Made by a resource that is no more: it becomes nobody's, and this one's then.
        link.client.remove_user(&removal(user, stale, false)).await?;
    }
    link.client.declare_user(&declare.declaration).await
}

fn refused(user: &CheckedUser, error: &CallError) -> Plan {
    let said = chain(error);
    match error.refusal().map(|refusal| refusal.reason) {
        Some(Refusal::Owned | Refusal::Incompatible) => Plan::Conflict(said),
        Some(Refusal::Invalid) => Plan::Invalid(said),
        Some(Refusal::NotFound) => Plan::VirtualHostNotFound(said),
        _ => Plan::ClusterNotReady(format!("cluster {} does not take the user now: {said}", user.cluster)),
    }
}

fn removal(user: &CheckedUser, owner: &str, delete: bool) -> UserRemoval {
    UserRemoval { name: user.name.clone(), owner_uid: owner.to_owned(), delete }
}

/// Does with a user as its deletion policy says. Gives why the resource has to stay for now, or nothing where it may go.
pub(crate) async fn remove(
    resource: &User,
    user: &CheckedUser,
    observed: &Observed,
    context: &Context,
) -> Option<Plan> {
    if observed.namespace_going || !matches!(observed.cluster, ClusterState::Formed(_)) {
        return None;
    }
    let delete = user.deletion_policy == UserDeletionPolicy::Delete;
    let waits = |why: &str| delete.then(|| Plan::ClusterNotReady(format!("the deletion waits: {why}")));
    // A user that stays can be taken over later by whoever declares it next; one that is to go must be waited for.
    let Some(link) = &observed.link else { return waits(&observed.silence) };
    let outcome = link.client.remove_user(&removal(user, &user.uid, delete)).await;
    context.user_links.forget(&user.namespace, &user.cluster);
    if let Err(error) = outcome {
        return waits(&chain(&error));
    }
    let (name, cluster) = (&user.name, &user.cluster);
    let (reason, note) = match delete {
        true => ("UserRemoved", format!("user {name} is gone from cluster {cluster}, and its connections are closed")),
        false => ("UserRetained", format!("user {name} stays in cluster {cluster}, and belongs to nobody")),
    };
    context.tell(resource, EventType::Normal, reason, "Remove", note).await;
    None
}
