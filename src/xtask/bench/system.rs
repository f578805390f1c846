//! The systems that are measured, and how each is started and put under load.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::brokers::{Brokers, Plan, generator, uris};
use super::load::{Generator, Load};
use super::usage;
use crate::command::bound;
use crate::image::binary;
use crate::peer::{self, NATS, Nodes, RABBITMQ};
use crate::project::Project;

/// A system; they are measured in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum System {
    /// This one.
    Ferrymq,
    /// Its quorum queues.
    Rabbitmq,
    /// JetStream, with three replicas, syncing always.
    Nats,
}

impl System {
    /// As people write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ferrymq => "FerryMQ",
            Self::Rabbitmq => "RabbitMQ",
            Self::Nats => "NATS",
        }
    }
}

/// What it takes to start systems.
pub(super) struct Place<'a> {
    project: &'a Project,
    /// `ferrymq`: the broker, and the generator for AMQP.
    pub(super) binary: PathBuf,
    /// For all that is kept and written.
    pub(super) folder: PathBuf,
    /// Bytes of memory that the machine has.
    memory_bytes: u64,
}

impl<'a> Place<'a> {
    /// Builds and installs what `systems` need. `binary` is taken instead of building one.
    ///
    /// # Errors
    ///
    /// Where something is missing, or cannot be built.
    pub(super) fn prepare(
        project: &'a Project,
        systems: &[System],
        binary: Option<PathBuf>,
        memory_bytes: u64,
    ) -> anyhow::Result<Self> {
        for system in systems {
            match system {
                System::Ferrymq => {}
                System::Rabbitmq => RABBITMQ.prepare(project)?,
                System::Nats => NATS.prepare(project)?,
            }
        }
        let binary = match binary {
            Some(binary) => std::path::absolute(binary)?,
            None => binary::build(project)?,
        };
        let folder = peer::folder(project);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { project, binary, folder, memory_bytes })
    }

    /// Starts three nodes of a system, and waits until they are one cluster.
    ///
    /// # Errors
    ///
    /// Where they do not become one.
    pub(super) fn start(&self, system: System) -> anyhow::Result<Running<'_>> {
        let nodes = match system {
            System::Ferrymq => Kind::Ferrymq(self.brokers()?),
            System::Rabbitmq => Kind::Rabbitmq(RABBITMQ.start(self.project)?),
            System::Nats => Kind::Nats(NATS.start(self.project)?),
        };
        Ok(Running { place: self, nodes })
    }

    /// Starts three brokers of FerryMQ.
    ///
    /// # Errors
    ///
    /// Where they do not become a cluster.
    pub(super) fn brokers(&self) -> anyhow::Result<Brokers> {
        self.planned(&Plan::default())
    }

    /// Starts brokers of FerryMQ as planned.
    ///
    /// # Errors
    ///
    /// Where they do not become a cluster.
    pub(super) fn planned(&self, plan: &Plan) -> anyhow::Result<Brokers> {
        Brokers::start(&self.binary, &self.folder.join("ferrymq"), self.memory_bytes, plan)
    }

    /// Starts brokers of FerryMQ as planned, which belong to no cluster yet.
    ///
    /// # Errors
    ///
    /// Where one does not start.
    pub(super) fn unformed(&self, plan: &Plan) -> anyhow::Result<Brokers> {
        Brokers::unformed(&self.binary, &self.folder.join("ferrymq"), self.memory_bytes, plan)
    }

    /// Where a generator writes what it measured.
    pub(super) fn outcome(&self) -> PathBuf {
        self.folder.join("outcome.json")
    }
}

/// Three nodes of a system that run, and end when this is dropped.
pub(super) struct Running<'a> {
    place: &'a Place<'a>,
    nodes: Kind,
}

enum Kind {
    Ferrymq(Brokers),
    Rabbitmq(Nodes),
    Nats(Nodes),
}

impl Running<'_> {
    /// Name and version.
    pub(super) fn version(&self) -> anyhow::Result<String> {
        match &self.nodes {
            Kind::Ferrymq(_) => Ok(format!("FerryMQ {}", self.place.project.version()?)),
            Kind::Rabbitmq(nodes) | Kind::Nats(nodes) => Ok(nodes.version.clone()),
        }
    }

    /// The processes of its nodes.
    pub(super) fn ids(&self) -> anyhow::Result<Vec<u32>> {
        match &self.nodes {
            Kind::Ferrymq(brokers) => Ok(brokers.ids()),
            Kind::Rabbitmq(nodes) | Kind::Nats(nodes) => ids(nodes),
        }
    }

    /// Puts a load on it, on queues that are gone after it.
    ///
    /// # Errors
    ///
    /// Where the generator cannot be started.
    pub(super) fn load(&self, load: &Load) -> anyhow::Result<Generator> {
        let owned = |uris: &[&str]| uris.iter().map(|uri| (*uri).to_owned()).collect::<Vec<_>>();
        let mut command = match &self.nodes {
            Kind::Ferrymq(_) => generator(&self.place.binary, &uris())?,
            Kind::Rabbitmq(_) => {
                let mut command = generator(&self.place.binary, &owned(RABBITMQ.uris))?;
                command.args(["--queue-type", "quorum"]);
                command
            }
            Kind::Nats(_) => {
                let mut command = bound(&self.place.folder.join("bin/nats-load"))?;
                command.args(["--uri", &NATS.uris.join(",")]);
                command
            }
        };
        if !matches!(self.nodes, Kind::Nats(_)) {
            command.args(["--delete", "--quiet"]);
        }
        Generator::start(command.args(load.arguments()), &self.place.outcome())
    }
}

/// The processes of the nodes.
fn ids(nodes: &Nodes) -> anyhow::Result<Vec<u32>> {
    let (program, count) = (nodes.peer.program, nodes.peer.uris.len());
    let found = usage::descendants(nodes.id(), program)?;
    if found.len() != count {
        bail!("{} processes run {program}, and not {count}", found.len());
    }
    Ok(found)
}
