//! Logs of the catalogue that earlier versions wrote, replayed: brokers of two versions share one log while a cluster is
//! upgraded, and each must make the same of it.
//!
//! In `recorded/`, `VERSION.log` is what a version wrote, a command a line; `VERSION.snapshot` is its snapshot at the end;
//! `VERSION.state` is what that version made of it. None is ever changed. Before a version is released, its own are
//! recorded:
//!
//! ```text
//! cargo test -p ferrymq-broker --lib recorded -- --ignored record
//! ```

use std::fmt::{Debug, Write as _};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::{fs, iter};

use bytes::Bytes;
use ferrymq_core::ExchangeKind;
use ferrymq_queue::QueueId;
use ferrymq_replication::{Applied, Machine as _};

use super::{
    Answer, BindingRecord, Catalogue, CatalogueMachine, Command, ExchangeRecord, NodeRecord, Owner, PermissionRecord,
    Retention, TopicBindingSpec, TopicLogSpec, TopicQueueSpec, TopicSpec, UserRecord, UserSpec,
};

/// Cargo runs tests in their package's folder.
const FOLDER: &str = "catalogue/recorded";

#[test]
fn every_version_makes_the_same_of_a_log() {
    let files = fs::read_dir(FOLDER).unwrap().map(|file| file.unwrap().path());
    let logs: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
    assert!(!logs.is_empty(), "no log was recorded");
    for path in logs {
        let log: Vec<Bytes> = fs::read_to_string(&path).unwrap().lines().map(bytes).collect();
        let state = fs::read_to_string(path.with_extension("state")).unwrap();
        assert_eq!(replay(&log, false).0, state, "{}", path.display());
        assert_eq!(replay(&log, true).0, state, "{}, by snapshots after every command", path.display());
        let snapshot = fs::read_to_string(path.with_extension("snapshot")).unwrap();
        let mut machine = CatalogueMachine::new().0;
        machine.take(&bytes(snapshot.trim_end())).unwrap();
        assert!(state.ends_with(&in_words(&machine.catalogue)), "{}, from its snapshot", path.display());
    }
}

#[test]
#[ignore = "writes what this version makes, before it is released"]
fn record() {
    let path = Path::new(FOLDER).join(concat!(env!("CARGO_PKG_VERSION"), ".log"));
    assert!(!path.exists(), "{} is recorded already", path.display());
    let log: Vec<Bytes> = story().iter().map(|command| CatalogueMachine::encode(command).unwrap()).collect();
    let lines: String = log.iter().map(|command| hex(command) + "\n").collect();
    let (state, machine) = replay(&log, false);
    fs::create_dir_all(FOLDER).unwrap();
    fs::write(&path, lines).unwrap();
    fs::write(path.with_extension("snapshot"), hex(&machine.saved()) + "\n").unwrap();
    fs::write(path.with_extension("state"), state).unwrap();
}

/// What becomes of a log, in words.
fn replay(log: &[Bytes], snapshots: bool) -> (String, CatalogueMachine) {
    let (mut machine, mut text) = (CatalogueMachine::new().0, String::new());
    for (index, command) in iter::zip(1.., log) {
        let answer = machine.apply(Applied { index, term: 1, time: 0 }, command.clone(), &mut Vec::new());
        writeln!(text, "{index}: {}", answered(&CatalogueMachine::decode(&answer).unwrap())).unwrap();
        if snapshots {
            let snapshot = machine.saved();
            machine = CatalogueMachine::new().0;
            machine.take(&snapshot).unwrap();
        }
    }
    text.push_str(&in_words(&machine.catalogue));
    (text, machine)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Bytes {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

// In words of these files, which stay, and not in those of the code.

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Done => "done".into(),
        Answer::Node { id } => format!("node {id}"),
        Answer::Queue { id, shard, made } => format!("queue {id} in shard {shard}, made: {made}"),
        Answer::Gone { queues } => format!("gone: {queues:?}"),
        // The words of a refusal are for people, and may change.
        Answer::Denied(_) => "refused".into(),
    }
}

