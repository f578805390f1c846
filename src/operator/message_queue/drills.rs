//! Backups that are restored to see whether they can be: when the schedule asks for it, and how it went last.

use std::sync::Arc;

use ferrymq_api::{Backup, BackupPlan, Cluster, ConditionType, MessageQueue, Reason};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::EventType,
};
use serde_json::json;

use super::backups::{LATE, completed};
use crate::{
    backup, context::Context, error::ReconcileError, message_queue::verdict::Verdict, names::VERIFY_ANNOTATION,
};

/// Asks for the last backup to be restored where that is due.
pub(super) async fn carry_out(
    resource: &MessageQueue,
    cluster: &Cluster,
    plan: &BackupPlan,
    backups: &[Arc<Backup>],
    now: Timestamp,
    context: &Context,
) -> Result<(), ReconcileError> {
    let began = resource.creation_timestamp().map_or(now, |time| time.0);
    let Some((due, last)) = due(plan, backups, began, now) else { return Ok(()) };
    let name = last.name_any();
    let api = Api::<Backup>::namespaced(context.client.clone(), &cluster.namespace);
    let patch = json!({"metadata": {"annotations": {VERIFY_ANNOTATION: due.to_string()}}});
    match api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => {
            let note = format!("backup {name} is restored to see whether it can be, as the schedule says");
            context.tell(resource, EventType::Normal, "VerificationDue", "Verify", note).await;
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(ReconcileError::Write { what: format!("the annotation of Backup {name}"), source }),
    }
}

/// The time that is due, and the backup that is to be restored then. One at a time.
fn due<'a>(
    plan: &BackupPlan,
    backups: &'a [Arc<Backup>],
    began: Timestamp,
    now: Timestamp,
) -> Option<(Timestamp, &'a Backup)> {
    let schedule = plan.verify.as_ref()?;
    if backups.iter().any(|it| backup::is_being_verified(it)) {
        return None;
    }
    let asked = |it: &Backup| it.annotations().get(VERIFY_ANNOTATION)?.parse::<Timestamp>().ok();
    let ended = |it: &Backup| backup::verified(it).map(|(at, _)| at);
    let last = backups.iter().flat_map(|it| [asked(it), ended(it)]).flatten().filter(|at| *at <= now).max();
    let due = schedule.next_after(last.unwrap_or(began)).filter(|due| *due <= now)?;
    completed(backups).first().map(|(_, last)| (due, *last))
}

