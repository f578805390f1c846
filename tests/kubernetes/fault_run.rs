//! One fault after another, as a seed says, while clients are at work.

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ferrymq_testkit::Chance;
use kube::ResourceExt as _;

use crate::faults;
use crate::traffic::Traffic;
use crate::world::{PODS, READY, World};

/// A topic with two queues that get everything: one consumer keeps the order, or several share the work.
const QUEUES: &str = "
apiVersion: ferrymq.io/v1alpha1
kind: Topic
metadata: {name: jobs}
spec:
  cluster: orders
  queues: [{name: ledger}, {name: work}]
";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillProcess,
    KillAll,
    Restart,
    DeletePod,
    Cut,
    Pause,
    FillOne,
    FillAll,
    LoseVolume,
}

/// The first of them more often than those that take their time.
const FAULTS: [Fault; 13] = [
    Fault::KillProcess,
    Fault::KillProcess,
    Fault::KillAll,
    Fault::Restart,
    Fault::Restart,
    Fault::DeletePod,
    Fault::Cut,
    Fault::Cut,
    Fault::Pause,
    Fault::Pause,
    Fault::FillOne,
    Fault::FillAll,
    Fault::LoseVolume,
];

#[tokio::test]
#[ignore = "needs a Kubernetes: cargo xtask test kubernetes"]
async fn faults_for_minutes_lose_no_confirmed_message() {
    if faults::left_out("fault run") {
        return;
    }
    let lasts = Duration::from_secs(60 * asked("FERRYMQ_FAULT_MINUTES").unwrap_or(2));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = asked("FERRYMQ_FAULT_SEED").unwrap_or(now);
    println!("fault run: FERRYMQ_FAULT_SEED={seed}, {} minutes", lasts.as_secs() / 60);
    let mut chance = Chance::new(seed);

    let world = World::with_sized_volumes("fault-run").await;
    world.apply(QUEUES);
    world.wait_ready("topic/jobs", READY);
    let mut traffic = Traffic::of(&world, &["ledger"], &["work"]).await;
    for pod in PODS {
        traffic.publish(pod, "jobs", pod);
        traffic.consume("work", pod);
    }
    traffic.consume("ledger", "orders-1");
    traffic.flowing(100, READY).await;

    let began = Instant::now();
    // How often each, and the longest pause that it brought.
    let mut thrown: BTreeMap<Fault, (u32, Duration)> = BTreeMap::new();
    while began.elapsed() < lasts {
        let (Some(fault), Some(pod)) = (chance.pick(&FAULTS), chance.pick(&PODS)) else { break };
        let since = Instant::now();
        let for_long = chance.millis(500, 12_000);
        throw(&world, &traffic, *fault, pod, for_long).await;
        traffic.flowing(100, READY).await;
        world.healthy().await;
        traffic.whole();
        let pause = traffic.pauses(since).into_iter().map(|(_, pause)| pause).max().unwrap_or_default();
        println!(
            "{:>4} s: {fault:?} of {pod}: whole again after {:.1} s, longest pause {} ms",
            began.elapsed().as_secs(),
            since.elapsed().as_secs_f64(),
            pause.as_millis()
        );
        let (count, longest) = thrown.entry(*fault).or_default();
        *count += 1;
        *longest = pause.max(*longest);
    }

    let report = traffic.settle().await;
    let thrown: Vec<String> = thrown
        .iter()
        .map(|(fault, (count, longest))| format!("{count} {fault:?} (longest pause {} ms)", longest.as_millis()))
        .collect();
    println!("measured: fault run of {} s, seed {seed}: {report}", began.elapsed().as_secs());
    println!("measured: fault run, thrown: {}", thrown.join(", "));
}

fn asked(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is to be a whole number, and is {value}")))
}

/// Throws a fault, and takes it away after a while where it does not heal by itself.
async fn throw(world: &World, traffic: &Traffic, fault: Fault, pod: &str, for_long: Duration) {
    let for_that_long = || tokio::time::sleep(for_long);
    let all = matches!(fault, Fault::KillAll | Fault::FillAll);
    let pods = if all { &PODS[..] } else { std::slice::from_ref(&pod) };
    // A full volume takes no client's broker away.
    if !matches!(fault, Fault::FillOne | Fault::FillAll) {
        traffic.disturb(pods);
    }
    match fault {
        Fault::KillProcess | Fault::KillAll => {
            let mut killed = world.pods().await;
            killed.retain(|pod| pods.contains(&pod.name_any().as_str()));
            faults::kill_processes(&killed);
            world.restarted(&killed).await;
        }
        Fault::Restart | Fault::DeletePod => {
            let uid = world.pod(pod).await.uid().expect("a pod has a uid");
            if fault == Fault::Restart {
                world.kubectl(&["delete", "pod", pod, "--wait=false"]);
            } else {
                faults::force_delete(&world.namespace, &[pod]);
            }
            world.replaced(pod, &uid, READY).await;
            traffic.find_brokers(world).await;
        }
        Fault::Cut => {
            let node = world.pod(pod).await.spec.and_then(|spec| spec.node_name).expect("the pod has a node");
            let cut = faults::cut(&node);
            for_that_long().await;
            drop(cut);
        }
        Fault::Pause => {
            let paused = faults::pause(&world.pod(pod).await);
            for_that_long().await;
            drop(paused);
        }
        Fault::FillOne | Fault::FillAll => {
            let filled = faults::fill(world, pods).await;
            for_that_long().await;
            drop(filled);
        }
        Fault::LoseVolume => {
            world.lose_volume(pod).await;
            traffic.find_brokers(world).await;
        }
    }
}
