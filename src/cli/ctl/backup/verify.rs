//! `ferrymq ctl backup verify`: every object of a backup, or of all that a cluster has in an archive.

use std::collections::{BTreeMap, BTreeSet};

use ferrymq_archive::{Archive, ArchiveError, Backup, ShardCut, Trouble};

use super::{
    BackupError,
    checker::Checker,
    findings::{Finding, Kind},
    inspect,
    joined::Gaps,
};
use crate::{ctl::Answer, table::Table};

/// The shard that every cluster has.
const CATALOGUE: u32 = 0;

/// Verifies a backup, or everything.
pub(super) async fn run(archive: Archive, backup: Option<&str>) -> Result<Answer, BackupError> {
    let cluster = archive.cluster().to_owned();
    let mut checker = Checker::new(archive);
    let what = match backup {
        Some(name) => {
            let read = inspect::known(&checker.archive, name).await?;
            of_backup(&mut checker, name, read).await?;
            format!("backup {name} of {cluster}")
        }
        None => {
            everything(&mut checker).await?;
            format!("the archive of {cluster}")
        }
    };
    Ok(print(&what, &checker))
}

async fn of_backup(checker: &mut Checker, name: &str, read: Result<Backup, ArchiveError>) -> Result<(), ArchiveError> {
    let Some(backup) = keep_backup(checker, name, read)? else { return Ok(()) };
    for ShardCut { group, base, upto, .. } in &backup.shards {
        let Some(base) = checker.base(*group, base).await? else { continue };
        if base.index >= *upto {
            continue;
        }
        let firsts = checker.archive.log_from(*group, base.log_from).await;
        let Some(mut firsts) = checker.listed(firsts)? else { continue };
        firsts.truncate(firsts.partition_point(|first| first <= upto));
        let next = base.index + 1;
        let ended = checker.log(*group, &firsts, Some(next), &Gaps::default()).await?;
        if let Some(ended) = ended.filter(|ended| ended <= upto) {
            checker.hole(*group, ended, upto + 1);
        }
    }
    Ok(())
}

async fn everything(checker: &mut Checker) -> Result<(), ArchiveError> {
    let archive = checker.archive.clone();
    let record = archive.cluster_record().await;
    checker.keep(&archive.name_of_cluster(), record, |_| 0)?;
    let mut cuts: BTreeMap<u32, Vec<ShardCut>> = BTreeMap::new();
    for name in archive.backups().await? {
        let read = archive.backup(&name).await;
        let Some(backup) = keep_backup(checker, &name, read)? else { continue };
        for cut in backup.shards {
            cuts.entry(cut.group).or_default().push(cut);
        }
    }
    let groups = checker.listed(archive.groups().await)?.unwrap_or_default();
    let groups: BTreeSet<u32> = groups.into_iter().chain(cuts.keys().copied()).collect();
    for group in groups {
        shard(checker, group, &cuts.remove(&group).unwrap_or_default()).await?;
    }
    Ok(())
}

/// All that there is of a shard, and what backups need of it.
async fn shard(checker: &mut Checker, group: u32, cuts: &[ShardCut]) -> Result<(), ArchiveError> {
    let archive = checker.archive.clone();
    let there: BTreeSet<String> = archive.bases(group).await?.into_iter().collect();
    let needed = cuts.iter().map(|cut| cut.base.clone());
    let mut bases = Vec::new();
    for id in there.iter().cloned().chain(needed).collect::<BTreeSet<_>>() {
        let before = checker.findings.len();
        let base = checker.base(group, &id).await?;
        // A broker removes what no backup needs any more, and may do so now.
        if checker.findings.len() > before
            && cuts.iter().all(|cut| cut.base != id)
            && is_gone(&archive, group, &id).await
        {
            checker.findings.truncate(before);
            continue;
        }
        bases.extend(base);
    }
    // Listed last: what was archived meanwhile is looked at as far as it is there.
    let Some(firsts) = checker.listed(archive.log_from(group, 0).await)? else { return Ok(()) };
    let gaps = Gaps::of(&bases);
    let oldest = bases.iter().min_by_key(|base| base.index);
    let begins = match (firsts.first(), oldest) {
        // What is behind it is read by whoever begins with it.
        (Some(first), Some(base)) if *first > base.index + 1 => Some(base.index + 1),
        (Some(_), None) if there.is_empty() => Some(0),
        _ => None,
    };
    let ended = checker.log(group, &firsts, begins, &gaps).await?;
    let with_base = |cut: &ShardCut| {
        let base = bases.iter().find(|base| base.id == cut.base && base.index < cut.upto)?;
        Some((cut.upto, base.index + 1))
    };
    let Some((upto, next)) = cuts.iter().filter_map(with_base).max() else { return Ok(()) };
    let ended = if firsts.is_empty() { Some(next) } else { ended };
    if let Some(ended) = ended.filter(|ended| *ended <= upto) {
        checker.hole(group, ended, upto + 1);
    }
    Ok(())
}

fn keep_backup(
    checker: &mut Checker,
    name: &str,
    read: Result<Backup, ArchiveError>,
) -> Result<Option<Backup>, ArchiveError> {
    let object = checker.archive.name_of_backup(name);
    let Some(backup) = checker.keep(&object, read, |_| 0)? else { return Ok(None) };
    if backup.shards.iter().all(|cut| cut.group != CATALOGUE) {
        let why = "it has no catalogue in it".to_owned();
        checker.findings.push(Finding { kind: Kind::Damaged, object, why });
    }
    Ok(Some(backup))
}

async fn is_gone(archive: &Archive, group: u32, id: &str) -> bool {
    match archive.base(group, id).await {
        Err(ArchiveError::Destination(error)) => error.trouble == Trouble::NotFound,
        _ => false,
    }
}

fn print(what: &str, checker: &Checker) -> Answer {
    let read = format!("{} objects, {:.1} MB", checker.objects, checker.bytes as f64 / 1e6);
    if checker.findings.is_empty() {
        return format!("{what} is whole: {read}, all as they were written\n").into();
    }
    let mut table = Table::new(["PROBLEM", "OBJECT", "WHY"]);
    for finding in &checker.findings {
        table.row([finding.kind.to_string(), finding.object.clone(), finding.why.clone()]);
    }
    let text = format!(
        "{table}\n{what} is not whole: {} in {read}\nput back what is damaged or missing from a copy of the archive; \
         or restore another backup, or leave this out by --allow-partial\n",
        match checker.findings.len() {
            1 => "1 problem".to_owned(),
            many => format!("{many} problems"),
        },
    );
    Answer { text, exit_code: 1 }
}
