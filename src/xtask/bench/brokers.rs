//! FerryMQ: three brokers on the loopback, each a process of its own, formed as the operator forms them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use ferrymq_admin_api::{
    Adoption, ArchiveConfiguration, ArchiveView, BackupRequest, BackupView, CallError, Client, ClusterStatus,
    Configuration, Formation, Listener, Member, NewUser, Owner, Protocol, QueueInTopic, Reason, RestoreOrder,
    TopicDeclaration,
};
use rustix::process::Signal;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::load::{Generator, Load};
use super::process::{Process, remove, until};
use crate::command::bound;

/// How many there are.
pub(super) const BROKERS: usize = 3;

const CLIENTS: u16 = 25_600;
const LINKS: &str = "127.0.0.1:2561{ordinal}";
const ADMIN: u16 = 25_620;

/// The longest that brokers may take to serve again: a long journal is read first.
const START_LIMIT: Duration = Duration::from_secs(600);
/// The longest that one may take to hand over and stop.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The share of the machine's memory that messages in all brokers may take, as brokers with a machine each would.
const MEMORY_SHARE: f64 = 0.4;

/// How brokers are started.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// How many.
    pub(super) brokers: usize,
    /// Where they archive what they have.
    pub(super) archive: Option<ArchiveConfiguration>,
    /// Which archive they begin with, and what of it.
    pub(super) restore: Option<(ArchiveConfiguration, RestoreOrder)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { brokers: BROKERS, archive: None, restore: None }
    }
}

/// Brokers that are one cluster: three of them, where nothing else was planned.
pub(super) struct Brokers {
    binary: PathBuf,
    folder: PathBuf,
    runtime: Runtime,
    clients: Vec<Client>,
    processes: Vec<Option<Process>>,
}

impl Brokers {
    /// Starts new ones, and waits until they are a cluster that serves. `folder` is theirs alone; `memory_bytes` is what
    /// the machine has.
    ///
    /// # Errors
    ///
    /// Where one does not start, or they do not become a cluster.
    pub(super) fn start(binary: &Path, folder: &Path, memory_bytes: u64, plan: &Plan) -> anyhow::Result<Self> {
        let mut brokers = Self::unformed(binary, folder, memory_bytes, plan)?;
        brokers.form(plan.restore.as_ref().map(|(_, order)| order.clone()))?;
        Ok(brokers)
    }

