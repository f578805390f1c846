//! How many appends a second this machine's disk takes, and how long each waits: `cargo bench -p ferrymq-journal`.
//! The journal lies under the temporary directory; set `TMPDIR` to measure another disk.

#![allow(clippy::unwrap_used, reason = "a measurement that fails ends")]

use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ferrymq_journal::{Journal, Options, Position, Record, SystemDisk};

/// How long each set-up runs.
const RUN: Duration = Duration::from_secs(4);

fn main() {
    println!(
        "{:>7} {:>7} {:>7} {:>10} {:>9} {:>9} {:>9} {:>9}",
        "bytes", "threads", "window", "appends/s", "MB/s", "p50", "p99", "max"
    );
    for (bytes, threads, window) in
        [(100, 1, 1), (100, 1, 1000), (100, 4, 10_000), (1024, 1, 1), (1024, 4, 10_000), (65536, 1, 64)]
    {
        measure(bytes, threads, window);
    }
}

/// Each thread keeps `window` records on their way, one a call.
fn measure(bytes: usize, threads: usize, window: usize) {
    let directory = tempfile::tempdir().unwrap();
    let open = || Journal::open(Arc::new(SystemDisk), directory.path(), Options::default(), &mut |_| Ok(()));
    let journal = open().unwrap();
    let payload = Bytes::from(vec![7; bytes]);
    let started = Instant::now();
    let runs: Vec<_> = (0..threads)
        .map(|stream| {
            let (journal, payload) = (journal.clone(), payload.clone());
            thread::spawn(move || run(&journal, stream as u64, &payload, window))
        })
        .collect();
    let mut waits: Vec<Duration> = runs.into_iter().flat_map(|run| run.join().unwrap()).collect();
    let seconds = started.elapsed().as_secs_f64();
    waits.sort_unstable();
    let rate = waits.len() as f64 / seconds;
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!(
        "{bytes:>7} {threads:>7} {window:>7} {rate:>10.0} {:>9.1} {:>9.1?} {:>9.1?} {:>9.1?}",
        rate * bytes as f64 / 1e6,
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

#[derive(Default)]
struct Progress {
    on_the_way: usize,
    waits: Vec<Duration>,
    dead: Vec<Position>,
}

fn run(journal: &Journal, stream: u64, payload: &Bytes, window: usize) -> Vec<Duration> {
    let progress = Arc::new((Mutex::new(Progress::default()), Condvar::new()));
    let until = Instant::now() + RUN;
    let mut previous = None;
    for sequence in 0.. {
        let mut state = progress.0.lock().unwrap();
        while state.on_the_way >= window {
            state = progress.1.wait(state).unwrap();
        }
        state.on_the_way += 1;
        // Old records are released, so that segments are recycled as in a queue that is read.
        state.dead.extend(previous);
        let dead = if state.dead.len() >= 1000 { std::mem::take(&mut state.dead) } else { Vec::new() };
        drop(state);
        journal.release_all(dead);
        let (progress, begun) = (progress.clone(), Instant::now());
        let record = Record { stream, kind: 1, sequence, payload: payload.clone().into() };
        let positions = journal.append(vec![record], move |outcome| {
            outcome.unwrap();
            let mut state = progress.0.lock().unwrap();
            state.on_the_way -= 1;
            state.waits.push(begun.elapsed());
            progress.1.notify_one();
        });
        previous = positions.unwrap().first().copied();
        if Instant::now() > until {
            break;
        }
    }
    let mut state = progress.0.lock().unwrap();
    while state.on_the_way > 0 {
        state = progress.1.wait(state).unwrap();
    }
    std::mem::take(&mut state.waits)
}
