//! A volume that all brokers mount is the archive of one cluster, and what another one begins with.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use crate::archives::{JOBS, all_archived, archived, back_up, begin, counts, published, restored};
use crate::command::{fed, try_kubectl};
use crate::faults;
use crate::store::STORED;
use crate::traffic::Traffic;
use crate::world::{READY, World};

const CLAIM: &str = "{volumeClaim: {name: archives}}";

/// A volume that is a directory of this machine, where all nodes are; and a claim to it. It goes with its story.
struct Volume {
    directory: TempDir,
    name: String,
}

impl Volume {
    fn new(world: &World) -> Self {
        let directory = TempDir::new().expect("a directory can be made");
        // Brokers are not root, and Kubernetes gives no group to a directory of a host.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).expect("it is ours");
        let (name, namespace) = (format!("archives-{}", world.namespace), &world.namespace);
        let common = "storageClassName: '', accessModes: [ReadWriteMany]";
        let volume = format!(
            "
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}}}
spec: {{{common}, capacity: {{storage: 1Gi}}, hostPath: {{path: {}}}, claimRef: {{name: archives, namespace: {namespace}}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: archives, namespace: {namespace}}}
spec: {{{common}, volumeName: {name}, resources: {{requests: {{storage: 1Gi}}}}}}
",
            directory.path().display()
        );
        fed(&["apply", "-f", "-"], &volume).expect("a volume is admitted");
        Self { directory, name }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = try_kubectl(&["delete", "persistentvolume", &self.name, "--wait=false", "--ignore-not-found"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_cluster_is_archived_in_a_volume_and_made_again_of_it() {
    if faults::left_out("an archive in a volume") {
        return;
    }
    let world = World::new("backup-volume").await;
    let volume = Volume::new(&world);
    begin(&world, &archived(3, CLAIM, "")).await;
    let mut traffic = Traffic::of(&world, &["work", "later"], &[]).await;
    traffic.consume("work", "orders-2");
    published(&mut traffic, "one", "orders-0", 300).await;
    let took = back_up(&world, "first");
    println!("measured: a backup in a volume: {:.1} s", took.as_secs_f64());
    published(&mut traffic, "two", "orders-1", 300).await;
    traffic.drained_from("work", READY).await;
    traffic.stop_consuming().await;
    all_archived(&world).await;
    let at_the_end = counts(&world).await;
    traffic.disturb(&["orders-0", "orders-1", "orders-2"]);
    world.kubectl(&["delete", "messagequeue/orders", "--timeout=120s"]);
    let archived = volume.directory.path().join(&world.namespace).join("orders");
    assert!(archived.is_dir(), "what is archived stays where it is when its cluster goes");

    // In its place, of its own archive: `cluster` says nothing else.
    world.apply(&restored("orders", 1, CLAIM, "encryptionSecret: archive"));
    let took = world.wait_ready("messagequeue/orders", STORED);
    println!("measured: restored from a volume, ready after {:.1} s", took.as_secs_f64());
    world.apply(JOBS);
    world.wait_ready("topic/jobs", READY);
    assert_eq!(counts(&world).await, at_the_end);
    traffic.find_brokers(&world).await;
    traffic.whole();
    traffic.consume("later", "orders-0");
    let report = traffic.settle().await;
    println!("measured: an archive in a volume: {report}");
}
