//! What a backup is, for people and programs: pure, but for the one write at the end.

use ferrymq_admin_api::BackupView;
use ferrymq_api::{Backup, BackupStatus, ConditionType, Reason, condition};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Api, ResourceExt, api::PostParams, runtime::events::EventType};

use super::Stage;
use crate::{context::Context, error::ReconcileError};

/// Writes the status where it says something new.
pub(super) async fn publish(resource: &Backup, stage: &Stage, context: &Context) -> Result<(), ReconcileError> {
    if !write(resource, of(resource, stage), context).await? {
        return Ok(());
    }
    let name = resource.name_any();
    match stage {
        Stage::Complete(_) => {
            let note = format!("backup {name} is in the archive");
            context.tell(resource, EventType::Normal, "BackupComplete", "BackUp", note).await;
        }
        Stage::Failed(why) => {
            context.tell(resource, EventType::Warning, "BackupFailed", "BackUp", why.clone()).await;
        }
        Stage::Stuck(reason, why) => {
            context.tell(resource, EventType::Warning, reason.as_str(), "BackUp", why.clone()).await;
        }
        Stage::Waits(..) | Stage::Runs(_) => {}
    }
    Ok(())
}

/// Writes a status where it is new; gives whether it was written.
pub(super) async fn write(resource: &Backup, new: BackupStatus, context: &Context) -> Result<bool, ReconcileError> {
    if resource.status.as_ref() == Some(&new) {
        return Ok(false);
    }
    let name = resource.name_any();
    let api = Api::<Backup>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    let mut changed = resource.clone();
    changed.status = Some(new);
    changed.metadata.managed_fields = None;
    match api.replace_status(&name, &PostParams::default(), &changed).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(source) => Err(ReconcileError::Status { what: format!("the status of Backup {name}"), source }),
    }
}

fn of(resource: &Backup, stage: &Stage) -> BackupStatus {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation;
    let conditions = judge(stage)
        .into_iter()
        .map(|(kind, status, reason, message)| condition(&before.conditions, kind, status, reason, message, generation))
        .collect();
    let status = BackupStatus { observed_generation: generation, conditions, ..before };
    match stage {
        Stage::Runs(view) | Stage::Complete(view) => BackupStatus {
            progress: Some(format!("{}/{}", view.shards_done, view.shards)),
            bytes: i64::try_from(view.bytes).ok(),
            start_time: at(view.began_at),
            completion_time: view.ended_at.and_then(at),
            ..status
        },
        _ => status,
    }
}

fn at(milliseconds: u64) -> Option<Time> {
    let milliseconds = i64::try_from(milliseconds).ok()?;
    // A status' times have no fractions.
    Timestamp::from_second(milliseconds / 1000).ok().map(Time)
}

fn judge(stage: &Stage) -> Vec<(ConditionType, Option<bool>, Reason, String)> {
    use ConditionType::{Complete, Ready, Reconciling, Stalled};
    let unhindered = || (Stalled, Some(false), Reason::NothingInTheWay, "nothing is in the way".to_owned());
    let goes_on = |reason: Reason, why: &str| {
        vec![
            (Ready, Some(false), reason, why.to_owned()),
            (Reconciling, Some(true), Reason::Progressing, why.to_owned()),
            unhindered(),
            (Complete, None, reason, why.to_owned()),
        ]
    };
    let stands = |reason: Reason, why: &str, complete: Option<bool>| {
        vec![
            (Ready, Some(false), reason, why.to_owned()),
            (Reconciling, Some(false), reason, "somebody has to help; see Stalled".to_owned()),
            (Stalled, Some(true), reason, why.to_owned()),
            (Complete, complete, reason, why.to_owned()),
        ]
    };
    match stage {
        Stage::Stuck(reason, why) => stands(*reason, why, None),
        Stage::Waits(reason, why) => goes_on(*reason, why),
        Stage::Runs(BackupView { message, .. }) => goes_on(Reason::Progressing, message),
        Stage::Failed(why) => stands(Reason::BackupFailed, &format!("{why}; make another Backup"), Some(false)),
        Stage::Complete(view) => {
            let message = format!("all {} shards are in the archive", view.shards);
            vec![
                (Ready, Some(true), Reason::BackupCompleted, message.clone()),
                (Reconciling, Some(false), Reason::Settled, "there is nothing to do".to_owned()),
                unhindered(),
                (Complete, Some(true), Reason::BackupCompleted, message),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use ferrymq_admin_api::BackupState;

    use super::*;
    use crate::backup::ended;

    fn resource() -> Backup {
        let resource = serde_json::json!({
            "apiVersion": "ferrymq.io/v1alpha1", "kind": "Backup", "metadata": {"name": "nightly", "generation": 1},
            "spec": {"cluster": "orders"},
        });
        serde_json::from_value(resource).unwrap()
    }

    fn view(state: BackupState) -> BackupView {
        BackupView {
            name: "nightly".to_owned(),
            made_for: None,
            state,
            shards_done: 3,
            shards: 13,
            bytes: 4096,
            began_at: 1_795_878_000_123,
            ended_at: None,
            message: "3 of 13 shards are in the archive".to_owned(),
        }
    }

    #[test]
    fn how_far_it_is_and_how_it_ended_is_said() {
        let mut resource = resource();
        let runs = of(&resource, &Stage::Runs(view(BackupState::Running)));
        assert_eq!((runs.progress.as_deref(), runs.bytes), (Some("3/13"), Some(4096)));
        resource.status = Some(runs);
        assert_eq!(ended(&resource), None);
        for (stage, end) in [
            (Stage::Complete(view(BackupState::Completed)), Some(true)),
            (Stage::Failed("the archive is full".to_owned()), Some(false)),
            (Stage::Stuck(Reason::NotArchived, "there is no spec.backup".to_owned()), None),
        ] {
            resource.status = Some(of(&resource, &stage));
            assert_eq!(ended(&resource), end, "{stage:?}");
        }
    }
}
