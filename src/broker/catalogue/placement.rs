//! Which nodes hold which shards, and lead them.
//!
//! What is decided here is only what is wanted; the leaders of the shards make it so, one shard at a time each.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Catalogue,
    apply::denied,
    command::{Answer, Denied},
    records::{NodeRecord, ShardRecord},
};

/// Shards made for each number of mirrors that is in use.
const SHARDS_IN_POOL: usize = 12;

impl Catalogue {
    /// The shard for a new queue: of those with this many mirrors, the one with the fewest queues. Makes them where there
    /// are none.
    pub(super) fn shard_for(&mut self, mirrors: u8) -> Option<u32> {
        let mirrors = usize::from(mirrors.max(1)).min(self.homes().count());
        if !self.records.shards.values().any(|shard| usize::from(shard.mirrors) == mirrors) {
            self.make_pool(mirrors);
        }
        let pool = self.records.shards.iter().filter(|(_, shard)| usize::from(shard.mirrors) == mirrors);
        pool.map(|(id, _)| *id).min_by_key(|id| (self.queues_in_shard.get(id).copied().unwrap_or(0), *id))
    }

    /// Makes a pool of shards, spread evenly over the nodes, each over as many zones as there are.
    fn make_pool(&mut self, mirrors: usize) {
        let nodes: Vec<u64> = self.homes().collect();
        for turn in 0..SHARDS_IN_POOL {
            let Some((placed_on, preferred)) = self.spread(&nodes, turn, mirrors) else { return };
            self.records.next_shard += 1;
            let record = ShardRecord {
                mirrors: u8::try_from(mirrors).unwrap_or(u8::MAX),
                first_voters: placed_on.clone(),
                begun: false,
                placed_on,
                preferred,
            };
            self.records.shards.insert(self.records.next_shard, record);
        }
    }

    /// Nodes for a shard, over as many zones as there are, and the one that is to lead it: with each turn another one.
    pub(super) fn spread(&self, nodes: &[u64], turn: usize, mirrors: usize) -> Option<(BTreeSet<u64>, u64)> {
        let mut nodes = nodes.to_vec();
        // A whole round of turns ends where the next one begins: it has been so from the first version on.
        let by = (turn - turn.checked_div(nodes.len())?) % nodes.len();
        nodes.rotate_left(by);
        let mut chosen: Vec<u64> = Vec::new();
        let mut zones: BTreeSet<Option<&str>> = BTreeSet::new();
        // First one of each zone, then whatever is left.
        for id in &nodes {
            if chosen.len() < mirrors && (self.zone(*id).is_none() || zones.insert(self.zone(*id))) {
                chosen.push(*id);
            }
        }
        for id in &nodes {
            if chosen.len() < mirrors && !chosen.contains(id) {
                chosen.push(*id);
            }
        }
        let preferred = chosen.first().copied()?;
        Some((chosen.into_iter().collect(), preferred))
    }

    /// Takes a node in. One of its ordinal that was there before is replaced by it; where there was none, it gets its share.
    pub(super) fn add_node(&mut self, node: NodeRecord) -> Answer {
        if let Some((id, _)) = self.records.nodes.iter().find(|(_, known)| known.uuid == node.uuid) {
            return Answer::Node { id: *id };
        }
        self.records.next_node += 1;
        let id = self.records.next_node;
        let replaced = self.node_of(node.ordinal);
        self.records.nodes.insert(id, node);
        match replaced {
            None => self.rebalance(),
            Some(old) => {
                for (number, shard) in &mut self.records.shards {
                    // What a shard is to have is in the archive: who comes in its place restores it as well.
                    let restored = self.restoration.as_ref().is_some_and(|it| it.left.contains_key(number));
                    if restored && shard.first_voters.remove(&old) {
                        shard.first_voters.insert(id);
                    }
                    if shard.placed_on.remove(&old) {
                        shard.placed_on.insert(id);
                    }
                    if shard.preferred == old {
                        shard.preferred = id;
                    }
                }
                if self.draining.remove(&old) {
                    self.draining.insert(id);
                }
                self.give_up(old);
            }
        }
        Answer::Node { id }
    }