    /// Starts new ones that belong to no cluster yet.
    ///
    /// # Errors
    ///
    /// Where one does not start.
    pub(super) fn unformed(binary: &Path, folder: &Path, memory_bytes: u64, plan: &Plan) -> anyhow::Result<Self> {
        remove(folder)?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let token = Uuid::new_v4().simple().to_string();
        fs::write(folder.join("token"), &token)?;
        let mut clients = Vec::new();
        for ordinal in 0..plan.brokers {
            let configuration = configuration(folder, ordinal, memory_bytes, plan);
            fs::write(folder.join(format!("{ordinal}.json")), serde_json::to_vec_pretty(&configuration)?)?;
            clients.push(Client::new(&format!("http://{}", configuration.admin_listen), &token)?);
        }
        let mut brokers = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            clients,
            processes: (0..plan.brokers).map(|_| None).collect(),
        };
        (0..plan.brokers).try_for_each(|ordinal| brokers.start_one(ordinal))?;
        Ok(brokers)
    }

    /// Starts one that does not run.
    ///
    /// # Errors
    ///
    /// Where it cannot be started.
    pub(super) fn start_one(&mut self, ordinal: usize) -> anyhow::Result<()> {
        let name = format!("bench-{ordinal}");
        let mut command = bound(&self.binary)?;
        command.args(["broker", "--config"]).arg(self.folder.join(format!("{ordinal}.json")));
        command.env("FERRYMQ_NODE_NAME", &name);
        let process = Process::start(&name, &mut command, Some(&self.folder.join(format!("{name}.log"))))?;
        *self.slot(ordinal)? = Some(process);
        Ok(())
    }

    /// Tells one to stop, and waits until it has handed over and is gone.
    ///
    /// # Errors
    ///
    /// Where it does not run, or does not stop in time.
    pub(super) fn stop_one(&mut self, ordinal: usize) -> anyhow::Result<()> {
        let mut process = self.slot(ordinal)?.take().context("the broker does not run")?;
        process.signal(Signal::TERM)?;
        process.finish(STOP_LIMIT)
    }

    /// Kills one.
    ///
    /// # Errors
    ///
    /// Where it does not run.
    pub(super) fn kill_one(&mut self, ordinal: usize) -> anyhow::Result<()> {
        self.slot(ordinal)?.take().context("the broker does not run")?.kill()
    }

    /// Starts all that do not run, and waits until the cluster is whole; how long that took.
    ///
    /// # Errors
    ///
    /// Where it does not become whole.
    pub(super) fn start_all(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        for ordinal in 0..self.processes.len() {
            if self.slot(ordinal)?.is_none() {
                self.start_one(ordinal)?;
            }
        }
        self.await_healthy()?;
        Ok(began.elapsed())
    }

    /// The processes that run.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.processes.iter().flatten().map(Process::id).collect()
    }

    /// Where a broker keeps its data.
    pub(super) fn data(&self, ordinal: usize) -> PathBuf {
        data(&self.folder, ordinal)
    }

    /// The cluster, as any broker sees it.
    ///
    /// # Errors
    ///
    /// Where none answers.
    pub(super) fn status(&self) -> anyhow::Result<ClusterStatus> {
        let found = self.clients.iter().find_map(|client| self.runtime.block_on(client.cluster()).ok());
        found.context("no broker tells how the cluster is")
    }

    /// Waits until every broker serves, every shard has a leader, and all mirrors are in sync.
    ///
    /// # Errors
    ///
    /// Where one has ended, or that does not come about.
    pub(super) fn await_healthy(&mut self) -> anyhow::Result<()> {
        let what =
            format!("the brokers did not become a healthy cluster; their logs are in {};", self.folder.display());
        until(&what, START_LIMIT, || {
            for process in self.processes.iter_mut().flatten() {
                process.check_runs()?;
            }
            let serves = |client: &Client| self.runtime.block_on(client.ready()).unwrap_or(false);
            let healthy = self.clients.iter().all(serves)
                && self.clients.iter().all(|client| {
                    let status = self.runtime.block_on(client.cluster());
                    status.is_ok_and(|status| status.shards.iter().all(|shard| shard.healthy))
                });
            Ok(healthy.then_some(()))
        })
    }

    /// Declares a queue with a mirror on every broker.
    ///
    /// # Errors
    ///
    /// Where it is refused.
    pub(super) fn declare(&self, queue: &str) -> anyhow::Result<()> {
        let declaration = TopicDeclaration {
            virtual_host: "/".to_owned(),
            name: format!("{queue}-topic"),
            owner: Owner { name: "bench".to_owned(), uid: "bench".to_owned() },
            adoption: Adoption::AdoptIfCompatible,
            exchange_type: "fanout".to_owned(),
            mirrors: None,
            bindings: Vec::new(),
            queues: vec![QueueInTopic { name: queue.to_owned(), routing_keys: Vec::new() }],
            log: None,
        };
        let client = self.clients.first().context("there are brokers")?;
        self.runtime.block_on(client.declare_topic(&declaration))?;
        Ok(())
    }

    /// The broker that leads a queue now.
    ///
    /// # Errors
    ///
    /// Where nobody leads it.
    pub(super) fn leader(&self, queue: &str) -> anyhow::Result<usize> {
        let client = self.clients.first().context("there are brokers")?;
        let leader = until(&format!("{queue} got no leader"), STOP_LIMIT, || {
            let topics = self.runtime.block_on(client.topics())?;
            let mut queues = topics.topics.iter().flat_map(|topic| &topic.queues);
            Ok(queues.find(|view| view.name == queue).and_then(|view| view.leader))
        })?;
        let nodes = self.status()?.nodes;
        let node = nodes.iter().find(|node| node.id == leader).context("the leader is no node of the cluster")?;
        Ok(usize::try_from(node.ordinal)?)
    }

    /// Starts a load, with further options for the generator; what it measures goes to `file`.
    ///
    /// # Errors
    ///
    /// Where the generator cannot be started.
    pub(super) fn load(&self, load: &Load, options: &[&str], file: &Path) -> anyhow::Result<Generator> {
        let arguments = load.arguments();
        let options = arguments.iter().map(String::as_str).chain(options.iter().copied());
        Generator::start(generator(&self.binary, &uris())?.args(options), file)
    }

    /// Starts the declaration of many queues, as [`load`](Self::load) starts a load.
    ///
    /// # Errors
    ///
    /// Where the generator cannot be started.
    pub(super) fn declare_many(&self, count: u32, connections: u32, file: &Path) -> anyhow::Result<Generator> {
        let mut command = bound(&self.binary)?;
        command.args(["bench", "queues", "--quiet", "--uri", &uris().join(",")]);
        command.args(["--count", &count.to_string(), "--connections", &connections.to_string()]);
        Generator::start(&mut command, file)
    }

    /// How it is with what each broker archives.
    ///
    /// # Errors
    ///
    /// Where one does not answer, or archives nothing.
    pub(super) fn archives(&self) -> anyhow::Result<Vec<ArchiveView>> {
        let view = |client: &Client| {
            self.runtime.block_on(client.node())?.archive.context("the broker was not told to archive")
        };
        self.clients.iter().map(view).collect()
    }

    /// Has a backup made, or asks how far it is.
    ///
    /// # Errors
    ///
    /// Where it is refused.
    pub(super) fn back_up(&self, name: &str) -> anyhow::Result<BackupView> {
        let client = self.clients.first().context("there are brokers")?;
        Ok(self.runtime.block_on(client.back_up(&BackupRequest { name: name.to_owned(), made_for: None }))?)
    }

    /// Makes them one cluster, and waits until that serves.
    ///
    /// # Errors
    ///
    /// Where they do not become one.
    pub(super) fn form(&mut self, restore: Option<RestoreOrder>) -> anyhow::Result<()> {
        let mut members = Vec::new();
        for client in &self.clients {
            let node = until(&format!("{} did not answer", client.base()), STOP_LIMIT, || {
                Ok(self.runtime.block_on(client.node()).ok())
            })?;
            members.push(Member { ordinal: node.ordinal, uuid: node.uuid, zone: None });
        }
        let guest = NewUser { name: "guest".to_owned(), password: "guest".to_owned(), loopback_only: true };
        let formation = Formation {
            cluster_id: Uuid::new_v4().to_string(),
            members,
            default_mirrors: u8::try_from(self.clients.len())?,
            users: vec![guest],
            restore,
        };
        let first = self.clients.first().context("there are brokers")?;
        // They say so while they still read an archive.
        until("the brokers were not formed", START_LIMIT, || match self.runtime.block_on(first.form(&formation)) {
            Ok(()) => Ok(Some(())),
            Err(CallError::Refused(refusal)) if refusal.reason == Reason::Unavailable => Ok(None),
            Err(error) => Err(error.into()),
        })?;
        self.await_healthy()
    }

    fn slot(&mut self, ordinal: usize) -> anyhow::Result<&mut Option<Process>> {
        match self.processes.get_mut(ordinal) {
            Some(slot) => Ok(slot),
            None => bail!("there is no broker {ordinal}"),
        }
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        // Before the folder goes. Logs of what went wrong stay.
        self.processes.clear();
        for ordinal in 0..self.clients.len() {
            let _ = remove(&self.data(ordinal));
        }
    }
}

