//! A load, the program that makes it, and what it measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::process::Process;

/// The longest that a load may take beyond what it was told: connecting, declaring, what is under way at the end.
const LEEWAY: Duration = Duration::from_secs(90);

/// What is published and consumed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Publishers, each with a connection of its own.
    pub(super) publishers: u32,
    /// Consumers, likewise.
    pub(super) consumers: u32,
    /// Queues that these are spread over.
    pub(super) queues: u32,
    /// Bytes of a message.
    pub(super) size: u32,
    /// Publishes of a publisher that may wait for their confirm.
    pub(super) confirms: u32,
    /// Messages a second of all publishers; 0: as fast as it goes.
    pub(super) rate: u32,
    /// Seconds that are measured.
    pub(super) seconds: u64,
    /// Seconds before these.
    pub(super) warm_up: u64,
}

impl Load {
    /// As both generators take it.
    pub(super) fn arguments(&self) -> Vec<String> {
        let Self { publishers, consumers, queues, size, confirms, rate, seconds, warm_up } = *self;
        let (publishers, consumers) = (u64::from(publishers), u64::from(consumers));
        let options = [
            ("--publishers", publishers),
            ("--consumers", consumers),
            ("--queues", queues.into()),
            ("--size", size.into()),
            ("--confirms", confirms.into()),
            ("--rate", rate.into()),
            ("--seconds", seconds),
            ("--warm-up", warm_up),
        ];
        options.iter().flat_map(|(option, value)| [(*option).to_owned(), value.to_string()]).collect()
    }

    /// The longest that it may take.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs(self.warm_up + self.seconds) + LEEWAY
    }
}

/// What a generator measured, as it writes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// How long it was measured for.
    pub(super) seconds: f64,
    /// Messages published.
    pub(super) published: u64,
    /// Of these confirmed.
    pub(super) confirmed: u64,
    /// Messages received.
    pub(super) received: u64,
    /// Of these marked as delivered before.
    pub(super) redelivered: u64,
    /// Publishes that were refused.
    pub(super) nacked: u64,
    /// What else went wrong.
    pub(super) errors: u64,
    /// Connections that broke, and were opened again.
    pub(super) reconnects: u64,
    /// Publishes whose confirm went with their connection.
    pub(super) lost_confirms: u64,
    /// Published a second.
    pub(super) published_per_second: f64,
    /// Confirmed a second.
    pub(super) confirmed_per_second: f64,
    /// Received a second.
    pub(super) received_per_second: f64,
    /// From publishing to the confirm.
    pub(super) confirm_ms: Option<Latency>,
    /// From publishing to being received.
    pub(super) end_to_end_ms: Option<Latency>,
    /// The longest that a publisher got no confirm while some were outstanding.
    pub(super) longest_pause_ms: f64,
}

/// In milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Latency {
    /// Half of all were at most this.
    pub(super) p50: f64,
    /// 9 of 10.
    pub(super) p90: f64,
    /// 99 of 100.
    pub(super) p99: f64,
    /// 999 of 1,000.
    pub(super) p999: f64,
    /// All.
    pub(super) max: f64,
}

/// A generator that runs.
pub(super) struct Generator {
    process: Process,
    file: PathBuf,
}

impl Generator {
    /// Starts it; it is told to write what it measured to `file`.
    ///
    /// # Errors
    ///
    /// Where it cannot be started.
    pub(super) fn start(command: &mut Command, file: &Path) -> anyhow::Result<Self> {
        // What an earlier one left is never taken for this one's.
        if file.exists() {
            fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        // What it would tell people is in the file as well.
        command.arg("--json").arg(file).stdout(Stdio::null());
        let process = Process::start("the load generator", command, None)?;
        Ok(Self { process, file: file.to_owned() })
    }

    /// # Errors
    ///
    /// Where it has ended.
    pub(super) fn check_runs(&mut self) -> anyhow::Result<()> {
        self.process.check_runs()
    }

    /// Tells it to end now, and to say what it measured so far.
    ///
    /// # Errors
    ///
    /// Where it has ended.
    pub(super) fn interrupt(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::INT)
    }

    /// Waits until it is done, and gives what it measured.
    ///
    /// # Errors
    ///
    /// Where it fails, does not end within `limit`, or does not say what it measured.
    pub(super) fn finish<T: for<'a> Deserialize<'a>>(mut self, limit: Duration) -> anyhow::Result<T> {
        self.process.finish(limit)?;
        let text = fs::read(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not what was expected", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_an_outcome_is_passed_over() {
        let text = r#"{"uri":["amqp://x"],"seconds":15.0,"published":3,"confirmed":2,"received":1,"redelivered":0,
            "nacked":0,"errors":0,"reconnects":0,"lost_confirms":1,"published_per_second":0.2,
            "confirmed_per_second":0.1,"received_per_second":0.1,
            "confirm_ms":{"p50":1.0,"p90":2.0,"p99":3.0,"p999":4.0,"max":5.0},"end_to_end_ms":null,
            "longest_pause_ms":6.0,"size":12,"publishers":1,"consumers":1,"queues":1,"blocked_seconds":0}"#;
        let outcome: Outcome = serde_json::from_str(text).unwrap();
        assert_eq!((outcome.received, outcome.end_to_end_ms.is_none()), (1, true));
        assert!(serde_json::from_str::<Outcome>(&text.replace("received", "recieved")).is_err());
    }
}
