//! Which archive is meant: what was typed, as a broker's configuration says it.

use std::path::PathBuf;

use ferrymq_admin_api::{ArchiveConfiguration, ArchiveDestination};

use super::{ArchiveArguments, BackupError};

/// What was typed, with the folder of the cluster as it was typed; all of the archive where none was.
///
/// # Errors
///
/// [`BackupError`]: what was typed makes no sense. Nothing is asked of the archive.
pub(in crate::ctl) fn configuration(arguments: &ArchiveArguments) -> Result<ArchiveConfiguration, BackupError> {
    let destination = destination(arguments)?;
    if let Some(path) = arguments.secrets.as_ref().filter(|path| !path.is_dir()) {
        return Err(BackupError::Secrets { path: path.clone() });
    }
    Ok(ArchiveConfiguration {
        destination,
        folder: arguments.cluster.as_deref().unwrap_or_default().trim_matches('/').to_owned(),
        secrets: arguments.secrets.clone(),
        encrypted: false,
        most_held_bytes: None,
        most_bytes_a_second: None,
    })
}

fn destination(arguments: &ArchiveArguments) -> Result<ArchiveDestination, BackupError> {
    let given = &arguments.archive;
    let wrong = |reason| BackupError::Place { given: given.clone(), reason };
    let (endpoint, region) = (arguments.endpoint.clone(), arguments.region.clone());
    let split = given.split_once("://");
    if !matches!(split, Some(("s3", _))) {
        let option = [("endpoint", &endpoint), ("region", &region)].into_iter().find(|(_, value)| value.is_some());
        if let Some((option, _)) = option {
            return Err(BackupError::NotS3 { option, given: given.clone() });
        }
    }
    let Some((scheme, rest)) = split else {
        return match given.is_empty() {
            true => Err(wrong("it is empty")),
            false => Ok(ArchiveDestination::Directory { path: PathBuf::from(given) }),
        };
    };
    let named = |text: &str, reason| if text.is_empty() { Err(wrong(reason)) } else { Ok(text.to_owned()) };
    let (first, behind) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = |text: &str| text.trim_matches('/').to_owned();
    match scheme {
        "s3" => {
            let bucket = named(first, "it names no bucket")?;
            Ok(ArchiveDestination::S3 { bucket, prefix: prefix(behind), endpoint, region })
        }
        "gs" => Ok(ArchiveDestination::Gcs { bucket: named(first, "it names no bucket")?, prefix: prefix(behind) }),
        "azure" => {
            let (container, behind) = behind.split_once('/').unwrap_or((behind, ""));
            Ok(ArchiveDestination::Azure {
                account: named(first, "it names no account")?,
                container: named(container, "it names no container")?,
                prefix: prefix(behind),
            })
        }
        _ => Err(wrong("nothing is known of such an address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(archive: &str) -> ArchiveArguments {
        ArchiveArguments { archive: archive.to_owned(), endpoint: None, region: None, secrets: None, cluster: None }
    }

    fn place(archive: &str) -> ArchiveDestination {
        configuration(&typed(archive)).unwrap().destination
    }

    #[test]
    fn each_kind_of_place_is_known_by_how_it_begins() {
        assert_eq!(place("backups"), ArchiveDestination::Directory { path: "backups".into() });
        let (bucket, prefix) = ("b".to_owned(), "shop/orders".to_owned());
        let s3 =
            ArchiveDestination::S3 { bucket: bucket.clone(), prefix: prefix.clone(), endpoint: None, region: None };
        assert_eq!(place("s3://b/shop/orders/"), s3);
        assert_eq!(place("gs://b"), ArchiveDestination::Gcs { bucket, prefix: String::new() });
        let (account, container) = ("a".to_owned(), "c".to_owned());
        assert_eq!(place("azure://a/c/shop/orders"), ArchiveDestination::Azure { account, container, prefix });
    }

    #[test]
    fn what_is_no_place_is_said() {
        for (given, told) in [
            ("", "it is empty"),
            ("s3://", "it names no bucket"),
            ("gs:///shop", "it names no bucket"),
            ("azure://a", "it names no container"),
            ("ftp://a/b", "nothing is known of such an address"),
        ] {
            let error = configuration(&typed(given)).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let with_region = ArchiveArguments { region: Some("eu-central-1".to_owned()), ..typed("gs://b") };
        let error = configuration(&with_region).unwrap_err().to_string();
        assert_eq!(error, "--region goes with s3:// only, and --archive is gs://b; leave it out");
        let without = ArchiveArguments { secrets: Some("/nowhere/at/all".into()), ..typed("backups") };
        assert!(matches!(configuration(&without), Err(BackupError::Secrets { .. })));
    }
}