fn in_words(catalogue: &Catalogue) -> String {
    let records = &catalogue.records;
    let mut text = format!("cluster {}, {} mirrors\n", records.cluster_id, records.default_mirrors);
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("next: node {}, queue {}, shard {}", records.next_node, records.next_queue, records.next_shard));
    for (id, NodeRecord { ordinal, uuid, zone, version, run, replaced }) in &records.nodes {
        let (zone, draining) = (or_none(zone.as_ref()), catalogue.draining.contains(id));
        line(format!(
            "node {id}: ordinal {ordinal}, {uuid}, zone {zone}, version {version}, run {run}, replaced {replaced}, draining {draining}"
        ));
    }
    for (id, shard) in &records.shards {
        let (first, placed) = (&shard.first_voters, &shard.placed_on);
        line(format!(
            "shard {id}: {} mirrors, first on {first:?}, on {placed:?}, led by {}, begun {}",
            shard.mirrors, shard.preferred, shard.begun
        ));
    }
    for (name, user) in &records.users {
        line(format!("user {name}: {}, only from loopback {}", user.password_hash, user.loopback_only));
        if let Some(UserSpec { owner_name, owner_uid, password_version, permissions, .. }) =
            catalogue.declared_user(name)
        {
            line(format!("  declared by {owner_name} {owner_uid}, password {password_version}"));
            for PermissionRecord { virtual_host, configure, write, read } in permissions {
                line(format!("  on {virtual_host}: configure {configure}, write {write}, read {read}"));
            }
        }
    }
    for (host, content) in &records.virtual_hosts {
        line(format!("virtual host {host}"));
        for (name, ExchangeRecord { kind, durable, auto_delete, internal }) in &content.exchanges {
            line(format!(
                "  exchange {name}: {kind}, durable {durable}, auto-delete {auto_delete}, internal {internal}"
            ));
        }
        for (name, queue) in &content.queues {
            let owner = queue.exclusive.map(|Owner { node, run, session }| format!("{node}/{run}/{session}"));
            let log = QueueId::new(queue.id).and_then(|id| catalogue.log(id)).map(kept);
            line(format!(
                "  queue {name}: {} in shard {}, durable {}, auto-delete {}, of {}, log {}",
                queue.id,
                queue.shard,
                queue.durable,
                queue.auto_delete,
                or_none(owner.as_ref()),
                or_none(log.as_ref())
            ));
        }
        for BindingRecord { exchange, queue, key } in &content.bindings {
            line(format!("  binding of {queue} to {exchange} by {key}"));
        }
    }
    for ((host, name), topic) in &records.topics {
        let TopicSpec { owner_name, owner_uid, adopt, kind, mirrors, bindings, queues, .. } = &topic.spec;
        line(format!(
            "topic {name} in {host}: {kind}, of {owner_name} {owner_uid}, adopt {adopt}, mirrors {}",
            or_none(mirrors.as_ref())
        ));
        bindings.iter().for_each(|binding| line(format!("  from {} by {}", binding.source, binding.key)));
        queues.iter().for_each(|queue| line(format!("  to {} by {}", queue.name, queue.keys.join(" "))));
    }
    for ((host, name), TopicLogSpec { partitions, retention }) in &catalogue.logs.topics {
        line(format!("partitions of {name} in {host}: {partitions}, each {}", kept(*retention)));
    }
    text
}

fn kept(Retention { age, bytes }: Retention) -> String {
    format!("{} ms, {} bytes", or_none(age.as_ref()), or_none(bytes.as_ref()))
}

fn or_none<T: ToString + Debug>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".into(), ToString::to_string)
}

