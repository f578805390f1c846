//! A cluster that begins with what another one had: the effect of that on the catalogue, and how far it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Catalogue,
    apply::denied,
    command::{Answer, Denied},
    machine,
    records::{NodeRecord, ShardRecord, UserRecord},
};

/// Numbers of queues that are left out behind the last one that is known: a shard may have queues that the catalogue, which
/// ends a moment earlier, does not know. They are deleted, and their numbers given to no other.
const NUMBERS_LEFT_OUT: u64 = 1 << 20;

/// Up to where a shard is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Upto {
    /// The entry with this index is the last.
    Index(u64),
    /// Entries that a leader took before then, in milliseconds since 1970.
    Time(u64),
    /// All there are.
    Latest,
}

/// Where what a shard had is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardSource {
    /// The base to begin with; from the beginning of the log where there is none.
    pub(crate) base: Option<String>,
    pub(crate) upto: Upto,
    /// Of the state then, where that is known.
    pub(crate) digest: Option<String>,
}

/// What a cluster was made of, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restoration {
    /// The folder of the archive.
    pub(crate) cluster: String,
    /// What of it, in words: `backup nightly`.
    pub(crate) what: String,
    /// What is damaged or missing is left out.
    pub(crate) allow_partial: bool,
    /// Shards that there are to restore.
    pub(crate) shards: u32,
    /// Those that are not restored yet.
    pub(crate) left: BTreeMap<u32, ShardSource>,
    /// What was left out, a sentence each.
    pub(crate) missing: Vec<String>,
    /// Why a shard is not restored, or what is left out of it, a sentence each.
    pub(crate) problems: BTreeMap<u32, String>,
}

/// A cluster to be formed of what another one had.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RestoredFormation {
    pub(crate) cluster_id: String,
    pub(crate) default_mirrors: u8,
    /// Its nodes, in order; the first of them has this number, which no node of the other cluster had.
    pub(crate) first_node: u64,
    pub(crate) nodes: Vec<NodeRecord>,
    /// Users besides those that there were; of the same name, these count.
    pub(crate) users: Vec<(String, UserRecord)>,
    /// The catalogue that the other cluster had, as its snapshot.
    pub(crate) saved: Vec<u8>,
    pub(crate) restoration: Restoration,
}

impl Catalogue {
    /// Begins with what another cluster had.
    pub(super) fn form_restored(&mut self, formation: RestoredFormation) -> Answer {
        if self.is_formed() {
            return Answer::Done;
        }
        let version = self.user_index.version + 1;
        *self = match machine::read_saved(&formation.saved) {
            Ok(restored) => restored,
            Err(reason) => return denied(Denied::Not { reason }),
        };
        self.user_index.version = version;
        self.remove_exclusive(|_| true);
        let default_before = usize::from(self.records.default_mirrors.max(1)).min(self.homes().count().max(1));
        self.records.cluster_id = formation.cluster_id;
        self.records.default_mirrors = formation.default_mirrors;
        self.records.nodes = (formation.first_node..).zip(formation.nodes).collect();
        self.records.next_node = self.records.nodes.keys().next_back().copied().unwrap_or(0);
        self.records.next_queue += NUMBERS_LEFT_OUT;
        self.draining.clear();
        self.records.users.extend(formation.users);
        self.await_owners();
        self.place_restored(default_before, &formation.restoration);
        self.shard_for(formation.default_mirrors);
        self.restoration = Some(formation.restoration);
        Answer::Done
    }

    /// Whoever declares a topic or a user next has it.
    fn await_owners(&mut self) {
        for topic in self.records.topics.values_mut() {
            topic.spec.owner_uid.clear();
        }
        self.users.await_owners();
    }