    /// Empties a node, or lets it have its share again.
    pub(super) fn set_draining(&mut self, ordinal: u32, draining: bool) -> Answer {
        let Some(node) = self.node_of(ordinal) else { return no_broker(ordinal) };
        if !draining {
            if self.draining.remove(&node) {
                self.rebalance();
            }
            return Answer::Done;
        }
        let left = self.homes().filter(|home| *home != node).count();
        let holds = |shard: &&ShardRecord| shard.placed_on.contains(&node);
        let most = self.records.shards.values().filter(holds).map(|shard| shard.placed_on.len()).max().unwrap_or(1);
        if left < most {
            let reason = format!(
                "broker {ordinal} cannot be emptied: it holds queues with {most} mirrors, and without it there are {left} \
                 brokers to hold them"
            );
            return denied(Denied::Not { reason });
        }
        self.draining.insert(node);
        let held: Vec<u32> = self.records.shards.iter().filter(|(_, shard)| holds(shard)).map(|(id, _)| *id).collect();
        for shard in held {
            if let Some(to) = self.replacement(shard, node) {
                self.move_replica(shard, node, to);
            }
        }
        self.rebalance();
        Answer::Done
    }

    /// A node that was emptied goes for good.
    pub(super) fn remove_node(&mut self, ordinal: u32) -> Answer {
        let Some(node) = self.node_of(ordinal) else { return Answer::Done };
        let held = self.records.shards.values().filter(|shard| shard.placed_on.contains(&node)).count();
        if held > 0 || !self.draining.remove(&node) {
            let reason = format!(
                "broker {ordinal} cannot be removed: it is to hold {held} shards; empty it first (`ferrymq ctl drain`)"
            );
            return denied(Denied::Not { reason });
        }
        self.give_up(node);
        Answer::Done
    }

    /// A node is none any more: what was its own goes with it.
    fn give_up(&mut self, node: u64) {
        if let Some(record) = self.records.nodes.get_mut(&node) {
            record.replaced = true;
        }
        // Leaders delete them in the shards, as they match their queues with the catalogue's.
        self.remove_exclusive(|owner| owner.node == node);
    }

    /// A node by its place in the StatefulSet.
    pub(crate) fn node_of(&self, ordinal: u32) -> Option<u64> {
        let mut nodes = self.records.nodes.iter().filter(|(_, node)| !node.replaced);
        nodes.find(|(_, node)| node.ordinal == ordinal).map(|(id, _)| *id)
    }

    /// The nodes that shards may be placed on.
    pub(super) fn homes(&self) -> impl Iterator<Item = u64> {
        let nodes = self.records.nodes.iter().filter(|(id, node)| !node.replaced && !self.draining.contains(id));
        nodes.map(|(id, _)| *id)
    }

    fn zone(&self, node: u64) -> Option<&str> {
        self.records.nodes.get(&node).and_then(|node| node.zone.as_deref())
    }

    /// In how many zones these nodes are; one without a zone is in one of its own.
    fn zones(&self, nodes: &BTreeSet<u64>) -> usize {
        let named: BTreeSet<&str> = nodes.iter().filter_map(|node| self.zone(*node)).collect();
        named.len() + nodes.iter().filter(|node| self.zone(**node).is_none()).count()
    }

    /// How many shards each node is to hold, of those that may hold any.
    fn loads(&self) -> BTreeMap<u64, usize> {
        let mut loads: BTreeMap<u64, usize> = self.homes().map(|node| (node, 0)).collect();
        for node in self.records.shards.values().flat_map(|shard| &shard.placed_on) {
            if let Some(load) = loads.get_mut(node) {
                *load += 1;
            }
        }
        loads
    }

    /// How many shards each node is to lead, of those that may hold any.
    fn leads(&self) -> BTreeMap<u64, usize> {
        let mut leads: BTreeMap<u64, usize> = self.homes().map(|node| (node, 0)).collect();
        for shard in self.records.shards.values() {
            if let Some(lead) = leads.get_mut(&shard.preferred) {
                *lead += 1;
            }
        }
        leads
    }

    /// The nodes of a shard after a replica of it went elsewhere.
    fn moved(shard: &ShardRecord, from: u64, to: u64) -> BTreeSet<u64> {
        let others = shard.placed_on.iter().filter(|node| **node != from);
        others.copied().chain([to]).collect()
    }

