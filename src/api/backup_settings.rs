//! Where a cluster is archived, when backups are made, and what a new cluster begins with: what may be said of it, and the
//! checked forms.

use std::time::Duration;

use cronexpr::Crontab;
use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{Problem, Quantity, TimeSpan, sentence, upgrade};

/// Where a cluster is archived, and when backups of it are made. All that it confirms is archived within seconds, so that a
/// new cluster can begin with what there was at any second since the oldest backup that is kept.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupSettings {
    /// The store or volume.
    pub destination: BackupDestination,

    /// The Secret whose entry `encryption-key` (32 bytes or more, of any kind) all objects are encrypted with. Keep it: what
    /// is encrypted with a key that is lost is lost. Default: they are not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub encryption_secret: Option<String>,

    /// When a `Backup` is made, as in a crontab: minute, hour, day of the month, month, day of the week; in UTC. Default: by
    /// hand only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(r"self.matches('^\\s*(\\S+\\s+){4}\\S+\\s*$')").message(sentence::BACKUP_SCHEDULE))]
    pub schedule: Option<String>,

    /// Which backups are kept. The last one that was completed always is. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<BackupRetention>,

    /// When the last backup is restored to see whether it can be, as in a crontab, such as `0 4 * * 0` for Sundays at four;
    /// in UTC. A pod beside the cluster does it, and what it makes goes again. Default: when somebody asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(r"self.matches('^\\s*(\\S+\\s+){4}\\S+\\s*$')").message(sentence::BACKUP_SCHEDULE))]
    pub verify: Option<String>,

    /// The most that a broker gives to the archive a second, before it is compressed, such as `50Mi`. Default: as much as
    /// there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('64Ki')) >= 0").message(sentence::BACKUP_BANDWIDTH))]
    pub bandwidth: Option<Quantity>,
}

/// A store or volume: one of these.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.s3), has(self.gcs), has(self.azure), has(self.volumeClaim)].exists_one(it, it)").message(sentence::BACKUP_DESTINATION))]
pub struct BackupDestination {
    /// A bucket of Amazon S3, or of a store that speaks as it does and knows conditional writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Destination>,

    /// A bucket of Google Cloud Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcs: Option<GcsDestination>,

    /// A container of Azure Blob Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureDestination>,

    /// A volume that all brokers mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim: Option<VolumeClaimDestination>,
}

/// A bucket of S3.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Destination {
    /// Its name.
    #[schemars(length(min = 1, max = 255))]
    pub bucket: String,

    /// What the names of all objects begin with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub prefix: String,

    /// The URL of the store. Default: Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.startsWith('http://') || self.startsWith('https://')").message(sentence::BACKUP_ENDPOINT))]
    pub endpoint: Option<String>,

    /// Its region. Default: `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub region: Option<String>,

    /// The Secret with `access-key-id` and `secret-access-key`. Default: the identity that the brokers' pods have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub credentials_secret: Option<String>,

    /// The Secret whose entry `ca.crt` has the authorities, as PEM, that may have signed the certificate of the store. Default:
    /// the public ones, which are trusted in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub ca_secret: Option<String>,
}

/// A bucket of Google Cloud Storage.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GcsDestination {
    /// Its name.
    #[schemars(length(min = 1, max = 255))]
    pub bucket: String,

    /// What the names of all objects begin with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub prefix: String,

    /// The Secret with `service-account.json`. Default: the identity that the brokers' pods have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub credentials_secret: Option<String>,
}

/// A container of Azure Blob Storage.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureDestination {
    /// The storage account.
    #[schemars(length(min = 1, max = 255))]
    pub account: String,

    /// The container.
    #[schemars(length(min = 1, max = 255))]
    pub container: String,

    /// What the names of all objects begin with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub prefix: String,

    /// The Secret with `access-key`. Default: the identity that the brokers' pods have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub credentials_secret: Option<String>,
}

/// A volume.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaimDestination {
    /// Its claim, of the same namespace; it must be one that several machines may mount (`ReadWriteMany`) where there are
    /// several brokers.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Which backups are kept.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRetention {
    /// The last so many. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 1000").message(sentence::BACKUP_LAST))]
    pub last: Option<i32>,

    /// Those that are not older, such as `30d`. Default: of any age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<TimeSpan>,
}

/// What a new cluster begins with: what another one had. Messages, topics with their offsets, consumers' positions, users
/// and permissions; on as many brokers, and with as many mirrors, as this one is to have.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.backup) || !has(self.time)").message(sentence::RESTORE_TWICE))]
pub struct RestoreSettings {
    /// The store or volume that the other cluster was archived in.
    pub destination: BackupDestination,

    /// The Secret whose entry `encryption-key` its objects are encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub encryption_secret: Option<String>,

    /// Namespace and name of the other cluster, such as `shop/orders`. Where there were several of that name, the last one
    /// that has what is asked for. Default: those of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z]([-a-z0-9]*[a-z0-9])?(/[-a-z0-9]+)?$')").message(sentence::RESTORE_CLUSTER))]
    pub cluster: Option<String>,

    /// The backup, by the name of its `Backup`. Default: all that was archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub backup: Option<String>,

    /// As it was right before this time, such as `2026-11-28T14:03:20Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$')").message(sentence::RESTORE_TIME))]
    pub time: Option<String>,

    /// What is missing in the archive or damaged is left out, and listed in the status. Default: the cluster is not formed then.
    #[serde(default)]
    pub allow_partial: bool,
}

