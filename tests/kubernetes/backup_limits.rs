//! What cannot be archived or restored: it is refused with a sentence that helps, and nothing is changed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crc_fast::CrcAlgorithm;
use ferrymq_api::{Backup, MessageQueue};

use crate::archives::{all_archived, archived, back_up, backup, begin, published, restored};
use crate::store::{STORED, Store, destination, free_address};
use crate::traffic::Traffic;
use crate::world::{READY, World};

/// How soon it is said that nothing can be archived, once a cluster is there.
const SOON: Duration = Duration::from_secs(45);

/// Secrets with another key for encryption, and with nothing but what lets one in.
const SECRETS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: other}
stringData: {encryption-key: thirty-two bytes that are not the ones}
---
apiVersion: v1
kind: Secret
metadata: {name: keyless}
stringData: {access-key-id: stories, secret-access-key: stories-secret}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn what_cannot_be_restored_is_refused_with_its_name_and_nothing_is_changed() {
    let world = World::new("backup-limits").await;
    let store = Store::start(&world);
    begin(&world, &archived(1, &store.destination(), "")).await;
    let mut traffic = Traffic::of(&world, &["later"], &[]).await;
    published(&mut traffic, "one", "orders-0", 300).await;
    for name in ["whole", "newer"] {
        back_up(&world, name);
    }
    let earlier = store.objects_of(&world.namespace);
    published(&mut traffic, "two", "orders-0", 300).await;
    back_up(&world, "half");
    all_archived(&world).await;
    let objects = store.objects_of(&world.namespace);

    let (newer, file) = one(&objects, |name| name.ends_with("/backups/newer"));
    make_newer(&newer, &file);
    let is_before = |name: &str| earlier.iter().any(|(known, _)| known == name);
    let is_of_catalogue = |name: &str| name.contains("/shards/0000000000/");
    let (missing, file) = one(&objects, |name| name.contains("/base/") && !is_of_catalogue(name) && !is_before(name));
    std::fs::remove_file(&file).expect("it can be removed");
    let before = contents(&store, &world);

    world.apply(SECRETS);
    let of = format!("cluster: {}/orders", world.namespace);
    let key = "encryptionSecret: archive";
    let folder = format!("{}/another", world.namespace);
    let asked = [
        ("no-such-backup", format!("{key}, {of}, backup: nothing"), vec!["backups/nothing", "there is no such object"]),
        ("no-such-folder", format!("{key}, cluster: {folder}"), vec!["there is no archive of a cluster in", &folder]),
        ("other-key", format!("encryptionSecret: other, {of}"), vec!["is encrypted with another key than"]),
        ("no-key", of.clone(), vec!["is encrypted, and no key was given"]),
        (
            "newer",
            format!("{key}, {of}, backup: newer"),
            vec![&newer, "it is of version 2", "read it with a newer one"],
        ),
        ("half", format!("{key}, {of}, backup: half"), vec![&missing, "there is no such object"]),
    ];
    for (name, from, _) in &asked {
        let cluster = restored(name, 1, &store.destination(), from);
        let keyless = cluster.replace("credentialsSecret: archive", "credentialsSecret: keyless");
        world.apply(if *name == "no-key" { &keyless } else { &cluster });
    }
    let partial = format!("{key}, {of}, backup: half, allowPartial: true");
    world.apply(&restored("partial", 1, &store.destination(), &partial));
    for (name, _, says) in &asked {
        let why = world.condition::<MessageQueue>(name, "Ready", ("False", "RestoreRefused"), STORED).await;
        println!("said: {name}: {why}");
        for part in says {
            assert!(why.contains(part), "{why}\nsays nothing of: {part}");
        }
    }
    world.wait_ready("messagequeue/partial", STORED);
    let status = world.api::<MessageQueue>().get("partial").await.expect("it is there").status;
    let left_out = status.and_then(|status| status.restored).expect("it says what it was made of").missing;
    println!("said: partial: {left_out:?}");
    assert!(left_out.iter().any(|what| what.contains(&missing)), "{left_out:?}");
    assert_eq!(contents(&store, &world), before, "nothing in the archive was changed");

    let late =
        archived(1, &store.destination(), "") + &format!("  restoreFrom: {{destination: {}}}\n", store.destination());
    let why = world.refused(&late);
    assert!(why.contains("restoreFrom can only be said when the MessageQueue is made"), "{why}");

    // The resource goes, and what is in the archive stays; another of that name would be taken for it.
    world.kubectl(&["delete", "backup/whole", "--timeout=60s"]);
    world.apply(&backup("whole"));
    let why = world.condition::<Backup>("whole", "Stalled", ("True", "BackupNameTaken"), READY).await;
    assert!(why.contains("whole") && why.contains("another name"), "{why}");
    traffic.consume("later", "orders-0");
    let report = traffic.settle().await;
    println!("measured: refused restores: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn what_cannot_be_archived_is_told_at_once_and_the_cluster_serves() {
    let world = World::new("backup-bad").await;
    let store = Store::start(&world);
    let good = |more: &str| archived(1, &store.destination(), more);
    let why = world.refused(&good(", schedule: every night"));
    assert!(why.contains("crontab of five fields"), "{why}");
    let why = world.refused(&good(", retention: {last: 0}"));
    assert!(why.contains("retention.last"), "{why}");
    let why = world.refused(&archived(1, "{}", ""));
    assert!(why.contains("a destination is one of"), "{why}");

    let nobody = destination(free_address(&world), "backups");
    let secret = crate::store::SECRET;
    let wrong = secret.replace("name: archive", "name: wrong").replace("stories-secret", "another");
    world.apply(&format!("{secret}---{wrong}"));
    let since = Instant::now();
    let named = |cluster: String, name: &str| cluster.replace("name: orders", &format!("name: {name}"));
    world.apply(&named(good(", schedule: '61 2 * * *'"), "no-time"));
    world.apply(&named(archived(1, &nobody, ""), "nobody"));
    world.apply(&named(archived(1, &destination(store.address(), "nowhere"), ""), "no-bucket"));
    world.apply(&named(archived(1, &store.destination().replace("archive", "wrong"), ""), "not-let-in"));
    world.apply(&named(good("").replace("encryptionSecret: archive", "encryptionSecret: none"), "no-key"));

    let why = world.condition::<MessageQueue>("no-time", "Stalled", ("True", "Invalid"), SOON).await;
    println!("said: no-time: {why}");
    assert!(why.contains("spec.backup.schedule"), "{why}");
    for (name, says) in [
        ("nobody", "cannot write"),
        ("no-bucket", "nowhere"),
        ("not-let-in", "SignatureDoesNotMatch"),
        ("no-key", "encryption-key"),
    ] {
        let unreachable = ("False", "ArchiveUnreachable");
        let why = world.condition::<MessageQueue>(name, "ContinuousArchiving", unreachable, SOON).await;
        println!("said: {name}: {why}");
        println!("measured: {name}: told {:.1} s after it was made", since.elapsed().as_secs_f64());
        assert!(why.contains(says) && !why.contains("another"), "{why}");
        world.wait_ready(&format!("messagequeue/{name}"), READY);
    }
    assert!(store.objects_of(&world.namespace).is_empty(), "nothing was written");
}

/// The last of the objects that are such.
fn one(objects: &[(String, PathBuf)], is_such: impl Fn(&str) -> bool) -> (String, PathBuf) {
    objects.iter().rfind(|(name, _)| is_such(name)).cloned().expect("there is one")
}

/// All that is in the archive.
fn contents(store: &Store, world: &World) -> Vec<(String, Vec<u8>)> {
    let read = |(name, file): (String, PathBuf)| (name, std::fs::read(file).expect("an object can be read"));
    store.objects_of(&world.namespace).into_iter().map(read).collect()
}

/// Makes of an object one of a later version, whole: its checksum is over length and bytes of its name, head and body.
fn make_newer(name: &str, file: &Path) {
    let mut object = std::fs::read(file).expect("the object is there");
    object[8] = 2;
    object.truncate(object.len() - size_of::<u64>());
    let length = u32::try_from(name.len()).expect("names are short").to_le_bytes();
    let checked = [&length[..], name.as_bytes(), &object].concat();
    object.extend(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &checked).to_le_bytes());
    std::fs::write(file, object).expect("it can be written");
}