    /// Where a shard's replica on `from` would best go: over as many zones as there are, and to who has the least.
    fn replacement(&self, shard: u32, from: u64) -> Option<u64> {
        let shard = self.records.shards.get(&shard)?;
        let free = self.loads().into_iter().filter(|(node, _)| !shard.placed_on.contains(node));
        let best = free.min_by_key(|(node, load)| {
            let zones = self.zones(&Self::moved(shard, from, *node));
            (std::cmp::Reverse(zones), *load, *node)
        });
        best.map(|(node, _)| node)
    }

    fn move_replica(&mut self, shard: u32, from: u64, to: u64) {
        let leads = self.leads();
        let Some(shard) = self.records.shards.get_mut(&shard) else { return };
        shard.placed_on = Self::moved(shard, from, to);
        if shard.preferred == from {
            let fewest = shard.placed_on.iter().min_by_key(|node| (leads.get(node).copied().unwrap_or(0), **node));
            shard.preferred = fewest.copied().unwrap_or(to);
        }
    }

    /// Moves replicas and leaders until every node has about as many as every other. No shard is spread over fewer zones by
    /// that.
    fn rebalance(&mut self) {
        // Each step makes the loads more even, so there is an end.
        while let Some((shard, from, to)) = self.replica_to_move() {
            self.move_replica(shard, from, to);
        }
        while let Some((shard, to)) = self.leader_to_move() {
            if let Some(shard) = self.records.shards.get_mut(&shard) {
                shard.preferred = to;
            }
        }
    }

    fn replica_to_move(&self) -> Option<(u32, u64, u64)> {
        uneven(&self.loads()).into_iter().find_map(|(from, to)| {
            let fits = |shard: &ShardRecord| {
                shard.placed_on.contains(&from)
                    && !shard.placed_on.contains(&to)
                    && self.zones(&Self::moved(shard, from, to)) >= self.zones(&shard.placed_on)
            };
            let shard = self.records.shards.iter().find(|(_, shard)| fits(shard))?;
            Some((*shard.0, from, to))
        })
    }

    fn leader_to_move(&self) -> Option<(u32, u64)> {
        uneven(&self.leads()).into_iter().find_map(|(from, to)| {
            let fits = |shard: &ShardRecord| shard.preferred == from && shard.placed_on.contains(&to);
            let shard = self.records.shards.iter().find(|(_, shard)| fits(shard))?;
            Some((*shard.0, to))
        })
    }
}

/// From whom to whom something could go to make these more even: who has the most first, to who has the least first.
fn uneven(loads: &BTreeMap<u64, usize>) -> Vec<(u64, u64)> {
    let mut by_load: Vec<(usize, u64)> = loads.iter().map(|(node, load)| (*load, *node)).collect();
    by_load.sort_unstable();
    let from_most = by_load.iter().rev();
    let pairs = from_most.flat_map(|(most, from)| {
        by_load.iter().take_while(move |(least, _)| least + 1 < *most).map(move |(_, to)| (*from, *to))
    });
    pairs.collect()
}

