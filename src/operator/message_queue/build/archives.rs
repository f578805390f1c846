//! Where brokers archive, and what a new cluster begins with: their configuration, and what they mount for it.

use ferrymq_admin_api::{ArchiveConfiguration, ArchiveDestination};
use ferrymq_api::{ArchiveSource, Cluster};
use k8s_openapi::api::core::v1::{
    KeyToPath, PersistentVolumeClaimVolumeSource, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount,
    VolumeProjection,
};
use serde_json::{Value, json};

use super::pod::mount;
use crate::names::{ARCHIVE, Archived, RESTORE};

/// The entry of a Secret that objects are encrypted with.
const ENCRYPTION_KEY: &str = "encryption-key";

/// The entry of a Secret with authorities that a store's certificate is trusted by.
const AUTHORITIES: &str = "ca.crt";

/// The entries of a Secret that let one in.
fn credentials(source: &ArchiveSource) -> &'static [&'static str] {
    let destination = &source.destination;
    if destination.s3.is_some() {
        &["access-key-id", "secret-access-key"]
    } else if destination.gcs.is_some() {
        &["service-account.json"]
    } else if destination.azure.is_some() {
        &["access-key"]
    } else {
        &[]
    }
}

/// Where the cluster is archived.
pub(super) fn archive(cluster: &Cluster) -> Option<ArchiveConfiguration> {
    let backup = cluster.backup.as_ref()?;
    let configuration = configuration(&backup.source, cluster.archive_folder(), &ARCHIVE)?;
    Some(ArchiveConfiguration { most_bytes_a_second: backup.bandwidth, ..configuration })
}

/// The archive that the cluster begins with.
pub(super) fn restore_from(cluster: &Cluster) -> Option<ArchiveConfiguration> {
    let restore = cluster.restore.as_ref()?;
    configuration(&restore.source, restore.folder.clone(), &RESTORE)
}

fn configuration(source: &ArchiveSource, folder: String, at: &Archived) -> Option<ArchiveConfiguration> {
    let destination = &source.destination;
    let destination = if let Some(s3) = &destination.s3 {
        ArchiveDestination::S3 {
            bucket: s3.bucket.clone(),
            prefix: s3.prefix.clone(),
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
        }
    } else if let Some(gcs) = &destination.gcs {
        ArchiveDestination::Gcs { bucket: gcs.bucket.clone(), prefix: gcs.prefix.clone() }
    } else if let Some(azure) = &destination.azure {
        let (account, container) = (azure.account.clone(), azure.container.clone());
        ArchiveDestination::Azure { account, container, prefix: azure.prefix.clone() }
    } else {
        destination.volume_claim.as_ref()?;
        ArchiveDestination::Directory { path: at.directory.into() }
    };
    Some(ArchiveConfiguration {
        destination,
        folder,
        secrets: Some(at.secrets.into()),
        encrypted: source.encryption_secret.is_some(),
        most_held_bytes: None,
        most_bytes_a_second: None,
    })
}

fn sources(cluster: &Cluster) -> impl Iterator<Item = (&ArchiveSource, &'static Archived)> {
    let archive = cluster.backup.as_ref().map(|backup| (&backup.source, &ARCHIVE));
    let restore = cluster.restore.as_ref().map(|restore| (&restore.source, &RESTORE));
    archive.into_iter().chain(restore)
}

pub(super) fn volumes(cluster: &Cluster) -> Vec<Volume> {
    sources(cluster).flat_map(|(source, at)| volumes_of(source, at)).collect()
}

