//! `ferrymq ctl backup list`: clusters, their backups, and to which moments they can be restored.

use ferrymq_archive::{Archive, Backup};

use super::{
    BackupError,
    clusters::{self, ArchivedCluster},
    findings::Finding,
    reach::{self, Reach},
    times,
};
use crate::{ctl::Answer, table::Table};

pub(super) async fn run(archive: &Archive) -> Result<Answer, BackupError> {
    let found = clusters::all(archive).await?;
    if found.is_empty() {
        return Err(clusters::nothing(archive).await?);
    }
    let (mut texts, mut exit_code) = (Vec::new(), 0);
    for (number, cluster) in found.iter().enumerate() {
        let older = number > 0 && found.get(number - 1).is_some_and(|before| before.name() == cluster.name());
        let (text, whole) = of_cluster(cluster, older).await?;
        texts.push(text);
        if !whole {
            exit_code = 1;
        }
    }
    Ok(Answer { text: texts.join("\n"), exit_code })
}

/// What there is of a cluster, and whether all of that could be read.
async fn of_cluster(cluster: &ArchivedCluster, older: bool) -> Result<(String, bool), BackupError> {
    let archive = &cluster.archive;
    let mut problems: Vec<String> = cluster.record.as_ref().err().cloned().into_iter().collect();
    let mut backups = Vec::new();
    for name in archive.backups().await? {
        match archive.backup(&name).await {
            Ok(backup) => backups.push(backup),
            Err(error) => problems.push(Finding::of(&archive.name_of_backup(&name), error)?.to_string()),
        }
    }
    backups.sort_by_key(|backup| backup.began_at);
    let reach = match reach::of_cluster(archive).await {
        Ok(reach) => Some(reach),
        Err(error) => {
            problems.push(Finding::of("", error)?.to_string());
            None
        }
    };
    let mut text = format!("cluster {}", archive.cluster());
    if let Ok(record) = &cluster.record {
        text.push_str(&format!(", archived since {}", times::shown(Some(record.began_at))));
    }
    if older {
        text.push_str("; one of this name above is newer");
    }
    text.push_str(&format!("\n\n{}\n", table(&backups)));
    text.push_str(&reach.as_ref().map_or_else(String::new, moments));
    for problem in &problems {
        text.push_str(&format!("! {problem}\n"));
    }
    Ok((text, problems.is_empty()))
}

fn table(backups: &[Backup]) -> String {
    if backups.is_empty() {
        return "no backups\n".to_owned();
    }
    let mut table = Table::new(["BACKUP", "BEGAN", "ENDED", "SHARDS", "BYTES"]);
    for backup in backups {
        table.row([
            backup.name.clone(),
            times::shown(Some(backup.began_at)),
            times::shown(Some(backup.ended_at)),
            backup.shards.len().to_string(),
            backup.bytes.to_string(),
        ]);
    }
    table.to_string()
}

/// To which moments it can be restored, a sentence a line.
fn moments(reach: &Reach) -> String {
    let mut text = match (reach.never.first(), reach.last) {
        (Some(shard), _) => {
            return format!(
                "to no moment: shard {shard} has neither the beginning of its log nor a base that serves\n"
            );
        }
        (None, None) => return "to no moment: there is no entry of a log\n".to_owned(),
        (None, last) => {
            let moments = match reach.after {
                Some(after) => format!("after {}", times::shown(Some(after))),
                None => "since it was made".to_owned(),
            };
            format!("to any moment {moments} (--time); the last entry is of {}\n", times::shown(last))
        }
    };
    for gap in &reach.gaps {
        let from = gap.from.map_or_else(|| "the beginning".to_owned(), |from| times::shown(Some(from)));
        let to = times::shown(Some(gap.to));
        text.push_str(&format!(
            "but to none between {from} and {to}: the log of shard {} has a gap there\n",
            gap.shard
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::reach::TimeGap, *};

    #[test]
    fn what_can_be_restored_is_said_with_its_gaps() {
        let gap = TimeGap { shard: 3, from: Some(1_700_000_001_000), to: 1_700_000_002_000 };
        let reach = Reach {
            after: Some(1_700_000_000_000),
            last: Some(1_700_000_009_000),
            gaps: vec![gap],
            ..Reach::default()
        };
        assert_eq!(
            moments(&reach),
            "to any moment after 2023-11-14T22:13:20Z (--time); the last entry is of 2023-11-14T22:13:29Z\n\
             but to none between 2023-11-14T22:13:21Z and 2023-11-14T22:13:22Z: the log of shard 3 has a gap there\n"
        );
        let never = Reach { never: vec![3], ..reach };
        assert!(moments(&never).starts_with("to no moment: shard 3 has neither"));
    }
}