fn no_broker(ordinal: u32) -> Answer {
    denied(Denied::Not { reason: format!("there is no broker {ordinal}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Command;

    fn node(ordinal: u32, zone: Option<&str>) -> NodeRecord {
        let (uuid, zone) = (format!("u-{ordinal}"), zone.map(str::to_owned));
        NodeRecord { ordinal, uuid, zone, version: String::new(), run: 1, replaced: false }
    }

    fn of(zones: &[Option<&str>], default_mirrors: u8) -> Catalogue {
        let mut catalogue = Catalogue::default();
        let nodes = (0..).zip(zones).map(|(ordinal, zone)| node(ordinal, *zone)).collect();
        catalogue.apply(Command::Form { cluster_id: "c".into(), default_mirrors, nodes, users: Vec::new() });
        catalogue
    }

    fn drain(catalogue: &mut Catalogue, ordinal: u32, draining: bool) -> Answer {
        catalogue.apply(Command::SetDraining { ordinal, draining })
    }

    fn assert_even(catalogue: &Catalogue) {
        for counts in [catalogue.loads(), catalogue.leads()] {
            let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
            assert!(most - least <= 1, "{counts:?}");
        }
        assert!(catalogue.records.shards.values().all(|shard| shard.placed_on.contains(&shard.preferred)));
    }

    #[test]
    fn a_node_that_comes_in_gets_its_share() {
        let mut catalogue = of(&[None, None, None], 3);
        catalogue.apply(Command::AddNode(node(3, None)));
        assert_eq!(catalogue.loads(), BTreeMap::from([(1, 9), (2, 9), (3, 9), (4, 9)]));
        assert_even(&catalogue);
    }

    #[test]
    fn a_draining_node_has_nothing_and_gets_nothing_new_until_it_may_again() {
        let mut catalogue = of(&[None; 4], 3);
        assert_eq!(drain(&mut catalogue, 1, true), Answer::Done);
        assert!(
            catalogue.records.shards.values().all(|shard| !shard.placed_on.contains(&2) && shard.placed_on.len() == 3)
        );
        catalogue.shard_for(2);
        assert!(catalogue.records.shards.values().all(|shard| !shard.placed_on.contains(&2)));
        assert_even(&catalogue);
        assert_eq!(drain(&mut catalogue, 1, false), Answer::Done);
        assert_eq!(catalogue.loads().len(), 4);
        assert_even(&catalogue);
    }

    #[test]
    fn a_node_is_not_emptied_where_the_rest_could_not_hold_what_it_has() {
        let mut catalogue = of(&[None; 3], 3);
        let before = catalogue.records.shards.clone();
        let Answer::Denied(Denied::Not { reason }) = drain(&mut catalogue, 2, true) else { panic!("not refused") };
        assert!(reason.contains("3 mirrors") && reason.contains("there are 2 brokers"), "{reason}");
        assert_eq!(catalogue.records.shards, before);
        assert!(catalogue.draining.is_empty());
        assert!(matches!(drain(&mut catalogue, 7, true), Answer::Denied(Denied::Not { .. })));
    }

    #[test]
    fn a_shard_stays_in_as_many_zones_as_there_are() {
        let zones = [Some("a"), Some("a"), Some("b"), Some("b"), Some("c")];
        let mut catalogue = of(&zones, 3);
        drain(&mut catalogue, 2, true);
        for shard in catalogue.records.shards.values() {
            assert_eq!(catalogue.zones(&shard.placed_on), 3, "{shard:?}");
        }
        drain(&mut catalogue, 2, false);
        drain(&mut catalogue, 4, true);
        for shard in catalogue.records.shards.values() {
            assert_eq!(catalogue.zones(&shard.placed_on), 2, "{shard:?}");
        }
    }

    #[test]
    fn only_a_node_that_was_emptied_can_be_removed() {
        let mut catalogue = of(&[None; 4], 3);
        let remove = |catalogue: &mut Catalogue| catalogue.apply(Command::RemoveNode { ordinal: 3 });
        assert!(matches!(remove(&mut catalogue), Answer::Denied(_)));
        drain(&mut catalogue, 3, true);
        assert_eq!(remove(&mut catalogue), Answer::Done);
        assert!(catalogue.node_of(3).is_none() && catalogue.draining.is_empty());
        // Sent once more, it has happened already.
        assert_eq!(remove(&mut catalogue), Answer::Done);
        // One of that ordinal may come in again, as another.
        let again = NodeRecord { uuid: "again".into(), ..node(3, None) };
        assert_eq!(catalogue.apply(Command::AddNode(again)), Answer::Node { id: 5 });
        assert_even(&catalogue);
    }

    #[test]
    fn what_is_draining_is_in_the_snapshot() {
        use crate::catalogue::CatalogueMachine;
        let (mut machine, _) = CatalogueMachine::new();
        machine.catalogue = of(&[None; 4], 3);
        drain(&mut machine.catalogue, 0, true);
        let (mut other, _) = CatalogueMachine::new();
        other.take(&machine.saved()).unwrap();
        assert_eq!(other.catalogue.draining, BTreeSet::from([1]));
        assert_eq!(other.catalogue.records.shards, machine.catalogue.records.shards);
    }
}