/// How it went last; nothing where nobody asks for it.
pub(super) fn judge(plan: &BackupPlan, backups: &[Arc<Backup>], now: Timestamp) -> Option<Verdict> {
    let says = |status, reason, message: String| {
        Some(Verdict { kind: ConditionType::RestoreVerified, status, reason, message })
    };
    let last = backups.iter().filter_map(|it| Some((backup::verified(it)?, it))).max_by_key(|((at, _), _)| *at);
    let next = |after| plan.verify.as_ref().and_then(|schedule| schedule.next_after(after));
    let Some(((at, good), last)) = last else {
        let due = next(now).map(|next| format!("; that is due at {}", next.strftime("%FT%TZ")));
        plan.verify.as_ref()?;
        let message = format!("no backup was restored yet to see whether it can be{}", due.unwrap_or_default());
        return says(None, Reason::NotVerified, message);
    };
    let (name, when) = (last.name_any(), at.strftime("%FT%TZ"));
    if !good {
        let verdict = backup::condition_of(last, ConditionType::RestoreVerified);
        let why = verdict.map(|verdict| verdict.message.clone()).unwrap_or_default();
        return says(
            Some(false),
            Reason::NotRestorable,
            format!("backup {name} could not be restored at {when}: {why}"),
        );
    }
    if let Some(due) = next(at).filter(|due| now.duration_since(*due).as_secs() > LATE.as_secs() as i64) {
        let due = due.strftime("%FT%TZ");
        let message = format!("a backup was to be restored at {due}, and the last one that was is {name}, at {when}");
        return says(Some(false), Reason::VerificationOverdue, message);
    }
    says(Some(true), Reason::Verified, format!("backup {name} was restored at {when}, and is as it was backed up"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn plan() -> BackupPlan {
        let spec = "{storage: {size: 1Gi}, backup: {destination: {volumeClaim: {name: a}}, verify: '0 4 * * *'}}";
        cluster(spec).backup.unwrap()
    }

    /// A backup that is in the archive, and what is known of its verification: what asked for it, when it ended, how.
    fn made(name: &str, time: &str, verified: Option<(&str, Option<(&str, bool)>)>) -> Arc<Backup> {
        let mut conditions = vec![json!(
            {"type": "Complete", "status": "True", "reason": "BackupCompleted", "message": "", "lastTransitionTime": time}
        )];
        let mut backup = json!({
            "apiVersion": "ferrymq.io/v1alpha1", "kind": "Backup",
            "metadata": {"name": name, "creationTimestamp": time}, "spec": {"cluster": "orders"},
        });
        let mut verification = json!(null);
        if let Some((request, ended)) = verified {
            backup["metadata"]["annotations"] = json!({VERIFY_ANNOTATION: request});
            verification = json!({"request": request, "time": ended.map(|(at, _)| at)});
            conditions.extend(ended.map(|(at, good)| {
                let status = if good { "True" } else { "False" };
                json!({"type": "RestoreVerified", "status": status, "reason": "", "message": "object x", "lastTransitionTime": at})
            }));
        }
        backup["status"] = json!({"completionTime": time, "verification": verification, "conditions": conditions});
        Arc::new(serde_json::from_value(backup).unwrap())
    }

    #[test]
    fn the_last_backup_is_restored_when_that_is_due() {
        let (plan, began) = (plan(), at("2026-11-20T12:00:00Z"));
        let due = |backups: &[Arc<Backup>], now| {
            super::due(&plan, backups, began, at(now)).map(|(at, backup)| (at.to_string(), backup.name_any()))
        };
        assert_eq!(due(&[], "2026-11-21T05:00:00Z"), None, "there is none");
        let both = [made("a", "2026-11-20T13:00:00Z", None), made("b", "2026-11-20T14:00:00Z", None)];
        assert_eq!(due(&both, "2026-11-21T03:59:59Z"), None);
        let wanted = Some(("2026-11-21T04:00:00Z".to_owned(), "b".to_owned()));
        assert_eq!(due(&both, "2026-11-21T04:00:00Z"), wanted);
        let request = "2026-11-21T04:00:00Z";
        assert_eq!(due(&[made("b", "2026-11-20T14:00:00Z", Some((request, None)))], "2026-11-23T05:00:00Z"), None);
        let ended = Some((request, Some(("2026-11-21T04:03:00Z", false))));
        let known = [made("b", "2026-11-20T14:00:00Z", ended)];
        assert_eq!(due(&known, "2026-11-21T05:00:00Z"), None);
        assert!(due(&known, "2026-11-22T05:00:00Z").is_some());
    }

    #[test]
    fn how_it_went_is_said_with_its_time() {
        let says = |backups: &[Arc<Backup>], now| {
            let verdict = judge(&plan(), backups, at(now)).unwrap();
            (verdict.status, verdict.reason, verdict.message)
        };
        let none = says(&[], "2026-11-21T05:00:00Z");
        assert!(none.0.is_none() && none.2.contains("2026-11-22T04:00:00Z"), "{none:?}");
        let good = made("a", "2026-11-20T13:00:00Z", Some(("x", Some(("2026-11-21T04:03:00Z", true)))));
        let fine = says(std::slice::from_ref(&good), "2026-11-21T05:00:00Z");
        assert!(fine.0 == Some(true) && fine.2.contains("a was restored at 2026-11-21T04:03:00Z"), "{fine:?}");
        assert_eq!(says(std::slice::from_ref(&good), "2026-11-22T05:30:00Z").1, Reason::VerificationOverdue);
        let bad = made("b", "2026-11-21T13:00:00Z", Some(("y", Some(("2026-11-22T04:03:00Z", false)))));
        let refused = says(&[good, bad], "2026-11-22T05:00:00Z");
        assert_eq!((refused.0, refused.1), (Some(false), Reason::NotRestorable));
        assert!(
            refused.2.contains("backup b could not be restored") && refused.2.contains("object x"),
            "{}",
            refused.2
        );
    }
}
