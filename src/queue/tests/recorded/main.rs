//! Logs of earlier versions, replayed: a shard's log outlives the version that wrote it, and every version must make the
//! same of it, or replicas drift apart while a cluster is upgraded.
//!
//! `VERSION.log` is what a version wrote: an entry a line, with its number, its term, its time and its bytes. `VERSION.state` is what
//! that version made of it. Neither is ever changed. Before a version is released, its own are recorded:
//!
//! ```text
//! cargo test -p ferrymq-queue --test recorded -- --ignored record
//! ```

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not as it should be")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use ferrymq_core::{ExchangeName, Message, Properties, RoutingKey};
use ferrymq_queue::{
    CommandWriter, Effect, Effects, Holding, Moment, Outcome, QueueId, Request, ShardMachine, decode_message,
    decode_outcomes, encode_request,
};
use ferrymq_wire::Reader;

/// Cargo runs tests in their package's folder.
const FOLDER: &str = "tests/recorded";

struct Entry {
    at: Moment,
    bytes: Bytes,
}

#[test]
fn every_version_makes_the_same_of_a_log() {
    let logs: Vec<PathBuf> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    assert!(!logs.is_empty(), "no log was recorded");
    for path in logs {
        let (log, state) = (read(&path), fs::read_to_string(path.with_extension("state")).unwrap());
        // As it is; by snapshots after every entry; with all that is kept written again.
        for way in [Way::Plain, Way::Snapshots, Way::Distilled] {
            assert_eq!(replay(&log, way), state, "{} {way:?}", path.display());
        }
    }
}

#[test]
#[ignore = "writes what this version makes, before it is released"]
fn record() {
    let path = Path::new(FOLDER).join(concat!(env!("CARGO_PKG_VERSION"), ".log"));
    assert!(!path.exists(), "{} is recorded already", path.display());
    let log = story();
    let mut text = String::new();
    for Entry { at, bytes } in &log {
        write!(text, "{} {} {} ", at.entry, at.term, at.time).unwrap();
        bytes.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    fs::write(&path, text).unwrap();
    fs::write(path.with_extension("state"), replay(&log, Way::Plain)).unwrap();
}

fn read(path: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(path).unwrap();
    let entry = |line: &str| {
        let mut words = line.split(' ');
        let mut number = || words.next().unwrap().parse().unwrap();
        let at = Moment { entry: number(), term: number(), time: number() };
        let hex = words.next().unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        Entry { at, bytes: (0..hex.len()).step_by(2).map(byte).collect() }
    };
    text.lines().map(entry).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Snapshots,
    Distilled,
}

/// What becomes of a log, for people and for comparing.
fn replay(log: &[Entry], way: Way) -> String {
    let (mut machine, mut text) = (ShardMachine::default(), String::new());
    let mut kept: Vec<(u64, Bytes)> = Vec::new();
    for Entry { at, bytes } in log {
        let mut effects = Effects::default();
        let answer = machine.apply(*at, bytes.clone(), &mut effects);
        let outcomes = decode_outcomes(answer).unwrap();
        let outcomes: Vec<String> = outcomes.iter().map(outcome).collect();
        writeln!(text, "entry {}: requests {}", at.entry, outcomes.join(", ")).unwrap();
        effects.happened.iter().for_each(|effect| writeln!(text, "  {}", happened(effect)).unwrap());
        effects.freed.iter().for_each(|entry| writeln!(text, "  entry {entry} is needed no more").unwrap());
        kept.push((at.entry, bytes.clone()));
        kept.retain(|(entry, _)| machine.needs(*entry));
        if way == Way::Snapshots {
            let mut saved = Vec::new();
            let written: Result<(), std::io::Error> = machine.save().write(&mut |piece| {
                saved.extend_from_slice(piece);
                Ok(())
            });
            written.unwrap();
            machine = ShardMachine::restore(&mut Reader::new(saved.into()), None).unwrap();
        }
        if way == Way::Distilled {
            kept.iter_mut().for_each(|(entry, bytes)| *bytes = machine.distil(*entry, bytes.clone()).unwrap());
        }
    }
    for (id, queue) in machine.queues() {
        writeln!(text, "queue {id}: {} messages of {} ever", queue.len(), queue.last()).unwrap();
        let mut number = 0;
        while let Some(next) = queue.next(number) {
            let place = queue.place(next).unwrap();
            let bytes = &kept.iter().find(|(entry, _)| *entry == place.entry).unwrap().1;
            let opened = machine.open(place.entry, bytes.clone());
            let message = decode_message(opened.message(id, place.ordinal).unwrap().clone()).unwrap();
            let body = String::from_utf8(message.body.to_vec()).unwrap();
            writeln!(text, "  {next}: {body}, came back {} times", queue.returns(next)).unwrap();
            number = next + 1;
        }
    }
    text
}

// In words of these files, which stay, and not in those of the code.

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied => "applied".into(),
        Outcome::OutOfOrder { expected } => format!("refused until {expected}"),
    }
}