    /// Places all shards anew. Those of which there is something are made on one node, which fills the others then.
    fn place_restored(&mut self, default_before: usize, restoration: &Restoration) {
        let homes: Vec<u64> = self.homes().collect();
        let shards: Vec<(u32, usize)> =
            self.records.shards.iter().map(|(id, shard)| (*id, usize::from(shard.mirrors))).collect();
        for (turn, (id, mirrors)) in shards.into_iter().enumerate() {
            let wanted = if mirrors == default_before { usize::from(self.records.default_mirrors) } else { mirrors };
            let mirrors = wanted.clamp(1, homes.len().max(1));
            let Some((placed_on, preferred)) = self.spread(&homes, turn, mirrors) else { continue };
            let of_archive = restoration.left.contains_key(&id);
            let first_voters = if of_archive { BTreeSet::from([preferred]) } else { placed_on.clone() };
            let mirrors = u8::try_from(mirrors).unwrap_or(u8::MAX);
            let record = ShardRecord { mirrors, first_voters, begun: false, placed_on, preferred };
            self.records.shards.insert(id, record);
        }
    }

    /// A shard has all that it had, on all nodes that are to hold it.
    pub(super) fn shard_restored(&mut self, shard: u32) -> Answer {
        if let Some(restoration) = &mut self.restoration {
            let left_out = restoration.problems.remove(&shard);
            if restoration.left.remove(&shard).is_some() {
                restoration.missing.extend(left_out);
            }
        }
        Answer::Done
    }

    /// A shard is not restored yet, or not all of it, for this reason.
    pub(super) fn restore_problem(&mut self, shard: u32, problem: String) -> Answer {
        if let Some(restoration) = self.restoration.as_mut().filter(|restoration| restoration.left.contains_key(&shard))
        {
            restoration.problems.remove(&shard);
            if !problem.is_empty() {
                restoration.problems.insert(shard, problem);
            }
        }
        Answer::Done
    }

    /// Something of what another cluster had is not there yet.
    pub(crate) fn is_restoring(&self) -> bool {
        self.restoration.as_ref().is_some_and(|restoration| !restoration.left.is_empty())
    }

