//! `ferrymq-simulate`: seeds, one after another, until one breaks a promise.
//!
//! Each seed has a process of its own: what a library keeps for a whole process (a counter that seeds its random numbers,
//! say) would make a seed depend on those before it.

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    process::{Command, ExitCode},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use ferrymq_simulation::{Coverage, Flaw, Outcome, simulate};

/// A seed takes a second or two. One that takes this long goes round in circles, and its process ends.
const ENDS_WITHIN: Duration = Duration::from_secs(300);
/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Simulates clusters whose disks, links and clocks fail.
#[derive(Parser)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// This one only, with its whole story
    #[arg(long)]
    seed: Option<u64>,
    /// How many at a time; as many as the machine has processors, by default
    #[arg(long)]
    threads: Option<usize>,
    /// Go on after a seed that fails
    #[arg(long)]
    keep_going: bool,
    /// Break a promise on purpose, to see it noticed
    #[arg(long, value_parser = flaw)]
    flaw: Option<Flaw>,
    /// With --seed: what came of it, as JSON
    #[arg(long, requires = "seed")]
    json: bool,
}

fn flaw(name: &str) -> Result<Flaw, String> {
    let names = || Flaw::ALL.map(Flaw::name).join(", ");
    Flaw::ALL.into_iter().find(|flaw| flaw.name() == name).ok_or_else(|| format!("there are {}", names()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("FERRYMQ_LOG");
    if let Ok(filter) = filter {
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    }
}

/// Ends this process where the seed does not end: time that is simulated stands still while something is always to be done.
fn watch(seed: u64) {
    std::thread::spawn(move || {
        std::thread::sleep(ENDS_WITHIN);
        eprintln!("seed {seed} did not end within {} s", ENDS_WITHIN.as_secs());
        std::process::exit(1);
    });
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    watch(seed);
    match simulate(seed, arguments.flaw) {
        Ok(outcome) => {
            if arguments.json {
                match serde_json::to_string(&outcome) {
                    Ok(text) => println!("{text}"),
                    Err(error) => eprintln!("cannot tell what came of seed {seed}: {error}"),
                }
            } else {
                outcome.story.iter().for_each(|line| println!("{line}"));
                println!("seed {seed}: {} messages confirmed, trace {:016x}", outcome.confirmed, outcome.trace);
            }
            ExitCode::from(u8::from(outcome.failure.is_some()))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A seed in a process of its own.
fn apart(seed: u64, flaw: Option<Flaw>) -> Result<Outcome, String> {
    let itself = std::env::current_exe().map_err(|error| format!("this program is not found: {error}"))?;
    let mut command = Command::new(itself);
    command.args(["--json", "--seed", &seed.to_string()]);
    if let Some(flaw) = flaw {
        command.args(["--flaw", flaw.name()]);
    }
    let output = command.output().map_err(|error| format!("no process for seed {seed}: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("seed {seed} ended without a word: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// What came of all seeds so far.
struct Sum {
    began: Instant,
    told: Instant,
    seeds: u64,
    done: u64,
    confirmed: usize,
    simulated: u64,
    coverage: Coverage,
    failed: BTreeMap<u64, Result<Outcome, String>>,
}

fn many(arguments: &Arguments) -> ExitCode {
    let threads = arguments.threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let (next, end) = (AtomicU64::new(arguments.first), arguments.first.saturating_add(arguments.seeds));
    let sum = Mutex::new(Sum::new(arguments.seeds));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = apart(seed, arguments.flaw);
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.add(seed, outcome);
                    if !sum.failed.is_empty() && !arguments.keep_going {
                        return;
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    sum.print();
    ExitCode::from(u8::from(!sum.failed.is_empty()))
}

impl Sum {
    fn new(seeds: u64) -> Self {
        let now = Instant::now();
        let (coverage, failed) = (Coverage::default(), BTreeMap::new());
        Self { began: now, told: now, seeds, done: 0, confirmed: 0, simulated: 0, coverage, failed }
    }

    fn add(&mut self, seed: u64, outcome: Result<Outcome, String>) {
        self.done += 1;
        if let Ok(outcome) = &outcome {
            self.confirmed += outcome.confirmed;
            self.simulated += outcome.simulated;
            self.coverage.add(&outcome.coverage);
        }
        match &outcome {
            Ok(Outcome { failure: None, .. }) => {}
            Ok(Outcome { failure: Some(failure), .. }) => println!("seed {seed} failed: {}", failure.0),
            Err(error) => println!("{error}"),
        }
        if outcome.as_ref().map_or(true, |outcome| outcome.failure.is_some()) {
            self.failed.insert(seed, outcome);
        }
        if self.told.elapsed() >= TELL_EVERY && std::io::stdout().is_terminal() || self.done.is_multiple_of(500) {
            self.told = Instant::now();
            println!("{} of {} seeds in {} s", self.done, self.seeds, self.began.elapsed().as_secs());
        }
    }

    fn print(&self) {
        self.coverage.lines().iter().for_each(|line| println!("{line}"));
        println!(
            "measured: {} seeds in {:.1} s: {} s of clusters, {} messages confirmed, {} seeds failed",
            self.done,
            self.began.elapsed().as_secs_f64(),
            self.simulated / 1000,
            self.confirmed,
            self.failed.len()
        );
        if let Some((seed, outcome)) = self.failed.first_key_value() {
            println!("the story of seed {seed}, the first that failed of {:?}:", self.failed.keys());
            match outcome {
                Ok(outcome) => outcome.story.iter().for_each(|line| println!("{line}")),
                Err(error) => println!("{error}"),
            }
            println!("again: cargo xtask simulate --seed {seed}");
        }
    }
}
