//! What state a cluster is in.

use std::{collections::BTreeMap, time::Duration};

use ferrymq_broker::{Node, ReplicaState};
use ferrymq_replication::simulation::Process;
use tokio::time::timeout;

use crate::world::{World, lock};

impl World {
    pub(crate) fn up_at(&self, ordinal: u32) -> Option<(Process, Node)> {
        lock(&self.directory).get(ordinal as usize).cloned().flatten()
    }

    /// Ends all faults, and starts every broker that does not run.
    pub(crate) fn heal(&mut self) {
        self.links.heal();
        for ordinal in (0..).take(self.brokers.len()) {
            self.broker(ordinal).mend();
        }
        self.reach.calm_all();
    }

    /// Whether the replicas of each shard have applied the same; and the first shard whose replicas differ though they have.
    pub(crate) fn compare(&self) -> (bool, Option<String>) {
        let mut by_shard: BTreeMap<u32, Vec<(u32, ReplicaState)>> = BTreeMap::new();
        for broker in &self.brokers {
            let Some((_, node)) = self.up_at(broker.ordinal) else { return (false, None) };
            for state in node.replica_states() {
                by_shard.entry(state.shard).or_default().push((broker.ordinal, state));
            }
            // It has noticed by now where what it said of itself is wrong, and is about to end.
            if node.failure().borrow().is_some() {
                return (false, None);
            }
        }
        let mut agreed = true;
        for (shard, states) in by_shard {
            for (one, two) in states.iter().zip(states.iter().skip(1)) {
                agreed &= one.1.applied == two.1.applied;
                if one.1.applied == two.1.applied && one.1.digest != two.1.digest {
                    let (one, two, at) = (one.0, two.0, one.1.applied);
                    return (false, Some(format!("shard {shard} differs on brokers {one} and {two} at entry {at}")));
                }
            }
        }
        (agreed, None)
    }

    /// What keeps the cluster from being whole.
    pub(crate) async fn describe(&self) -> String {
        let up = self.ordinals_up();
        let mut said = vec![format!("brokers {up:?} run")];
        for ordinal in up {
            let Some((process, node)) = self.up_at(ordinal) else { continue };
            let (phase, why) = node.phase();
            let failed: Vec<u32> =
                node.replica_states().iter().filter(|state| state.failed).map(|state| state.shard).collect();
            said.push(format!("broker {ordinal} is {phase:?}, {why}, failed replicas {failed:?}"));
            let asked = process.spawn(async move { node.cluster().await });
            if let Ok(Ok(Ok(view))) = timeout(Duration::from_secs(5), asked).await {
                for node in view.nodes.iter().filter(|node| !node.reachable) {
                    said.push(format!("it cannot reach node {}", node.id));
                }
                for shard in view.shards.iter().filter(|shard| !shard.is_healthy()) {
                    said.push(format!("{shard:?}"));
                }
            }
        }
        said.join("; ")
    }
}
