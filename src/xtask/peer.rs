//! RabbitMQ and NATS, by the scripts in `tests/peers`: three nodes each, to be measured beside; and one of RabbitMQ, to be
//! moved from.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::command::{self, bound, shown};
use crate::project::Project;

/// Another system, and how it is run.
pub(crate) struct Peer {
    /// Its script in `tests/peers`.
    pub(crate) script: &'static str,
    /// What its nodes run as.
    pub(crate) program: &'static str,
    /// Where clients connect.
    pub(crate) uris: &'static [&'static str],
    /// What must be on the machine.
    needs: &'static [&'static str],
    /// What its script is told besides, as environment.
    settings: &'static [(&'static str, &'static str)],
}

/// RabbitMQ, whose queues are quorum queues.
pub(crate) const RABBITMQ: Peer = Peer {
    script: "rabbitmq.sh",
    program: "beam.smp",
    uris: &[
        "amqp://guest:guest@127.0.0.1:25700/%2f",
        "amqp://guest:guest@127.0.0.1:25701/%2f",
        "amqp://guest:guest@127.0.0.1:25702/%2f",
    ],
    needs: &["debootstrap", "unshare"],
    settings: &[],
};

/// One node of RabbitMQ with its management API, beside those that are measured.
pub(crate) const RABBITMQ_ALONE: Peer = Peer {
    uris: &["amqp://guest:guest@127.0.0.1:25740/%2f"],
    settings: &[("NODES", "1"), ("PORT", "25740"), ("PLUGINS", "rabbitmq_management")],
    ..RABBITMQ
};

/// Its management API.
pub(crate) const RABBITMQ_ALONE_MANAGEMENT: &str = "http://127.0.0.1:25755";

/// NATS JetStream, whose streams have three replicas, and which syncs always.
pub(crate) const NATS: Peer = Peer {
    script: "nats.sh",
    program: "nats-server",
    uris: &["nats://127.0.0.1:25720", "nats://127.0.0.1:25721", "nats://127.0.0.1:25722"],
    needs: &["go", "setpriv"],
    settings: &[],
};

/// Where the peers are installed, built and run.
pub(crate) fn folder(project: &Project) -> PathBuf {
    project.cache.join("peers")
}

impl Peer {
    /// Installs or builds it, once.
    ///
    /// # Errors
    ///
    /// Where something is missing on the machine, or the script fails.
    pub(crate) fn prepare(&self, project: &Project) -> anyhow::Result<()> {
        for program in self.needs {
            if !command::exists(program) {
                bail!("{program} is missing, which {} needs: install it, or leave out what needs it", self.script);
            }
        }
        command::run(&mut self.step(project, "prepare")?)
    }

    /// Starts its nodes, and waits until they are one cluster.
    ///
    /// # Errors
    ///
    /// Where they do not become one.
    pub(crate) fn start(&'static self, project: &Project) -> anyhow::Result<Nodes> {
        let mut run = self.step(project, "run")?;
        let child = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("cannot start {}", shown(&run)))?;
        let output = child.stdout.take().context("a child without the output that was asked for")?;
        let mut nodes = Nodes { peer: self, child, version: String::new() };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        match line.trim().strip_prefix("ready: ") {
            Some(version) => version.clone_into(&mut nodes.version),
            None => bail!("{} ended before its nodes were a cluster", self.script),
        }
        Ok(nodes)
    }

    fn step(&self, project: &Project, step: &str) -> anyhow::Result<Command> {
        let mut command = bound(&project.root.join("tests/peers").join(self.script))?;
        command.arg(step).env("PEERS", folder(project)).envs(self.settings.iter().copied());
        Ok(command)
    }
}

/// Nodes that run, and end when this is dropped.
pub(crate) struct Nodes {
    /// What they are of.
    pub(crate) peer: &'static Peer,
    child: Child,
    /// What runs, as it says itself.
    pub(crate) version: String,
}

impl Nodes {
    /// The process that their processes are under.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // The script ends with its standard input, and all its nodes with it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