fn happened(effect: &Effect) -> String {
    match *effect {
        Effect::Enqueued { queue, first, count } => format!("queue {queue}: {count} came, from {first} on"),
        Effect::Removed { queue, first, count } => format!("queue {queue}: {count} went, from {first} on"),
        Effect::Returned { queue, holding: Holding { message, returns }, node } => {
            format!("queue {queue}: {message} came back from node {node}, having come back {returns} times before")
        }
        Effect::Purged { queue, upto } => format!("queue {queue}: purged up to {upto}"),
        Effect::Deleted { queue } => format!("queue {queue}: deleted"),
    }
}

/// Every command, and every way in which a request may come.
fn story() -> Vec<Entry> {
    let [work, ledger, gone] = [1, 2, 3].map(|number| QueueId::new(number).unwrap());
    let held = |message, returns| Holding { message, returns };
    let mut log = Log::default();
    log.entry(&[(1, 1, &|commands| commands.create(work)), (2, 1, &|commands| commands.create(ledger))]);
    log.entry(&[(1, 2, &|commands| (0..6).for_each(|number| commands.enqueue(work, &message("work", number))))]);
    log.entry(&[
        (2, 2, &|commands| {
            commands.enqueue(ledger, &message("ledger", 0));
            commands.enqueue(gone, &message("gone", 0));
            commands.enqueue(ledger, &message("ledger", 1));
        }),
        (1, 3, &|commands| commands.enqueue(work, &message("work", 6))),
    ]);
    log.entry(&[(1, 4, &|commands| commands.accept(work, &[1, 2, 4]))]);
    log.entry(&[(2, 3, &|commands| commands.requeue(work, 2, &[held(3, 0), held(5, 0)]))]);
    // Sent again, and too early.
    log.entry(&[
        (1, 4, &|commands| commands.accept(work, &[1, 2, 4])),
        (2, 5, &|commands| commands.enqueue(ledger, &message("early", 0))),
        (2, 4, &|commands| commands.enqueue(ledger, &message("ledger", 2))),
    ]);
    log.entry(&[(2, 5, &|commands| commands.requeue(work, 1, &[held(3, 1), held(5, 0)]))]);
    // A leader takes back what a node has lost: of no effect once another one leads.
    log.entry(&[(1, 5, &|commands| commands.take_back(work, 2, &[held(7, 0)], 3))]);
    log.entry(&[(1, 6, &|commands| commands.take_back(work, 2, &[held(6, 0)], 2))]);
    log.entry(&[(1, 7, &|commands| commands.discard(work, &[5]))]);
    log.entry(&[(1, 8, &|commands| commands.delete(gone)), (2, 6, &|commands| commands.trim(ledger, 1))]);
    log.entry(&[(1, 9, &|commands| (7..12).for_each(|number| commands.enqueue(work, &message("work", number))))]);
    log.entry(&[(1, 10, &|commands| commands.purge(work, 9, &[3]))]);
    log.entries
}

#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
}

type Write<'a> = &'a dyn Fn(&mut CommandWriter);

impl Log {
    /// An entry of requests: node, number, and what it does.
    fn entry(&mut self, requests: &[(u64, u64, Write<'_>)]) {
        let mut bytes = BytesMut::new();
        for (node, sequence, write) in requests {
            let mut commands = CommandWriter::default();
            write(&mut commands);
            let request = Request { node: *node, session: 1, sequence: *sequence, commands: commands.take() };
            encode_request(&request, &mut bytes);
        }
        let entry = self.entries.len() as u64 + 1;
        let at = Moment { entry, term: 3, time: 1_700_000_000_000 + entry * 10 };
        self.entries.push(Entry { at, bytes: bytes.freeze() });
    }
}

fn message(queue: &str, number: u64) -> Message {
    Message {
        exchange: ExchangeName::default_exchange(),
        routing_key: RoutingKey::new(queue).unwrap(),
        properties: Properties::default(),
        body: Bytes::from(format!("{queue} {number}")),
    }
}