/// [`BackupSettings`], checked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BackupPlan {
    /// Where.
    pub source: ArchiveSource,
    /// When a backup is made.
    pub schedule: Option<Schedule>,
    /// When the last one is restored to see whether it can be.
    pub verify: Option<Schedule>,
    /// How many are kept at most.
    pub keep_last: Option<usize>,
    /// How old they become at most.
    pub keep_for: Option<Duration>,
    /// Most bytes a second.
    pub bandwidth: Option<u64>,
}

/// A store or volume, and what it takes to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSource {
    /// Where.
    pub destination: BackupDestination,
    /// The Secret with the key.
    pub encryption_secret: Option<String>,
}

impl ArchiveSource {
    /// The Secret with credentials for the destination.
    #[must_use]
    pub fn credentials_secret(&self) -> Option<&str> {
        let BackupDestination { s3, gcs, azure, .. } = &self.destination;
        let s3 = s3.as_ref().and_then(|s3| s3.credentials_secret.as_deref());
        let gcs = || gcs.as_ref().and_then(|gcs| gcs.credentials_secret.as_deref());
        s3.or_else(gcs).or_else(|| azure.as_ref().and_then(|azure| azure.credentials_secret.as_deref()))
    }

    /// The Secret with the authorities that the store's certificate is trusted by.
    #[must_use]
    pub fn ca_secret(&self) -> Option<&str> {
        self.destination.s3.as_ref()?.ca_secret.as_deref()
    }

    /// The claim of the volume.
    #[must_use]
    pub fn claim(&self) -> Option<&str> {
        self.destination.volume_claim.as_ref().map(|claim| claim.name.as_str())
    }
}

/// [`RestoreSettings`], checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestorePlan {
    /// Where.
    pub source: ArchiveSource,
    /// The folder of the other cluster, or one with several of that name.
    pub folder: String,
    /// The backup.
    pub backup: Option<String>,
    /// The time, in milliseconds since 1970.
    pub time: Option<u64>,
    /// What is missing is left out.
    pub allow_partial: bool,
}

/// Times at which something is done.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    times: Crontab,
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Schedule {
    fn check(field: &str, text: Option<&str>, problems: &mut Vec<Problem>) -> Option<Self> {
        let text = text?;
        match upgrade::crontab(text, "") {
            Ok(times) => Some(Self { text: text.to_owned(), times }),
            Err(why) => {
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                problems.push(Problem::new(field, format!("{}{why}", sentence::BACKUP_SCHEDULE)));
                None
            }
        }
    }

    /// The first time after this one.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        upgrade::next_time(&self.times, now)
    }
}

impl BackupPlan {
    pub(crate) fn check(spec: &BackupSettings, problems: &mut Vec<Problem>) -> Self {
        let source = check_source("spec.backup", &spec.destination, spec.encryption_secret.as_ref(), problems);
        let schedule = Schedule::check("spec.backup.schedule", spec.schedule.as_deref(), problems);
        let verify = Schedule::check("spec.backup.verify", spec.verify.as_deref(), problems);
        let retention = spec.retention.clone().unwrap_or_default();
        let keep_last = retention.last.and_then(|last| match usize::try_from(last) {
            Ok(last @ 1..=1000) => Some(last),
            _ => {
                problems.push(Problem::new("spec.backup.retention.last", sentence::BACKUP_LAST));
                None
            }
        });
        let keep_for = retention.max_age.and_then(|age| {
            let age = age.duration().map_err(|error| error.to_string());
            age.map_err(|error| problems.push(Problem::new("spec.backup.retention.maxAge", error))).ok()
        });
        let bandwidth = spec.bandwidth.as_ref().map(|bytes| {
            crate::cluster::check_size("spec.backup.bandwidth", bytes, 64 << 10, sentence::BACKUP_BANDWIDTH, problems)
        });
        Self { source, schedule, verify, keep_last, keep_for, bandwidth }
    }
}

impl RestorePlan {
    pub(crate) fn check(spec: &RestoreSettings, own: &str, problems: &mut Vec<Problem>) -> Self {
        let source = check_source("spec.restoreFrom", &spec.destination, spec.encryption_secret.as_ref(), problems);
        if spec.backup.is_some() && spec.time.is_some() {
            problems.push(Problem::new("spec.restoreFrom", sentence::RESTORE_TWICE));
        }
        let time = spec.time.as_ref().and_then(|text| {
            let time = text.parse::<Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
            if time.is_none() {
                problems.push(Problem::new("spec.restoreFrom.time", sentence::RESTORE_TIME));
            }
            time
        });
        let folder = spec.cluster.clone().unwrap_or_else(|| own.to_owned());
        if !matches!(folder.split('/').count(), 2 | 3) || folder.split('/').any(|part| !is_name(part)) {
            problems.push(Problem::new("spec.restoreFrom.cluster", sentence::RESTORE_CLUSTER));
        }
        Self { source, folder, backup: spec.backup.clone(), time, allow_partial: spec.allow_partial }
    }
}

fn is_name(part: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !part.is_empty() && part.bytes().all(fits)
}

fn check_source(
    field: &str,
    destination: &BackupDestination,
    encryption_secret: Option<&String>,
    problems: &mut Vec<Problem>,
) -> ArchiveSource {
    let BackupDestination { s3, gcs, azure, volume_claim } = destination;
    let given = [s3.is_some(), gcs.is_some(), azure.is_some(), volume_claim.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        problems.push(Problem::new(format!("{field}.destination"), sentence::BACKUP_DESTINATION));
    }
    let endpoint = s3.as_ref().and_then(|s3| s3.endpoint.as_ref());
    if endpoint.is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        problems.push(Problem::new(format!("{field}.destination.s3.endpoint"), sentence::BACKUP_ENDPOINT));
    }
    ArchiveSource { destination: destination.clone(), encryption_secret: encryption_secret.cloned() }
}
