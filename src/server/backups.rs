//! Backups and what is restored, in the words of the admin API.

use ferrymq_admin_api::{AdminError, ArchiveView, BackupState, BackupView, Reason, RestorationView, RestoreOrder};
use ferrymq_broker::{self as broker, RestoreTarget};

pub(crate) fn archive_of(figures: broker::ArchiveFigures) -> ArchiveView {
    let (problem, failing_since) = figures.failing.unzip();
    ArchiveView {
        problem,
        failing_since,
        reached: figures.reached,
        archived_until: figures.archived_until,
        lag_milliseconds: u64::try_from(figures.lag.as_millis()).unwrap_or(u64::MAX),
        held_bytes: figures.held_bytes,
        gaps: figures.gaps,
        last_gap_at: figures.last_gap_at,
    }
}

pub(crate) fn backup_of(view: broker::BackupView) -> BackupView {
    BackupView {
        name: view.name,
        made_for: view.made_for,
        state: match view.state {
            broker::BackupState::Running => BackupState::Running,
            broker::BackupState::Completed => BackupState::Completed,
            broker::BackupState::Failed => BackupState::Failed,
        },
        shards_done: view.shards_done,
        shards: view.shards,
        bytes: view.bytes,
        began_at: view.began_at,
        ended_at: view.ended_at,
        message: view.message,
    }
}

pub(crate) fn restoration_of(view: broker::RestorationView) -> RestorationView {
    let broker::RestorationView { folder, what, shards, left, problems, missing } = view;
    RestorationView { folder, what, shards, left, problems, missing }
}

pub(crate) fn order_of(order: RestoreOrder) -> Result<broker::RestoreOrder, AdminError> {
    let target = match (order.backup, order.time) {
        (Some(name), None) => RestoreTarget::Backup(name),
        (None, Some(time)) => RestoreTarget::Time(time),
        (None, None) => RestoreTarget::Latest,
        (Some(_), Some(_)) => {
            return Err(AdminError::new(Reason::Invalid, "a restore is to a backup or to a time, and not to both"));
        }
    };
    Ok(broker::RestoreOrder { target, allow_partial: order.allow_partial })
}

/// A name of a backup is part of the name of an object.
pub(crate) fn checked(name: String) -> Result<String, AdminError> {
    let fits = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.' | '_');
    if (1..=253).contains(&name.len()) && name.chars().all(fits) && !name.starts_with('.') {
        return Ok(name);
    }
    let sentence = "a backup's name has letters, digits, '-', '_' and '.', begins with none of the latter, and is no longer \
                    than 253 characters";
    Err(AdminError::new(Reason::Invalid, sentence))
}