/// Every command, and what each may be refused for.
fn story() -> Vec<Command> {
    let host = || "/".to_owned();
    let node = |ordinal: u32, uuid: &str, zone: &str| NodeRecord {
        ordinal,
        uuid: uuid.into(),
        zone: Some(zone.into()),
        version: "0.1.0".into(),
        run: 1,
        replaced: false,
    };
    let user = |hash: &str, loopback_only| UserRecord { password_hash: hash.into(), loopback_only };
    let exchange = |kind, auto_delete, internal| ExchangeRecord { kind, durable: true, auto_delete, internal };
    let declare_exchange =
        |name: &str, exchange| Command::DeclareExchange { virtual_host: host(), name: name.into(), exchange };
    let queue = |name: &str, exclusive: Option<Owner>, mirrors| Command::DeclareQueue {
        virtual_host: host(),
        name: name.into(),
        durable: exclusive.is_none(),
        auto_delete: exclusive.is_some(),
        exclusive,
        mirrors,
    };
    let delete_queue = |name: &str, id| Command::DeleteQueue { virtual_host: host(), name: name.into(), id };
    let binding = |exchange: &str, queue: &str, key: &str| BindingRecord {
        exchange: exchange.into(),
        queue: queue.into(),
        key: key.into(),
    };
    let bind = |binding| Command::Bind { virtual_host: host(), binding };
    let topic = |name: &str, uid: &str, queues: &[&str]| TopicSpec {
        virtual_host: host(),
        name: name.into(),
        owner_name: format!("default/{name}"),
        owner_uid: uid.into(),
        adopt: false,
        kind: ExchangeKind::Topic,
        mirrors: None,
        bindings: vec![TopicBindingSpec { source: "audit".into(), key: String::new() }],
        queues: queues.iter().map(|name| TopicQueueSpec { name: (*name).into(), keys: vec!["#".into()] }).collect(),
    };
    let log = |partitions| TopicLogSpec {
        partitions: NonZeroU32::new(partitions).unwrap(),
        retention: Retention { age: Some(60_000), bytes: Some(1 << 30) },
    };
    let remove_topic = |name: &str, uid: &str, delete| Command::RemoveTopic {
        virtual_host: host(),
        name: name.into(),
        owner_uid: uid.into(),
        delete,
    };
    let declared = |name: &str, uid: &str, version: &str| UserSpec {
        name: name.into(),
        owner_name: format!("default/{name}"),
        owner_uid: uid.into(),
        password_version: version.into(),
        permissions: vec![PermissionRecord {
            virtual_host: host(),
            configure: String::new(),
            write: "^orders$".into(),
            read: ".*".into(),
        }],
    };
    let declare_user = |user, hash: Option<&str>| Command::DeclareUser { user, password_hash: hash.map(str::to_owned) };
    let remove_user =
        |name: &str, uid: &str, delete| Command::RemoveUser { name: name.into(), owner_uid: uid.into(), delete };
    let owner = |session| Some(Owner { node: 2, run: 1, session });
    vec![
        queue("early", None, None),
        Command::Form {
            cluster_id: "ships".into(),
            default_mirrors: 3,
            nodes: vec![node(0, "a", "east"), node(1, "b", "west"), node(2, "c", "north")],
            users: vec![("guest".into(), user("$argon2id$1", true))],
        },
        Command::ShardBegun { shard: 1 },
        Command::PutUser { name: "ferry".into(), user: user("$argon2id$2", false) },
        declare_exchange("audit", exchange(ExchangeKind::Fanout, false, false)),
        declare_exchange("passing", exchange(ExchangeKind::Direct, true, false)),
        declare_exchange("inside", exchange(ExchangeKind::Topic, false, true)),
        declare_exchange("audit", exchange(ExchangeKind::Direct, false, false)),
        queue("work", None, None),
        queue("work", None, None),
        queue("single", None, Some(1)),
        queue("too many", None, Some(9)),
        queue("mine", owner(4), None),
        queue("gone", None, None),
        bind(binding("passing", "work", "a")),
        bind(binding("audit", "single", "")),
        bind(binding("amq.topic", "work", "ships.*")),
        bind(binding("nowhere", "work", "")),
        Command::Unbind { virtual_host: host(), binding: binding("passing", "work", "a") },
        delete_queue("gone", Some(99)),
        delete_queue("gone", None),
        Command::DeleteExchange { virtual_host: host(), name: "audit".into(), if_unused: true },
        Command::DeleteExchange { virtual_host: host(), name: "inside".into(), if_unused: false },
        Command::DeclareLog {
            virtual_host: host(),
            name: "history".into(),
            mirrors: None,
            retention: Retention { age: None, bytes: Some(1 << 20) },
        },
        Command::DeclareTopic { topic: topic("orders", "uid-1", &["shipping", "billing"]), empty: vec![] },
        Command::DeclareTopic { topic: topic("orders", "uid-2", &["shipping"]), empty: vec![] },
        Command::DeclareTopic { topic: topic("orders", "uid-1", &["shipping"]), empty: vec!["billing".into()] },
        Command::DeclareTopicWithLog { topic: topic("events", "uid-3", &[]), empty: vec![], log: log(3) },
        Command::DeclareTopicWithLog { topic: topic("events", "uid-3", &[]), empty: vec![], log: log(2) },
        Command::DeclareTopic { topic: topic("passing-by", "uid-4", &["soon"]), empty: vec![] },
        remove_topic("passing-by", "uid-4", true),
        Command::DeclareTopic { topic: topic("orphan", "uid-5", &["left"]), empty: vec![] },
        remove_topic("orphan", "uid-5", false),
        Command::NodeStarted { node: 2, run: 2, version: "0.1.0".into() },
        Command::AddNode(node(3, "d", "east")),
        Command::AddNode(node(4, "e", "west")),
        queue("later", None, None),
        Command::SetDraining { ordinal: 0, draining: true },
        Command::SetDraining { ordinal: 3, draining: true },
        Command::SetDraining { ordinal: 3, draining: false },
        Command::SetDraining { ordinal: 4, draining: true },
        Command::RemoveNode { ordinal: 4 },
        // In the place of another one, which is then in no group any more.
        Command::AddNode(node(1, "f", "west")),
        Command::ForgetNode { node: 2 },
        declare_user(declared("billing", "uid-6", "1"), Some("$argon2id$3")),
        declare_user(declared("billing", "uid-7", "1"), Some("$argon2id$4")),
        declare_user(declared("billing", "uid-6", "2"), None),
        declare_user(declared("guest", "uid-6", "1"), Some("$argon2id$5")),
        declare_user(declared("passing", "uid-8", "1"), Some("$argon2id$6")),
        remove_user("passing", "uid-8", true),
        declare_user(declared("left", "uid-9", "1"), Some("$argon2id$7")),
        remove_user("left", "uid-9", false),
        Command::PutUser { name: "billing".into(), user: user("$argon2id$8", false) },
    ]
}