    /// A shard is made of what an archive has, and does not have all of it yet.
    pub(crate) fn source_of(&self, shard: u32) -> Option<&ShardSource> {
        self.restoration.as_ref()?.left.get(&shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{CatalogueMachine, Command, TopicSpec};

    fn node(ordinal: u32) -> NodeRecord {
        let uuid = format!("u-{ordinal}");
        NodeRecord { ordinal, uuid, zone: None, version: String::new(), run: 1, replaced: false }
    }

    fn apply(machine: &mut CatalogueMachine, command: Command) -> Answer {
        machine.catalogue.apply(command)
    }

    /// Three nodes, a topic, a queue for everybody and one for a session, and a second pool of shards.
    fn before() -> CatalogueMachine {
        let (mut machine, _) = CatalogueMachine::new();
        let (cluster_id, users) = ("old".to_owned(), Vec::new());
        apply(&mut machine, Command::Form { cluster_id, default_mirrors: 3, nodes: (0..3).map(node).collect(), users });
        let declare = |name: &str, exclusive, mirrors| Command::DeclareQueue {
            virtual_host: "/".into(),
            name: name.into(),
            durable: true,
            auto_delete: false,
            exclusive,
            mirrors,
        };
        apply(&mut machine, declare("orders", None, None));
        apply(&mut machine, declare("alone", None, Some(1)));
        apply(&mut machine, declare("mine", Some(crate::catalogue::Owner { node: 1, run: 1, session: 7 }), None));
        let topic = TopicSpec {
            virtual_host: "/".into(),
            name: "life".into(),
            owner_name: "shop/life".into(),
            owner_uid: "u".into(),
            adopt: false,
            kind: ferrymq_core::ExchangeKind::Topic,
            mirrors: None,
            bindings: Vec::new(),
            queues: Vec::new(),
        };
        apply(&mut machine, Command::DeclareTopic { topic, empty: Vec::new() });
        machine
    }

    fn formation(machine: &CatalogueMachine, nodes: u32, default_mirrors: u8) -> RestoredFormation {
        let source = || ShardSource { base: None, upto: Upto::Latest, digest: None };
        let left: BTreeMap<u32, ShardSource> =
            machine.catalogue.records.shards.keys().filter(|shard| **shard != 2).map(|id| (*id, source())).collect();
        RestoredFormation {
            cluster_id: "new".into(),
            default_mirrors,
            first_node: 4,
            nodes: (0..nodes).map(node).collect(),
            users: Vec::new(),
            saved: machine.saved().to_vec(),
            restoration: Restoration {
                cluster: "shop/orders/old".into(),
                what: "the latest".into(),
                allow_partial: false,
                shards: u32::try_from(left.len()).unwrap(),
                left,
                missing: Vec::new(),
                problems: BTreeMap::new(),
            },
        }
    }

    #[test]
    fn what_there_was_is_placed_on_the_nodes_that_there_are_and_awaits_its_owners() {
        for (nodes, mirrors) in [(1, 1), (2, 3), (5, 3)] {
            let old = before();
            let (mut machine, _) = CatalogueMachine::new();
            let formation = formation(&old, nodes, mirrors);
            assert_eq!(apply(&mut machine, Command::FormRestored(Box::new(formation))), Answer::Done);
            let catalogue = &machine.catalogue;
            assert!(catalogue.is_restoring());
            assert!(catalogue.queue("/", "orders").is_some() && catalogue.queue("/", "mine").is_none());
            let ids: Vec<u64> = (4..4 + u64::from(nodes)).collect();
            assert!(catalogue.records.nodes.keys().eq(&ids));
            for (id, shard) in &catalogue.records.shards {
                let wanted = if old.catalogue.records.shards[id].mirrors == 1 { 1 } else { usize::from(mirrors) };
                assert_eq!(shard.placed_on.len(), wanted.min(ids.len()), "{id}: {shard:?}");
                assert!(shard.placed_on.iter().all(|node| ids.contains(node)) && !shard.begun);
                let first = if *id == 2 { shard.placed_on.len() } else { 1 };
                assert_eq!(shard.first_voters.len(), first, "only what is in the archive is made on one node");
            }
            let topic = TopicSpec {
                owner_uid: "another".into(),
                ..catalogue.records.topics[&("/".into(), "life".into())].spec.clone()
            };
            let taken = apply(&mut machine, Command::DeclareTopic { topic: topic.clone(), empty: Vec::new() });
            assert_eq!(taken, Answer::Gone { queues: Vec::new() });
            let third = TopicSpec { owner_uid: "third".into(), ..topic };
            let refused = apply(&mut machine, Command::DeclareTopic { topic: third, empty: Vec::new() });
            assert!(matches!(refused, Answer::Denied(Denied::Owned { .. })));
        }
    }

    #[test]
    fn it_is_restored_when_every_shard_is() {
        let old = before();
        let (mut machine, _) = CatalogueMachine::new();
        apply(&mut machine, Command::FormRestored(Box::new(formation(&old, 3, 3))));
        let shards: Vec<u32> =
            machine.catalogue.restoration.as_ref().map(|it| it.left.keys().copied().collect()).unwrap();
        let problem = |shard, problem: &str| Command::RestoreProblem { shard, problem: problem.into() };
        apply(&mut machine, problem(shards[1], "not yet"));
        apply(&mut machine, problem(shards[1], ""));
        for shard in shards {
            assert!(machine.catalogue.is_restoring() && machine.catalogue.source_of(shard).is_some());
            // Also what comes back from a snapshot.
            let saved = machine.saved();
            machine = CatalogueMachine::new().0;
            machine.take(&saved).unwrap();
            apply(&mut machine, problem(shard, if shard == 1 { "some of it" } else { "" }));
            apply(&mut machine, Command::ShardRestored { shard });
        }
        assert!(!machine.catalogue.is_restoring());
        let restoration = machine.catalogue.restoration.unwrap();
        assert!(restoration.problems.is_empty() && restoration.missing == ["some of it"]);
    }

    #[test]
    fn a_catalogue_that_cannot_be_read_forms_nothing() {
        let (mut machine, _) = CatalogueMachine::new();
        let formation = RestoredFormation { saved: vec![9, 9], ..formation(&before(), 3, 3) };
        assert!(matches!(apply(&mut machine, Command::FormRestored(Box::new(formation))), Answer::Denied(_)));
        assert!(!machine.catalogue.is_formed());
    }
}