/// What it takes to reach an archive.
pub(super) fn volumes_of(source: &ArchiveSource, at: &Archived) -> Vec<Volume> {
    let secrets = source.credentials_secret().map(|name| (name, credentials(source))).into_iter();
    let secrets = secrets.chain(source.ca_secret().map(|name| (name, &[AUTHORITIES][..])));
    let secrets = secrets.chain(source.encryption_secret.as_deref().map(|name| (name, &[ENCRYPTION_KEY][..])));
    // Whatever else is in a Secret is not for here: one may have what the other is named for.
    let item = |key: &&str| KeyToPath { key: (*key).to_owned(), path: (*key).to_owned(), mode: None };
    let projected = secrets.map(|(name, entries)| VolumeProjection {
        secret: Some(SecretProjection {
            name: name.to_owned(),
            items: Some(entries.iter().map(item).collect()),
            // A broker starts without, and says what is missing: what it holds is worth more than its archive.
            optional: Some(true),
        }),
        ..VolumeProjection::default()
    });
    let mut volumes = vec![Volume {
        name: at.secrets_volume.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(projected.collect()),
            // Readable by the group that the volume is given to, and by nobody else.
            default_mode: Some(0o440),
        }),
        ..Volume::default()
    }];
    volumes.extend(source.claim().map(|claim| Volume {
        name: at.volume.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only: None,
        }),
        ..Volume::default()
    }));
    volumes
}

pub(super) fn mounts(cluster: &Cluster) -> Vec<VolumeMount> {
    sources(cluster).flat_map(|(source, at)| mounts_of(source, at, false)).collect()
}

/// Where that is in a pod which writes to the archive, or only reads.
pub(super) fn mounts_of(source: &ArchiveSource, at: &Archived, read_only: bool) -> Vec<VolumeMount> {
    let mut mounts = vec![mount(at.secrets_volume, at.secrets, true)];
    mounts.extend(source.claim().map(|_| mount(at.volume, at.directory, read_only)));
    mounts
}

/// What of it brokers are started anew for; nothing where there is none of it.
pub(super) fn input(cluster: &Cluster) -> Option<Value> {
    let (archive, restore) = (archive(cluster), restore_from(cluster));
    if archive.is_none() && restore.is_none() {
        return None;
    }
    let mounted: Vec<Value> = sources(cluster)
        .map(|(source, _)| {
            json!([source.credentials_secret(), source.encryption_secret, source.claim(), source.ca_secret()])
        })
        .collect();
    Some(json!([archive, restore, mounted]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::cluster;

    const S3: &str = "{storage: {size: 1Gi}, backup: {bandwidth: 1Mi, encryptionSecret: key, destination: {s3: {bucket: b, endpoint: 'http://s', credentialsSecret: c, caSecret: ca}}}}";

    #[test]
    fn brokers_find_their_archive_and_what_it_takes() {
        let configuration = archive(&cluster(S3)).unwrap();
        assert_eq!(configuration.folder, "shop/orders/uid-of-orders");
        assert_eq!(configuration.most_bytes_a_second, Some(1 << 20));
        assert!(configuration.encrypted);
        let volumes = volumes(&cluster(S3));
        let sources = volumes[0].projected.as_ref().and_then(|projected| projected.sources.clone()).unwrap();
        let secrets = sources.into_iter().filter_map(|source| source.secret);
        let named = |secret: SecretProjection| {
            (secret.name, secret.items.into_iter().flatten().map(|item| item.key).collect::<Vec<_>>())
        };
        let secrets: Vec<_> = secrets.map(named).collect();
        let entries = |of: &str, entries: &[&str]| (of.to_owned(), entries.iter().map(|&it| it.to_owned()).collect());
        let wanted = [
            entries("c", &["access-key-id", "secret-access-key"]),
            entries("ca", &["ca.crt"]),
            entries("key", &["encryption-key"]),
        ];
        assert_eq!(secrets, wanted);
        assert_eq!(mounts(&cluster(S3)).len(), 1);
        assert_eq!(input(&cluster("{storage: {size: 1Gi}}")), None);
    }

    #[test]
    fn a_claim_is_mounted_for_both() {
        let spec = "{storage: {size: 1Gi}, backup: {destination: {volumeClaim: {name: a}}}, restoreFrom: {destination: {volumeClaim: {name: b}}, cluster: shop/old}}";
        let cluster = cluster(spec);
        assert_eq!(mounts(&cluster).len(), 4);
        let claims: Vec<String> = volumes(&cluster)
            .into_iter()
            .filter_map(|volume| Some(volume.persistent_volume_claim?.claim_name))
            .collect();
        assert_eq!(claims, ["a", "b"]);
        assert_eq!(restore_from(&cluster).unwrap().folder, "shop/old");
    }
}
