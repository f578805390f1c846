//! `kubectl mq`, as a person types it: kubectl finds the plugin in the path.

use std::env;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use ferrymq_api::MessageQueue;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::Value;

use crate::command::settle;
use crate::world::{READY, TOPIC, World};

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn a_person_sees_a_cluster_empties_a_broker_and_sends_a_bundle_without_secrets() {
    let world = World::with_cluster("plugin").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    world.healthy().await;
    let plugin = Plugin::new(&world);

    let seen = plugin.run(&["status", "orders"]).expect("it is shown");
    println!("said:\n{seen}");
    assert!(seen.contains("3 of 3 brokers serve") && seen.contains("there is nothing to do"), "{seen}");
    assert!(!seen.contains('\x1b'), "no colours where no terminal is");
    let json: Value = serde_json::from_str(&plugin.run(&["status", "orders", "-o", "json"]).expect("it is shown"))
        .expect("it is JSON");
    assert_eq!((json["next"]["who"].as_str(), json["brokers"].as_array().map(Vec::len)), (Some("nobody"), Some(3)));
    assert!(plugin.run(&["topics", "orders"]).expect("they are shown").contains("work"));
    let unknown = plugin.run(&["status", "nothing"]).expect_err("there is none");
    assert!(unknown.contains("there is no MessageQueue nothing"), "{unknown}");

    // The operator would undo it: so it is said, and how it goes none the less.
    let refused = plugin.run(&["drain", "orders-2"]).expect_err("the cluster is not paused");
    assert!(refused.contains("spec.replicas asks for it"), "{refused}");

    // More brokers, and it is seen how they come.
    world.kubectl(&["scale", "mq/orders", "--replicas=4"]);
    let followed = plugin.run(&["follow", "orders"]).expect("it ends well");
    println!("said:\n{followed}");
    assert!(followed.contains("there is nothing to do"), "{followed}");
    assert_eq!(world.pods().await.len(), 4);

    paused(&world, true);
    let drained = plugin.run(&["drain", "orders-3"]).expect("it is emptied");
    println!("said:\n{drained}");
    assert!(drained.contains("shards to go") && drained.contains("orders-3 holds nothing"), "{drained}");
    plugin.run(&["undrain", "orders-3"]).expect("it has its share again");
    paused(&world, false);
    world.condition::<MessageQueue>("orders", "Ready", ("True", "AllServing"), READY).await;

    bundle(&world, &plugin).await;
}

/// What docs/troubleshooting.md tells people to type.
#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn what_the_plugin_does_not_show_other_commands_do() {
    let world = World::with_cluster("looked-at").await;
    world.apply(TOPIC);
    world.wait_ready("topic/jobs", READY);
    world.healthy().await;
    let plugin = Plugin::new(&world);
    assert!(world.kubectl(&["events", "--for", "messagequeue/orders"]).contains("ClusterFormed"));
    assert!(world.kubectl(&["events", "--for", "topic/jobs"]).contains("TopicDeclared"));
    assert!(world.kubectl(&["describe", "messagequeue/orders"]).contains("NothingInTheWay"));
    for (command, there) in [("cluster", "catalogue"), ("node", "Serving"), ("safe-to-stop", "yes"), ("topics", "jobs")]
    {
        let said = world.kubectl(&["exec", "orders-0", "--", "/ferrymq", "ctl", command]);
        assert!(said.contains(there), "ctl {command}: {said}");
    }
    let reasons = "jsonpath={range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{\"\\n\"}{end}";
    assert!(world.kubectl(&["get", "mq", "orders", "-o", reasons]).contains("Ready=True AllServing"));
    assert!(world.kubectl(&["get", "mq", "orders", "-o", "jsonpath={.status.formation.mirrors}"]).contains('3'));
    assert!(plugin.run(&["follow", "orders"]).expect("there is nothing to do").contains("there is nothing to do"));
}

fn paused(world: &World, paused: bool) {
    world.kubectl(&["patch", "mq/orders", "--type=merge", "-p", &format!(r#"{{"spec":{{"paused":{paused}}}}}"#)]);
}

/// A bundle has what helps, and nothing that the cluster's Secrets hold.
async fn bundle(world: &World, plugin: &Plugin) {
    let file = plugin.folder.path().join("bundle.tar.gz");
    let said = plugin.run(&["support-bundle", "orders", "--file", &file.to_string_lossy()]).expect("it is written");
    println!("said: {said}");
    let unpacked = Command::new("tar").args(["-xzOf"]).arg(&file).output().expect("tar is in the path");
    let text = settle(unpacked).expect("it is an archive");
    for there in ["What there is of the cluster orders", "ferrymq.io/v1alpha1", "catalogueLeader", "orders-0"] {
        assert!(text.contains(there), "{there} is in it");
    }
    assert!(!text.contains("missing:"), "nothing is missing");
    let selected = ListParams::default().labels("ferrymq.io/cluster=orders");
    let secrets = world.api::<Secret>().list(&selected).await.expect("Secrets can be listed").items;
    let mut looked = 0;
    for secret in secrets {
        let name = secret.name_any();
        for (key, value) in secret.data.unwrap_or_default() {
            if matches!(key.as_str(), "password" | "token" | "uri") {
                let value = String::from_utf8(value.0).expect("it is text");
                assert!(!text.contains(&value), "{key} of {name} is in the bundle");
                looked += 1;
            }
        }
    }
    assert_eq!(looked, 3);
}

/// The plugin, where kubectl finds it.
struct Plugin {
    folder: tempfile::TempDir,
    namespace: String,
}

impl Plugin {
    fn new(world: &World) -> Self {
        let binary = PathBuf::from(env::var_os("FERRYMQ_BIN").expect("FERRYMQ_BIN names the binary"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        symlink(&binary, folder.path().join("kubectl-mq")).expect("a link can be made");
        Self { folder, namespace: world.namespace.clone() }
    }

    /// `kubectl mq …` in the story's namespace: what it prints where it succeeds, else what it complains of.
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.folder.path().to_owned()).chain(env::split_paths(&path));
        let path = env::join_paths(folders.filter(|folder| folder != Path::new(""))).expect("a path of folders");
        let mut kubectl = Command::new("kubectl");
        kubectl.arg("mq").args(arguments).args(["--namespace", &self.namespace]).env("PATH", path);
        settle(kubectl.output().expect("kubectl is in the path"))
    }
}
