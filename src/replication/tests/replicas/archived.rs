//! What a replica gives to an archive, and what is made of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use ferrymq_replication::{Committed, Group, Store};
use tempfile::TempDir;

use super::{
    Wire, in_time,
    memory::{Memory, words_of},
    open_with,
};

type Member = (Arc<Group<Memory>>, Arc<Store>);

async fn open(directory: &Path) -> Member {
    open_with(1, directory, Arc::<Wire>::default(), |store| store.hold_logs(BTreeMap::new())).await
}

async fn leads(group: &Group<Memory>) {
    group.leadership().wait_for(|now| now.leading).await.unwrap();
}

async fn say(group: &Group<Memory>, word: &str) {
    group.propose(Bytes::from(word.to_owned())).await.unwrap().applied().await.unwrap();
}

async fn shorten((group, store): &Member) {
    group.upkeep(store.clean_before()).await.unwrap();
}

/// All of the log from there on, by small parts.
async fn log_from(group: &Group<Memory>, mut from: u64) -> Vec<Committed> {
    let mut parts = Vec::new();
    loop {
        let part = group.committed(from, 1 << 20).await.unwrap();
        if part.entries.is_empty() {
            return parts;
        }
        from = part.first + part.entries.len() as u64;
        parts.push(part);
    }
}

/// Of four words and a great many that are forgotten.
async fn with_much_forgotten(member: &Member) -> Vec<String> {
    let (group, _) = member;
    group.initialize(BTreeSet::from([1])).await.unwrap();
    leads(group).await;
    say(group, "first").await;
    let big = "x".repeat(300_000);
    for _ in 0..150 {
        say(group, &big).await;
        say(group, "-").await;
        shorten(member).await;
    }
    for word in ["second", "third", "last"] {
        say(group, word).await;
    }
    ["first", "second", "third", "last"].map(str::to_owned).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_stay_whole_until_they_are_archived_and_a_replica_is_made_of_them() {
    in_time(async {
        let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let member = open(from.path()).await;
        let words = with_much_forgotten(&member).await;
        let log = log_from(&member.0, 0).await;
        assert_eq!(log[0].first, 0, "nothing was let go of");
        assert!(log.windows(2).all(|parts| parts[1].first == parts[0].first + parts[0].entries.len() as u64));

        let (group, store) = open(to.path()).await;
        let (first, rest) = log.split_at(log.len() / 2);
        for part in first {
            group.refill(part.clone()).await.unwrap();
        }
        // It goes on where it was.
        group.stop().await;
        store.close();
        drop((group, store));
        let (group, _store) = open(to.path()).await;
        assert_eq!(group.refilled_to(), rest[0].first);
        assert!(group.refill(rest[rest.len() - 1].clone()).await.is_err(), "there is a hole before it");
        for part in rest {
            group.refill(part.clone()).await.unwrap();
        }
        group.refilled(BTreeSet::from([1])).await.unwrap();
        leads(&group).await;
        assert_eq!(words_of(&group).unwrap(), words);
        assert!(group.refill(log[0].clone()).await.is_err(), "it is led already");
        say(&group, "more").await;
        assert_eq!(words_of(&group).unwrap().len(), 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_archived_is_let_go_of_and_a_base_and_what_follows_make_a_replica() {
    in_time(async {
        let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let member = open(from.path()).await;
        let mut words = with_much_forgotten(&member).await;
        let (group, store) = &member;
        let held = group.held_bytes().await.unwrap();
        assert!(held > 40 << 20, "{held}");
        let archived = group.applied() + 1;
        let (all, next) = group.committed_bytes(0, usize::MAX);
        assert!(all > 40 << 20 && next == archived, "{all}, {next}");
        let (some, next) = group.committed_bytes(0, 1 << 20);
        assert!((1 << 20..2 << 20).contains(&some) && some + group.committed_bytes(next, usize::MAX).0 == all);
        assert_eq!(group.committed_bytes(archived, 1 << 20), (0, archived));
        group.hold_from(archived).await.unwrap();
        assert_eq!(group.held_bytes().await.unwrap(), 0);
        while store.journal_statistics().capacity_bytes > 12 << 20 {
            shorten(&member).await;
        }
        let gone = group.committed(5, 1 << 20).await.unwrap();
        assert!(gone.first > 5, "what is gone is said");

        let base = group.base().await.unwrap();
        say(group, "after").await;
        words.push("after".to_owned());
        let (new, _store) = open(to.path()).await;
        new.begin_base().await.unwrap();
        let mut next = 0;
        loop {
            let entries = base.entries(next, 100).await.unwrap();
            let Some((last, _)) = entries.last() else { break };
            next = last + 1;
            new.base_entries(entries).await.unwrap();
        }
        let mut at = 0;
        loop {
            let part = base.state(at, 7).await.unwrap();
            let (length, ends) = (part.len() as u64, base.state(at + part.len() as u64, 1).await.unwrap().is_empty());
            new.base_state(base.last(), at, part, ends).await.unwrap();
            at += length;
            if ends {
                break;
            }
        }
        let (term, index) = base.last();
        assert_eq!(new.refilled_to(), index + 1);
        for part in log_from(group, index + 1).await {
            assert!(part.term_before >= term);
            new.refill(part).await.unwrap();
        }
        new.refilled(BTreeSet::from([1])).await.unwrap();
        leads(&new).await;
        assert_eq!(words_of(&new).unwrap(), words);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_archived_before_the_start_is_not_held_again() {
    in_time(async {
        let directory = TempDir::new().unwrap();
        let (group, store) = open(directory.path()).await;
        group.initialize(BTreeSet::from([1])).await.unwrap();
        leads(&group).await;
        say(&group, &"x".repeat(300_000)).await;
        let archived = BTreeMap::from([(group.id(), group.applied() + 1)]);
        say(&group, "later").await;
        group.stop().await;
        store.close();
        drop((group, store));
        for (known, bytes) in [(BTreeMap::new(), 300_000..400_000), (archived, 1..1000)] {
            let (group, store) =
                open_with(1, directory.path(), Arc::<Wire>::default(), |store| store.hold_logs(known)).await;
            let held = group.held_bytes().await.unwrap();
            assert!(bytes.contains(&held), "{held} of {bytes:?}");
            group.stop().await;
            store.close();
        }
    })
    .await;
}
