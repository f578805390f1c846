//! A backup is restored to see whether it can be: a pod does it, and says how it went by its exit code and its last words.

use std::time::Duration;

use ferrymq_api::{
    Backup, BackupVerification, CheckedBackup, Cluster, ConditionType, Reason, condition, to_the_second,
};
use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
    runtime::{controller::Action, events::EventType},
};

use super::{QUICK, SLOW, condition_of, status};
use crate::{
    cluster_state,
    context::Context,
    error::ReconcileError,
    message_queue::{build::verification_pod, plan::pull_policy},
    names::{self, VERIFY_ANNOTATION},
};

/// How long after a pod that could not look, or after a backup that could not be restored, it is tried again.
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_REFUSED: Duration = Duration::from_secs(3600);

/// The exit code that says: not as it was backed up.
const NOT_RESTORABLE: i32 = 1;

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// It goes on by itself.
    Waits(String),
    /// It was restored, and was as it had been.
    Verified(String),
    /// It was not.
    Refused(String),
}

/// How it ended that a backup was restored; none where it did not end yet, or nobody asked for it.
pub(crate) fn ended(resource: &Backup) -> Option<(Timestamp, bool)> {
    let at = resource.status.as_ref()?.verification.as_ref()?.time.as_ref()?.0;
    let verdict = condition_of(resource, ConditionType::RestoreVerified);
    Some((at, verdict.is_some_and(|verdict| verdict.status == "True")))
}

/// Somebody asked for it, and it did not end yet.
pub(crate) fn is_under_way(resource: &Backup) -> bool {
    let asked = resource.annotations().get(VERIFY_ANNOTATION);
    let known = resource.status.as_ref().and_then(|status| status.verification.as_ref());
    asked.is_some_and(|asked| known.is_none_or(|known| known.request != *asked || known.time.is_none()))
}

/// Brings it a step closer to its end, where somebody asked for it. The backup is in the archive.
pub(super) async fn step(resource: &Backup, context: &Context) -> Result<Action, ReconcileError> {
    let Some(request) = resource.annotations().get(VERIFY_ANNOTATION) else { return Ok(Action::await_change()) };
    let api = Api::<Pod>::namespaced(context.client.clone(), &resource.namespace().unwrap_or_default());
    if !is_under_way(resource)
        && let Some((at, verified)) = ended(resource)
    {
        let since = Timestamp::now().duration_since(at).unsigned_abs();
        if verified || since < AGAIN_REFUSED {
            remove(&api, resource).await?;
            return Ok(if verified { Action::await_change() } else { Action::requeue(AGAIN_REFUSED - since) });
        }
    }
    let name = names::verification_pod(&resource.name_any());
    let pod = api.get_opt(&name).await;
    let pod = pod.map_err(|source| ReconcileError::Read { what: format!("Pod {name}"), source })?;
    let (stage, next) = match pod {
        None => begin(&api, resource, context).await?,
        Some(pod) if pod.metadata.deletion_timestamp.is_some() => {
            (Stage::Waits("an earlier pod ends".to_owned()), QUICK)
        }
        Some(pod) => {
            let stage = judge(&pod);
            if matches!(stage, Stage::Waits(_)) && finished(&pod).is_some_and(|since| since > AGAIN) {
                remove(&api, resource).await?;
            }
            (stage, QUICK * 2)
        }
    };
    publish(resource, request, &stage, context).await?;
    Ok(Action::requeue(next))
}

async fn begin(api: &Api<Pod>, resource: &Backup, context: &Context) -> Result<(Stage, Duration), ReconcileError> {
    let waits = |why: String| Ok((Stage::Waits(why), SLOW));
    let backup = match CheckedBackup::check(resource) {
        Ok(backup) => backup,
        Err(invalid) => return waits(invalid.to_string()),
    };
    let (_, of) = cluster_state::read(&backup.namespace, &backup.cluster, context);
    let Some(of) = of else {
        return waits(format!("there is no MessageQueue {} that says where the archive is", backup.cluster));
    };
    let cluster = match Cluster::check(&of) {
        Ok(cluster) if cluster.paused => {
            return waits("the cluster is paused: nothing is begun until it is not".into());
        }
        Ok(cluster) => cluster,
        Err(invalid) => return waits(invalid.to_string()),
    };
    let image = cluster.pods.image.clone().unwrap_or_else(|| context.settings.broker_image.clone());
    let pull_policy = pull_policy(&cluster, &context.settings);
    let Some(pod) = verification_pod(&cluster, resource, &image, pull_policy.as_deref()) else {
        return waits(format!("MessageQueue {} has no spec.backup, which says where it is archived", backup.cluster));
    };
    match api.create(&PostParams::default(), &pod).await {
        Ok(_) => Ok((Stage::Waits(format!("pod {} is made, which restores it", pod.name_any())), QUICK)),
        Err(kube::Error::Api(status)) if status.code == 409 => waits("an earlier pod ends".to_owned()),
        // A quota, or a policy: somebody may change it.
        Err(kube::Error::Api(status)) if status.code == 403 || status.code == 422 => {
            waits(format!("the API server refuses the pod that would restore it: {}", status.message))
        }
        Err(source) => Err(ReconcileError::Write { what: format!("Pod {}", pod.name_any()), source }),
    }
}

