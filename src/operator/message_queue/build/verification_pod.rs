//! The pod that restores a backup to see whether it can be: on a volume that goes with it, with bounded resources. It runs
//! beside the cluster, with the same Secrets, identity and volumes at hand; why not elsewhere is in
//! `docs/decisions/0017-a-backup-is-verified-beside-its-cluster.md`.

use std::collections::BTreeMap;

use ferrymq_admin_api::{ArchiveConfiguration, ArchiveDestination};
use ferrymq_api::{Backup, Cluster};
use k8s_openapi::{
    api::core::v1::{
        Container, EphemeralVolumeSource, PersistentVolumeClaimSpec, PersistentVolumeClaimTemplate, Pod, PodSpec,
        ResourceRequirements, Volume, VolumeResourceRequirements,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
};
use kube::{Resource as _, ResourceExt as _};

use super::{
    archives,
    pod::{container_security, mount, pod_security, pull_secrets},
};
use crate::names::{self, ARCHIVE};

/// How long a restore may take.
const LIMIT_SECONDS: i64 = 6 * 3600;
const SCRATCH_VOLUME: &str = "scratch";
const SCRATCH: &str = "/scratch";

/// The pod; none where the cluster is not archived.
pub(crate) fn verification_pod(
    cluster: &Cluster,
    backup: &Backup,
    image: &str,
    pull_policy: Option<&str>,
) -> Option<Pod> {
    let source = &cluster.backup.as_ref()?.source;
    let mut args: Vec<String> = ["ctl", "backup", "verify", &backup.name_any()].map(str::to_owned).into();
    args.extend(place(&archives::archive(cluster)?));
    args.extend(["--restore-in".to_owned(), format!("{SCRATCH}/restored")]);
    let mut volumes = archives::volumes_of(source, &ARCHIVE);
    volumes.push(scratch(cluster));
    let mut mounts = archives::mounts_of(source, &ARCHIVE, true);
    mounts.push(mount(SCRATCH_VOLUME, SCRATCH, false));
    let ours = &cluster.pods.template;
    let container = Container {
        name: "verify".to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: pull_policy.map(str::to_owned),
        command: Some(vec!["/ferrymq".to_owned()]),
        args: Some(args),
        resources: Some(resources()),
        security_context: Some(container_security()),
        // What it says last, the status says too.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    Some(Pod {
        metadata: ObjectMeta {
            name: Some(names::verification_pod(&backup.name_any())),
            namespace: Some(cluster.namespace.clone()),
            // None by which it could be taken for a broker.
            labels: Some(BTreeMap::from([
                ("app.kubernetes.io/name".to_owned(), "ferrymq-verification".to_owned()),
                ("app.kubernetes.io/instance".to_owned(), cluster.name.clone()),
                ("app.kubernetes.io/managed-by".to_owned(), "ferrymq-operator".to_owned()),
            ])),
            owner_references: backup.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            restart_policy: Some("Never".to_owned()),
            active_deadline_seconds: Some(LIMIT_SECONDS),
            service_account_name: Some(names::service_account(&cluster.name)),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(pod_security()),
            image_pull_secrets: pull_secrets(cluster),
            node_selector: Some(ours.node_selector.clone()).filter(|labels| !labels.is_empty()),
            tolerations: Some(ours.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
            containers: vec![container],
            volumes: Some(volumes),
            ..PodSpec::default()
        }),
        ..Pod::default()
    })
}

