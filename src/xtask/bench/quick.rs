//! `cargo xtask bench`: how fast the broker is. Three brokers of `ferrymq dev` on this machine, and RabbitMQ's load generator,
//! PerfTest, whose figures can be held beside RabbitMQ's own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::command::{command, exists, run as run_command, watch};
use crate::image::binary;
use crate::project::Project;

const PORT: u16 = 25_600;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds that each case is measured for
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// Bytes of a message
    #[arg(long, default_value_t = 1000)]
    size: u32,
    /// Publishes that may wait for their confirm
    #[arg(long, default_value_t = 200)]
    confirms: u32,
    /// Measure something that runs already, at this URI
    #[arg(long)]
    uri: Option<String>,
}

/// A case: its name, and what PerfTest is told.
const CASES: [(&str, &[&str]); 3] = [
    ("1,000 a second, one consumer", &["--producers", "1", "--consumers", "1", "--rate", "1000"]),
    ("one queue, one publisher, one consumer", &["--producers", "1", "--consumers", "1"]),
    // Last: it leaves its messages behind.
    ("one queue, one publisher", &["--producers", "1", "--consumers", "0"]),
];

/// # Errors
///
/// Where PerfTest or the brokers cannot be had.
pub(crate) fn run(project: &Project, options: &Options) -> anyhow::Result<()> {
    let classes = perf_test(project)?;
    let brokers = match &options.uri {
        Some(_) => None,
        None => Some(Brokers::start(project)?),
    };
    let own = format!("amqp://guest:guest@127.0.0.1:{PORT}");
    let uri = options.uri.as_deref().unwrap_or(&own);
    let mut told = Vec::new();
    for (number, (name, arguments)) in CASES.iter().enumerate() {
        println!("{name}:");
        let seconds = options.seconds.to_string();
        let mut perf_test = Command::new("java");
        perf_test.arg("-cp").arg(format!("{}/*", classes.display())).arg("com.rabbitmq.perf.PerfTest");
        perf_test.args(["--uri", uri, "--queue", &format!("bench-{number}"), "--auto-delete", "false"]);
        perf_test.args(["--flag", "persistent", "--size", &options.size.to_string(), "--time", &seconds]);
        perf_test.args(["--confirm", &options.confirms.to_string(), "--qos", "200", "--multi-ack-every", "50"]);
        perf_test.args(*arguments);
        let mut last = Vec::new();
        let succeeded = watch(&mut perf_test, |line| {
            if line.contains("sending rate avg")
                || line.contains("receiving rate avg")
                || line.contains("confirm latency")
            {
                last.push(line.to_owned());
            }
        })?;
        if !succeeded {
            bail!("PerfTest failed at: {name}");
        }
        // One line of latency is enough: the last.
        let latency = last.iter().rposition(|line| line.contains("confirm latency"));
        let summary = last.iter().enumerate().filter(|(at, line)| line.contains("avg") || Some(*at) == latency);
        told.extend(summary.map(|(_, line)| format!("measured: {name}: {line}")));
    }
    if let Some(brokers) = &brokers {
        told.push(format!("measured: memory of the three brokers in one process: {}", brokers.memory()?));
    }
    println!("{}", told.join("\n"));
    Ok(())
}

/// PerfTest's classes, fetched once.
fn perf_test(project: &Project) -> anyhow::Result<PathBuf> {
    let classes = project.cache.join("bench/perf-test");
    if classes.join("complete").exists() {
        return Ok(classes);
    }
    if !exists("mvn") {
        bail!("mvn is missing: install maven and a JDK, 17 or newer");
    }
    println!("fetching PerfTest");
    let output = format!("-DoutputDirectory={}", classes.display());
    let pom = project.root.join("tests/bench/pom.xml");
    let pom = pom.to_str().context("the checkout's path is not UTF-8")?;
    run_command(&mut command(&project.root, "mvn", &["-q", "-B", "-f", pom, "dependency:copy-dependencies", &output]))?;
    fs::write(classes.join("complete"), "")?;
    Ok(classes)
}

/// Three brokers that run.
struct Brokers {
    child: Child,
    data: PathBuf,
}

impl Brokers {
    fn start(project: &Project) -> anyhow::Result<Self> {
        let binary = binary::build(project)?;
        let data = project.cache.join("bench/data");
        remove(&data)?;
        let began = Instant::now();
        let mut dev = Command::new(binary);
        dev.args(["dev", "--base-port", &PORT.to_string(), "-f"]).arg(project.root.join("tests/bench/bench.yaml"));
        dev.arg("--data-dir").arg(&data).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = dev.spawn().context("cannot start ferrymq dev")?;
        let output = child.stdout.take().context("a child without the output that was asked for")?;
        let brokers = Self { child, data };
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next().transpose()? {
            if line.contains("bench is ready") {
                println!("three brokers were ready after {:.1} s", began.elapsed().as_secs_f64());
                // What it goes on to say is read and left, so that it never waits for a reader.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(brokers);
            }
        }
        bail!("ferrymq dev ended before it was ready")
    }

    fn memory(&self) -> anyhow::Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim_start_matches("VmRSS:").trim().to_owned())
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = remove(&self.data);
    }
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
