//! What a user is, for people and programs: pure, but for the one write at the end.

use ferrymq_api::{Binding, CheckedUser, ConditionType, Reason, User, UserStatus, condition};
use kube::{Api, ResourceExt, api::PostParams, runtime::events::EventType};

use crate::{context::Context, error::ReconcileError, names, user::plan::Plan};

type Verdict = (ConditionType, Option<bool>, Reason, String);

/// Writes the status where it says something new. Gives whether there is nothing more to do.
pub(crate) async fn publish(
    resource: &User,
    user: Option<&CheckedUser>,
    plan: &Plan,
    context: &Context,
) -> Result<bool, ReconcileError> {
    let new = of(resource, user, plan);
    let old = resource.status.clone().unwrap_or_default();
    let ready = |status: &UserStatus| {
        status.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str()).cloned()
    };
    let settled = matches!(plan, Plan::Settled | Plan::Paused(_));
    if old == new {
        return Ok(settled);
    }
    let before = ready(&old).map(|condition| condition.reason);
    let now = ready(&new);
    let name = resource.name_any();
    let api = Api::<User>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    let mut changed = resource.clone();
    changed.status = Some(new);
    changed.metadata.managed_fields = None;
    match api.replace_status(&name, &PostParams::default(), &changed).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(settled),
        Err(source) => return Err(ReconcileError::Status { what: format!("the status of User {name}"), source }),
    }
    if let Some(now) = now.filter(|now| now.status == "False" && before.as_ref() != Some(&now.reason)) {
        let kind = if now.reason == Reason::ClusterNotReady.as_str() { EventType::Normal } else { EventType::Warning };
        context.tell(resource, kind, &now.reason, "Declare", now.message).await;
    }
    Ok(settled)
}

fn of(resource: &User, user: Option<&CheckedUser>, plan: &Plan) -> UserStatus {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation;
    let conditions = judge(user, plan)
        .into_iter()
        .map(|(kind, status, reason, message)| condition(&before.conditions, kind, status, reason, message, generation))
        .collect();
    let binding = match (plan, user) {
        (Plan::Settled, Some(user)) => Some(Binding { name: names::user_secret(&user.cluster, &user.resource) }),
        _ => before.binding,
    };
    UserStatus { observed_generation: generation, binding, conditions }
}

fn judge(user: Option<&CheckedUser>, plan: &Plan) -> Vec<Verdict> {
    match plan {
        Plan::Invalid(why) => stuck(Reason::Invalid, why),
        Plan::ClusterNotFound(why) => stuck(Reason::ClusterNotFound, why),
        Plan::Conflict(why) => stuck(Reason::UserConflict, why),
        Plan::NameTaken(why) => stuck(Reason::NameTaken, why),
        Plan::PasswordMissing(why) => stuck(Reason::PasswordMissing, why),
        Plan::VirtualHostNotFound(why) => stuck(Reason::VirtualHostNotFound, why),
        Plan::ClusterGoing(why) => waiting(Reason::ClusterGoing, why),
        Plan::ClusterNotReady(why) => waiting(Reason::ClusterNotReady, why),
        Plan::WriteBinding(_) => waiting(Reason::Progressing, "its Secret is being written"),
        Plan::Declare(_) => waiting(Reason::Progressing, "the broker is being told"),
        Plan::Paused(false) => waiting(Reason::Paused, "the cluster is paused: nothing is changed until it is not"),
        Plan::Paused(true) => settled(user, Reason::Paused, "the cluster is paused: nothing is changed"),
        Plan::Settled => settled(user, Reason::Settled, "there is nothing to do"),
    }
}

/// A person has to change something.
fn stuck(reason: Reason, why: &str) -> Vec<Verdict> {
    vec![
        (ConditionType::Ready, Some(false), reason, why.to_owned()),
        (ConditionType::Reconciling, Some(false), reason, "somebody has to help; see Stalled".to_owned()),
        (ConditionType::Stalled, Some(true), reason, why.to_owned()),
        (ConditionType::InSync, Some(false), reason, why.to_owned()),
    ]
}

/// It goes on by itself.
fn waiting(reason: Reason, why: &str) -> Vec<Verdict> {
    vec![
        (ConditionType::Ready, Some(false), reason, why.to_owned()),
        (ConditionType::Reconciling, Some(true), Reason::Progressing, why.to_owned()),
        (ConditionType::Stalled, Some(false), Reason::NothingInTheWay, "nothing is in the way".to_owned()),
        (ConditionType::InSync, None, Reason::Unknown, why.to_owned()),
    ]
}

fn settled(user: Option<&CheckedUser>, reason: Reason, why: &str) -> Vec<Verdict> {
    let ready = match user {
        Some(user) if user.permissions.is_empty() => {
            format!("user {} can log in, and may do nothing: the spec has no permissions", user.name)
        }
        Some(user) => format!("user {} can log in", user.name),
        None => "the user can log in".to_owned(),
    };
    vec![
        (ConditionType::Ready, Some(true), Reason::Declared, ready),
        (ConditionType::Reconciling, Some(false), reason, why.to_owned()),
        (ConditionType::Stalled, Some(false), Reason::NothingInTheWay, "nothing is in the way".to_owned()),
        (ConditionType::InSync, Some(true), Reason::Declared, "the broker has what the spec asks for".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{user, user_resource};

    const SPEC: &str = "{cluster: orders}";

    fn says(plan: &Plan, kind: ConditionType) -> (String, String, String) {
        let status = of(&user_resource(SPEC), Some(&user(SPEC)), plan);
        let condition = status.conditions.into_iter().find(|condition| condition.type_ == kind.as_str()).unwrap();
        (condition.status, condition.reason, condition.message)
    }

    #[test]
    fn a_user_that_is_there_names_its_secret_and_says_where_it_may_do_nothing() {
        let status = of(&user_resource(SPEC), Some(&user(SPEC)), &Plan::Settled);
        assert_eq!(status.binding.map(|binding| binding.name).as_deref(), Some("orders-user-billing"));
        assert_eq!(status.observed_generation, Some(1));
        let (status, reason, message) = says(&Plan::Settled, ConditionType::Ready);
        assert_eq!((status.as_str(), reason.as_str()), ("True", "Declared"));
        assert!(message.contains("may do nothing"), "{message}");
    }

    #[test]
    fn who_has_to_help_is_told_and_who_has_to_wait_as_well() {
        let missing = Plan::PasswordMissing("there is no Secret x".to_owned());
        assert_eq!(says(&missing, ConditionType::Ready).1, "PasswordMissing");
        assert_eq!(says(&missing, ConditionType::Stalled).0, "True");
        let waits = Plan::ClusterNotReady("no broker answers".to_owned());
        assert_eq!(says(&waits, ConditionType::Stalled).0, "False");
        assert_eq!(says(&waits, ConditionType::Reconciling).0, "True");
        assert_eq!(says(&waits, ConditionType::InSync).0, "Unknown");
    }

    #[test]
    fn a_secret_once_named_stays_named() {
        let mut resource = user_resource(SPEC);
        resource.status = Some(of(&resource, Some(&user(SPEC)), &Plan::Settled));
        let status = of(&resource, Some(&user(SPEC)), &Plan::ClusterNotReady("no broker answers".to_owned()));
        assert!(status.binding.is_some());
    }
}