/// An archive, as it is typed.
fn place(archive: &ArchiveConfiguration) -> Vec<String> {
    let below = |prefix: &str| if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    let mut more = Vec::new();
    let place = match &archive.destination {
        ArchiveDestination::Directory { path } => path.display().to_string(),
        ArchiveDestination::S3 { bucket, prefix, endpoint, region } => {
            for (option, value) in [("--endpoint", endpoint), ("--region", region)] {
                more.extend(value.iter().flat_map(|value| [option.to_owned(), value.clone()]));
            }
            format!("s3://{bucket}{}", below(prefix))
        }
        ArchiveDestination::Gcs { bucket, prefix } => format!("gs://{bucket}{}", below(prefix)),
        ArchiveDestination::Azure { account, container, prefix } => {
            format!("azure://{account}/{container}{}", below(prefix))
        }
    };
    let mut typed = vec!["--archive".to_owned(), place, "--cluster".to_owned(), archive.folder.clone()];
    typed.extend(archive.secrets.iter().flat_map(|path| ["--secrets".to_owned(), path.display().to_string()]));
    typed.extend(more);
    typed
}

/// A volume for all that the brokers hold together, each message once.
fn scratch(cluster: &Cluster) -> Volume {
    let brokers = u64::from(cluster.replicas.max(1)).div_ceil(u64::from(cluster.mirrors.max(1)));
    let bytes = cluster.storage.bytes.saturating_mul(brokers);
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
        storage_class_name: cluster.storage.class.clone(),
        resources: Some(VolumeResourceRequirements {
            requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(bytes.to_string()))])),
            ..VolumeResourceRequirements::default()
        }),
        ..PersistentVolumeClaimSpec::default()
    };
    Volume {
        name: SCRATCH_VOLUME.to_owned(),
        ephemeral: Some(EphemeralVolumeSource {
            volume_claim_template: Some(PersistentVolumeClaimTemplate { metadata: None, spec }),
        }),
        ..Volume::default()
    }
}

fn resources() -> ResourceRequirements {
    let of = |cpu: &str, memory: &str| {
        let named = |name: &str, value: &str| (name.to_owned(), Quantity(value.to_owned()));
        Some(BTreeMap::from([named("cpu", cpu), named("memory", memory)]))
    };
    ResourceRequirements { requests: of("100m", "256Mi"), limits: of("1", "1Gi"), ..ResourceRequirements::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    fn backup() -> Backup {
        let resource = serde_json::json!({
            "apiVersion": "ferrymq.io/v1alpha1", "kind": "Backup",
            "metadata": {"name": "nightly", "namespace": "shop", "uid": "uid-of-nightly"}, "spec": {"cluster": "orders"},
        });
        serde_json::from_value(resource).unwrap()
    }

    fn spec(destination: &str) -> PodSpec {
        let spec = format!("{{replicas: 5, storage: {{size: 1Gi}}, backup: {{destination: {destination}}}}}");
        verification_pod(&cluster(&spec), &backup(), "ferrymq:1", None).unwrap().spec.unwrap()
    }

    #[test]
    fn the_backup_is_restored_from_where_the_cluster_is_archived() {
        let pod = spec("{s3: {bucket: b, prefix: p, endpoint: 'http://s', credentialsSecret: c}}");
        let args = pod.containers[0].args.clone().unwrap().join(" ");
        assert_eq!(
            args,
            "ctl backup verify nightly --archive s3://b/p --cluster shop/orders/uid-of-orders --secrets \
             /etc/ferrymq-archive --endpoint http://s --restore-in /scratch/restored"
        );
        assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
        let scratch = pod.volumes.unwrap().into_iter().find_map(|volume| volume.ephemeral).unwrap();
        let requests = scratch.volume_claim_template.unwrap().spec.resources.unwrap().requests.unwrap();
        assert_eq!(requests["storage"].0, (2_u64 << 30).to_string(), "three mirrors on five brokers");
    }

    #[test]
    fn a_volume_with_an_archive_is_only_read() {
        let pod = spec("{volumeClaim: {name: backups}}");
        let mounts = pod.containers[0].volume_mounts.clone().unwrap();
        let archive = mounts.iter().find(|mount| mount.name == ARCHIVE.volume).unwrap();
        assert_eq!(archive.read_only, Some(true));
        assert_eq!(verification_pod(&cluster("{storage: {size: 1Gi}}"), &backup(), "ferrymq:1", None), None);
    }
}