fn judge(pod: &Pod) -> Stage {
    let name = pod.name_any();
    let status = pod.status.clone().unwrap_or_default();
    match status.phase.as_deref() {
        Some("Succeeded") => Stage::Verified(took(pod)),
        Some("Failed") if status.reason.as_deref() == Some("DeadlineExceeded") => {
            Stage::Refused(format!("pod {name} was not done in time; look at `kubectl describe pod {name}`"))
        }
        Some("Failed") => {
            let ended = terminated(pod);
            let said = ended.and_then(|ended| ended.message.as_deref()).map(last_line);
            let said = said.or(status.message.as_deref()).or(status.reason.as_deref()).unwrap_or("it said nothing");
            match ended.map(|ended| ended.exit_code) {
                Some(NOT_RESTORABLE) => Stage::Refused(said.to_owned()),
                _ => Stage::Waits(format!("pod {name} could not look, and is made again: {said}")),
            }
        }
        _ => {
            let waits =
                status.conditions.iter().flatten().find(|it| it.type_ == "PodScheduled" && it.status == "False");
            let waits = waits.and_then(|it| it.message.clone());
            let container =
                status.container_statuses.iter().flatten().find_map(|it| it.state.as_ref()?.waiting.clone());
            let waits = waits.or_else(|| container.and_then(|it| it.message));
            let pod = format!("pod {name} restores it");
            Stage::Waits(waits.map_or(pod, |why| format!("pod {name} does not start: {why}")))
        }
    }
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    pod.status.as_ref()?.container_statuses.iter().flatten().find_map(|it| it.state.as_ref()?.terminated.as_ref())
}

fn finished(pod: &Pod) -> Option<Duration> {
    pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Failed"))?;
    let at =
        terminated(pod).and_then(|ended| ended.finished_at.as_ref()).or(pod.metadata.creation_timestamp.as_ref())?;
    Some(Timestamp::now().duration_since(at.0).unsigned_abs())
}

fn took(pod: &Pod) -> String {
    let seconds = terminated(pod)
        .and_then(|ended| Some(ended.finished_at.as_ref()?.0.duration_since(ended.started_at.as_ref()?.0).as_secs()));
    seconds.map_or_else(String::new, |seconds| format!(" in {seconds} s"))
}

fn last_line(said: &str) -> &str {
    said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or(said)
}

/// Removes the pod, where it is there.
async fn remove(api: &Api<Pod>, resource: &Backup) -> Result<(), ReconcileError> {
    let name = names::verification_pod(&resource.name_any());
    match api.delete(&name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(ReconcileError::Write { what: format!("the deletion of Pod {name}"), source }),
    }
}

async fn publish(resource: &Backup, request: &str, stage: &Stage, context: &Context) -> Result<(), ReconcileError> {
    let before = resource.status.clone().unwrap_or_default();
    let is_new = before.verification.as_ref().is_none_or(|known| known.request != request);
    let known = before.verification.as_ref().and_then(|known| known.time.clone()).filter(|_| !is_new);
    let ended_at = Some(Time(to_the_second(Timestamp::now())));
    let (status, reason, message, time) = match stage {
        // What is known stays while it is tried again.
        Stage::Waits(_) if known.is_some() => return Ok(()),
        Stage::Waits(why) => (None, Reason::Progressing, why.clone(), None),
        Stage::Verified(took) => {
            let message = format!("it was restored{took}, and is as it was backed up");
            (Some(true), Reason::Verified, message, ended_at)
        }
        Stage::Refused(why) => (Some(false), Reason::NotRestorable, why.clone(), ended_at),
    };
    let kind = ConditionType::RestoreVerified;
    let verdict = condition(&before.conditions, kind, status, reason, message, resource.metadata.generation);
    let mut new = before;
    new.conditions.retain(|condition| condition.type_ != kind.as_str());
    new.conditions.push(verdict);
    new.verification = Some(BackupVerification { request: request.to_owned(), time });
    if !status::write(resource, new, context).await? {
        return Ok(());
    }
    let name = resource.name_any();
    match stage {
        Stage::Verified(took) => {
            let note = format!("backup {name} was restored{took}, and is as it was backed up");
            context.tell(resource, EventType::Normal, Reason::Verified.as_str(), "Verify", note).await;
        }
        Stage::Refused(why) => {
            let reason = Reason::NotRestorable.as_str();
            context.tell(resource, EventType::Warning, reason, "Verify", why.clone()).await;
        }
        Stage::Waits(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "nightly-verify"}, "status": status});
        serde_json::from_value(pod).unwrap()
    }

    fn failed(code: i32, message: &str) -> Pod {
        let ended = json!({"exitCode": code, "message": message, "finishedAt": "2026-11-28T02:00:00Z"});
        let container = json!({
            "name": "verify", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": ended},
        });
        pod(json!({"phase": "Failed", "containerStatuses": [container]}))
    }

    #[test]
    fn how_the_pod_ended_says_whether_the_backup_is_good() {
        let ended = json!({"exitCode": 0, "startedAt": "2026-11-28T02:00:00Z", "finishedAt": "2026-11-28T02:01:05Z"});
        let container = json!({
            "name": "verify", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": ended},
        });
        let good = pod(json!({"phase": "Succeeded", "containerStatuses": [container]}));
        assert_eq!(judge(&good), Stage::Verified(" in 65 s".to_owned()));
        let said = "restore: 3 of 5 shards are there\nobject a/b: it is damaged\n";
        assert_eq!(judge(&failed(1, said)), Stage::Refused("object a/b: it is damaged".to_owned()));
        // Whether the backup is good is not known.
        for (code, said) in [(2, "no route to host"), (137, "")] {
            assert!(matches!(judge(&failed(code, said)), Stage::Waits(_)), "{code}");
            assert!(finished(&failed(code, said)).is_some());
        }
        let waits = json!([{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]);
        let pending = pod(json!({"phase": "Pending", "conditions": waits}));
        assert!(matches!(judge(&pending), Stage::Waits(why) if why.contains("0/3 nodes")));
        assert_eq!(finished(&pending), None);
    }
}
