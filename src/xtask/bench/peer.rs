//! RabbitMQ and NATS: three nodes each, by the scripts in `tests/peers`.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use super::process::bound;
use super::usage;
use crate::command::{self, shown};
use crate::project::Project;

/// Another system, and how it is run.
pub(super) struct Peer {
    /// Its script in `tests/peers`.
    pub(super) script: &'static str,
    /// What its nodes run as.
    pub(super) program: &'static str,
    /// Where clients connect.
    pub(super) uris: [&'static str; 3],
    /// What must be on the machine.
    pub(super) needs: &'static [&'static str],
}

/// RabbitMQ, whose queues are quorum queues.
pub(super) const RABBITMQ: Peer = Peer {
    script: "rabbitmq.sh",
    program: "beam.smp",
    uris: [
        "amqp://guest:guest@127.0.0.1:25700/%2f",
        "amqp://guest:guest@127.0.0.1:25701/%2f",
        "amqp://guest:guest@127.0.0.1:25702/%2f",
    ],
    needs: &["debootstrap", "unshare"],
};

/// NATS JetStream, whose streams have three replicas, and which syncs always.
pub(super) const NATS: Peer = Peer {
    script: "nats.sh",
    program: "nats-server",
    uris: ["nats://127.0.0.1:25720", "nats://127.0.0.1:25721", "nats://127.0.0.1:25722"],
    needs: &["go", "setpriv"],
};

/// Where the peers are installed, built and run.
pub(super) fn folder(project: &Project) -> PathBuf {
    project.cache.join("peers")
}

impl Peer {
    /// Installs or builds it, once.
    ///
    /// # Errors
    ///
    /// Where something is missing on the machine, or the script fails.
    pub(super) fn prepare(&self, project: &Project) -> anyhow::Result<()> {
        for program in self.needs {
            if !command::exists(program) {
                bail!(
                    "{program} is missing, which {} needs: install it, or leave the system out with --only",
                    self.script
                );
            }
        }
        command::run(&mut self.step(project, "prepare")?)
    }

    /// Starts its three nodes, and waits until they are one cluster.
    ///
    /// # Errors
    ///
    /// Where they do not become one.
    pub(super) fn start(&'static self, project: &Project) -> anyhow::Result<Nodes> {
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
        command.arg(step).env("PEERS", folder(project));
        Ok(command)
    }
}

/// Three nodes that run.
pub(super) struct Nodes {
    peer: &'static Peer,
    child: Child,
    /// What runs, as it says itself.
    pub(super) version: String,
}

impl Nodes {
    /// Their processes.
    ///
    /// # Errors
    ///
    /// Where there are not three.
    pub(super) fn ids(&self) -> anyhow::Result<Vec<u32>> {
        let found = usage::descendants(self.child.id(), self.peer.program)?;
        if found.len() != self.peer.uris.len() {
            bail!("{} processes run {}, and not {}", found.len(), self.peer.program, self.peer.uris.len());
        }
        Ok(found)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // The script ends with its standard input, and all its nodes with it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