/// `ferrymq bench`, without a load yet.
///
/// # Errors
///
/// As [`bound`].
pub(super) fn generator(binary: &Path, uris: &[String]) -> anyhow::Result<Command> {
    let mut command = bound(binary)?;
    command.args(["bench", "--uri", &uris.join(","), "--ack-every", "50"]);
    Ok(command)
}

/// Where clients connect.
pub(super) fn uris() -> Vec<String> {
    (CLIENTS..).take(BROKERS).map(|port| format!("amqp://guest:guest@127.0.0.1:{port}/%2f")).collect()
}

fn data(folder: &Path, ordinal: usize) -> PathBuf {
    folder.join(format!("data-{ordinal}"))
}

fn configuration(folder: &Path, ordinal: usize, memory_bytes: u64, plan: &Plan) -> Configuration {
    let port = |base: u16| format!("127.0.0.1:{}", usize::from(base) + ordinal);
    Configuration {
        cluster: "bench".to_owned(),
        data_directory: data(folder, ordinal),
        peer_address: LINKS.to_owned(),
        link_listen: LINKS.to_owned(),
        admin_listen: port(ADMIN),
        metrics_listen: None,
        token_file: folder.join("token"),
        listeners: vec![Listener {
            name: "amqp".to_owned(),
            protocol: Protocol::Amqp,
            address: port(CLIENTS),
            tls: None,
        }],
        internal_tls: None,
        memory_high_water_bytes: Some((memory_bytes as f64 * MEMORY_SHARE) as u64 / BROKERS as u64),
        archive: plan.archive.clone(),
        restore_from: plan.restore.as_ref().map(|(archive, _)| archive.clone()),
    }
}
