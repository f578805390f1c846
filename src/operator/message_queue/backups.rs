//! The backups of a cluster: which one the schedule asks for now, which ones are not to be kept, and how it is with all of
//! it and with the archive.

use std::{sync::Arc, time::Duration};

use ferrymq_api::{
    Backup, BackupDeletionPolicy, BackupPlan, BackupSpec, BackupSummary, Cluster, ConditionType, MessageQueue, Reason,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
    runtime::events::EventType,
};

use crate::{
    backup,
    context::Context,
    error::ReconcileError,
    message_queue::{dereference::Observed, drills, verdict::Verdict},
    names::{self, SCHEDULED_LABEL},
};

/// How late a backup may be that the schedule asked for.
pub(super) const LATE: Duration = Duration::from_secs(3600);
/// How long what was confirmed may wait to be archived.
const BEHIND: Duration = Duration::from_secs(60);

/// Makes the backup that is due, and deletes those that are not to be kept.
pub(crate) async fn carry_out(
    resource: &MessageQueue,
    cluster: &Cluster,
    observed: &Observed,
    now: Timestamp,
    context: &Context,
) -> Result<(), ReconcileError> {
    let Some(plan) = &cluster.backup else { return Ok(()) };
    let api = Api::<Backup>::namespaced(context.client.clone(), &cluster.namespace);
    let began = resource.creation_timestamp().map_or(now, |time| time.0);
    if let Some(due) = due(plan, &observed.backups, began, now) {
        let backup = scheduled(cluster, due);
        let name = backup.name_any();
        match api.create(&PostParams::default(), &backup).await {
            Ok(_) => {
                let note = format!("backup {name} is made, as the schedule says");
                context.tell(resource, EventType::Normal, "BackupDue", "BackUp", note).await;
            }
            // It is there, and the watch has yet to say so.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(source) => return Err(ReconcileError::Write { what: format!("Backup {name}"), source }),
        }
    }
    drills::carry_out(resource, cluster, plan, &observed.backups, now, context).await?;
    for name in surplus(plan, &observed.backups, now) {
        match api.delete(&name, &DeleteParams::default()).await {
            Ok(_) => {
                let note = format!("backup {name} goes, as retention says");
                context.tell(resource, EventType::Normal, "BackupExpired", "Expire", note).await;
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => {
                return Err(ReconcileError::Write { what: format!("the deletion of Backup {name}"), source });
            }
        }
    }
    Ok(())
}

/// The time of the backup that is due now: the last one that the schedule asked for since the last that was made.
fn due(plan: &BackupPlan, backups: &[Arc<Backup>], began: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let schedule = plan.schedule.as_ref()?;
    let last = backups.iter().filter_map(|backup| scheduled_at(backup)).max().unwrap_or(began);
    let mut due = schedule.next_after(last).filter(|due| *due <= now)?;
    // Those that were missed are not made up for, but for the last.
    const MOST_MISSED: usize = 100_000;
    for _ in 0..MOST_MISSED {
        match schedule.next_after(due).filter(|next| *next <= now) {
            Some(next) => due = next,
            None => break,
        }
    }
    Some(due)
}

fn scheduled_at(backup: &Backup) -> Option<Timestamp> {
    let seconds = backup.labels().get(SCHEDULED_LABEL)?.parse().ok()?;
    Timestamp::from_second(seconds).ok()
}

fn scheduled(cluster: &Cluster, due: Timestamp) -> Backup {
    let name = format!("{}-{}", cluster.name, due.strftime("%Y%m%d-%H%M%S"));
    let spec = BackupSpec { cluster: cluster.name.clone(), deletion_policy: BackupDeletionPolicy::Delete };
    let mut labels = names::labels(cluster);
    labels.insert(SCHEDULED_LABEL.to_owned(), due.as_second().to_string());
    let mut backup = Backup::new(&name, spec);
    backup.metadata.labels = Some(labels);
    backup
}

fn completed_at(resource: &Backup) -> Option<Timestamp> {
    let is_complete = backup::ended(resource) == Some(true);
    resource.status.as_ref().filter(|_| is_complete)?.completion_time.as_ref().map(|time| time.0)
}

/// All that are in the archive, the last one first.
pub(super) fn completed(backups: &[Arc<Backup>]) -> Vec<(Timestamp, &Backup)> {
    let mut all: Vec<_> = backups.iter().filter_map(|backup| Some((completed_at(backup)?, &**backup))).collect();
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    all
}

/// Those that the schedule made and that are not to be kept. Never the last one that is in the archive, and none that
/// somebody made by hand.
fn surplus(plan: &BackupPlan, backups: &[Arc<Backup>], now: Timestamp) -> Vec<String> {
    let is_old = |at: Timestamp| plan.keep_for.is_some_and(|most| now.duration_since(at).unsigned_abs() > most);
    let scheduled =
        completed(backups).into_iter().enumerate().filter(|(_, (_, backup))| scheduled_at(backup).is_some());
    let mut kept = 0;
    let mut surplus = Vec::new();
    for (place, (at, backup)) in scheduled {
        let too_many = plan.keep_last.is_some_and(|most| kept >= most);
        if place > 0 && (too_many || is_old(at)) && backup.metadata.deletion_timestamp.is_none() {
            surplus.push(backup.name_any());
        } else {
            kept += 1;
        }
    }
    surplus
}

/// What the status says of the backups.
pub(crate) fn summary(observed: &Observed) -> Option<BackupSummary> {
    let completed = completed(&observed.backups);
    let (last_time, last) = completed.first()?;
    let (oldest, _) = completed.last()?;
    let verified = observed.backups.iter().filter_map(|it| backup::verified(it));
    Some(BackupSummary {
        last: last.name_any(),
        last_time: Time(*last_time),
        recoverable_from: Time(*oldest),
        verified_time: verified.filter(|(_, good)| *good).map(|(at, _)| Time(at)).max_by_key(|time| time.0),
    })
}

/// The conditions of a cluster that is archived.
pub(crate) fn judge(cluster: &Cluster, observed: &Observed, now: Timestamp) -> Vec<Verdict> {
    match &cluster.backup {
        Some(plan) => {
            let mut verdicts = vec![healthy(plan, observed, now), archiving(cluster, observed)];
            verdicts.extend(drills::judge(plan, &observed.backups, now));
            verdicts
        }
        None => Vec::new(),
    }
}

fn healthy(plan: &BackupPlan, observed: &Observed, now: Timestamp) -> Verdict {
    let says =
        |status, reason, message: String| Verdict { kind: ConditionType::BackupHealthy, status, reason, message };
    let completed = completed(&observed.backups);
    let last = completed.first();
    let failed = observed.backups.iter().filter(|it| backup::ended(it) == Some(false));
    let failed = failed.max_by_key(|backup| backup.creation_timestamp().map(|time| time.0));
    if let Some(failed) = failed
        && last.is_none_or(|(_, last)| last.creation_timestamp() < failed.creation_timestamp())
    {
        let why = backup::condition_of(failed, ConditionType::Complete);
        let why = why.map(|condition| condition.message.clone()).unwrap_or_default();
        return says(Some(false), Reason::BackupFailed, format!("backup {} was given up: {why}", failed.name_any()));
    }
    let next = |after| plan.schedule.as_ref().and_then(|schedule| schedule.next_after(after));
    let Some((at, last)) = last else {
        let next = next(now).map(|next| format!("; the next one is due at {}", next.strftime("%FT%TZ")));
        return says(None, Reason::NoBackup, format!("there is no backup yet{}", next.unwrap_or_default()));
    };
    if let Some(due) = next(*at).filter(|due| now.duration_since(*due).as_secs() > LATE.as_secs() as i64) {
        let message =
            format!("a backup was due at {}, and the last one is {}", due.strftime("%FT%TZ"), last.name_any());
        return says(Some(false), Reason::BackupOverdue, message);
    }
    says(Some(true), Reason::BackupCompleted, format!("backup {} is in the archive", last.name_any()))
}

fn archiving(cluster: &Cluster, observed: &Observed) -> Verdict {
    let kind = ConditionType::ContinuousArchiving;
    let says = |status, reason, message: String| Verdict { kind, status, reason, message };
    let views: Vec<_> = (0..cluster.replicas)
        .filter_map(|ordinal| Some((names::pod(&cluster.name, ordinal), observed.node(ordinal)?.archive.as_ref()?)))
        .collect();
    let failing = views.iter().find_map(|(name, view)| Some((name, view.problem.as_ref()?)));
    if let Some((name, problem)) = failing {
        return says(Some(false), Reason::ArchiveUnreachable, format!("{name} archives nothing: {problem}"));
    }
    let secured =
        completed(&observed.backups).first().and_then(|(_, backup)| backup.status.as_ref()?.start_time.clone());
    let secured = secured.and_then(|time| u64::try_from(time.0.as_millisecond()).ok()).unwrap_or(0);
    let gap = views.iter().find(|(_, view)| view.last_gap_at.is_some_and(|at| at > secured));
    if let Some((name, _)) = gap {
        let message = format!(
            "the archive was out of reach for so long that {name} let go of what was to be archived: no restore leads to \
             a time in that gap; make a Backup, or wait for the next one"
        );
        return says(Some(false), Reason::ArchiveGap, message);
    }
    let behind = views.iter().find(|(_, view)| u128::from(view.lag_milliseconds) > BEHIND.as_millis());
    if let Some((name, _)) = behind {
        let message = format!("what {name} confirmed waits for more than {} s to be archived", BEHIND.as_secs());
        return says(Some(false), Reason::ArchiveBehind, message);
    }
    if views.is_empty() || views.iter().any(|(_, view)| !view.reached) {
        return says(None, Reason::Unknown, "not every broker has reached the archive yet".to_owned());
    }
    says(Some(true), Reason::Archived, "what the brokers confirm is archived within seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    fn plan(more: &str) -> BackupPlan {
        let spec = format!("{{storage: {{size: 1Gi}}, backup: {{destination: {{volumeClaim: {{name: a}}}}{more}}}}}");
        cluster(&spec).backup.unwrap()
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    /// A backup that is in the archive.
    fn made(name: &str, time: &str, by_schedule: bool) -> Arc<Backup> {
        let labels = if by_schedule {
            serde_json::json!({SCHEDULED_LABEL: at(time).as_second().to_string()})
        } else {
            serde_json::json!({})
        };
        let backup = serde_json::json!({
            "apiVersion": "ferrymq.io/v1alpha1", "kind": "Backup",
            "metadata": {"name": name, "labels": labels, "creationTimestamp": time},
            "spec": {"cluster": "orders"},
            "status": {"completionTime": time, "conditions": [
                {"type": "Complete", "status": "True", "reason": "BackupCompleted", "message": "", "lastTransitionTime": time},
            ]},
        });
        Arc::new(serde_json::from_value(backup).unwrap())
    }

    #[test]
    fn a_backup_is_due_once_for_each_time_of_the_schedule_and_missed_ones_are_not_made_up_for() {
        let plan = plan(", schedule: '0 2 * * *'");
        let began = at("2026-11-20T12:00:00Z");
        assert_eq!(due(&plan, &[], began, at("2026-11-21T01:59:59Z")), None);
        assert_eq!(due(&plan, &[], began, at("2026-11-21T02:00:00Z")), Some(at("2026-11-21T02:00:00Z")));
        let one = [made("a", "2026-11-21T02:00:00Z", true)];
        assert_eq!(due(&plan, &one, began, at("2026-11-22T01:00:00Z")), None);
        assert_eq!(due(&plan, &one, began, at("2026-11-25T03:00:00Z")), Some(at("2026-11-25T02:00:00Z")));
        let backup = scheduled(&cluster("{storage: {size: 1Gi}}"), at("2026-11-25T02:00:00Z"));
        assert_eq!(backup.name_any(), "orders-20261125-020000");
        assert_eq!(scheduled_at(&backup), Some(at("2026-11-25T02:00:00Z")));
    }

    #[test]
    fn what_is_too_old_or_too_many_goes_but_never_the_last_one_and_none_made_by_hand() {
        let now = at("2026-11-28T00:00:00Z");
        let all = [
            made("old", "2026-10-01T02:00:00Z", true),
            made("by-hand", "2026-10-02T02:00:00Z", false),
            made("older", "2026-11-25T02:00:00Z", true),
            made("last", "2026-11-26T02:00:00Z", true),
        ];
        assert_eq!(surplus(&plan(", retention: {maxAge: 30d}"), &all, now), ["old"]);
        assert_eq!(surplus(&plan(", retention: {last: 1}"), &all, now), ["older", "old"]);
        assert_eq!(surplus(&plan(""), &all, now), [""; 0]);
        assert_eq!(surplus(&plan(", retention: {maxAge: 1h}"), &all[..1], now), [""; 0]);
    }
}
