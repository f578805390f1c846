//! A cluster: its brokers, their disks and links, and what happened to each.

use std::{
    collections::BTreeSet,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferrymq_broker::{FirstNode, FirstUser, Formation, Node, Settings, StartError, Timing};
use ferrymq_journal::Options;
use ferrymq_replication::simulation::{Opened, Process};
use ferrymq_testkit::Chance;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    Failure, Links, Story,
    broker::{Broker, Life},
    disk::BrokerDisk,
    front_end::USER,
    reach::Reach,
};

/// Bytes of a segment: few, so that segments come and go.
const SEGMENT_BYTES: u64 = 64 << 10;
/// How often it is looked whether a process has ended, or one is to start.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
const FORM_WITHIN: Duration = Duration::from_secs(60);

/// The processes that clients can connect to, by ordinal.
pub(crate) type Directory = Arc<Mutex<Vec<Option<(Process, Node)>>>>;

/// A cluster.
pub(crate) struct World {
    pub(crate) story: Story,
    pub(crate) links: Links,
    pub(crate) chance: Chance,
    pub(crate) brokers: Vec<Broker>,
    /// Brokers that are being emptied.
    pub(crate) draining: BTreeSet<u32>,
    pub(crate) directory: Directory,
    pub(crate) reach: Reach,
    /// Nodes, and the groups of which they have had a snapshot: they must never have nothing of these again.
    pub(crate) had_snapshot: BTreeSet<(u64, u32)>,
    began: Instant,
}

impl World {
    /// So many brokers, which form a cluster.
    ///
    /// # Errors
    ///
    /// They do not, though nothing is wrong yet.
    pub(crate) async fn form(brokers: u32, mut chance: Chance, story: Story, reach: Reach) -> Result<Self, Failure> {
        let links = Links::new(chance.branch(1), story.clone());
        let mut world = Self {
            draining: BTreeSet::new(),
            brokers: (0..brokers).map(|ordinal| Broker::new(ordinal, &mut chance)).collect(),
            directory: Arc::new(Mutex::new((0..brokers).map(|_| None).collect())),
            story,
            links,
            chance,
            reach,
            had_snapshot: BTreeSet::new(),
            began: Instant::now(),
        };
        (0..brokers).for_each(|ordinal| world.start(ordinal));
        while world.up().len() < world.brokers.len() {
            world.look()?;
            tokio::time::sleep(LOOK).await;
        }
        world.tell_to_form().await?;
        let until = Instant::now() + FORM_WITHIN;
        while !world.up().iter().all(|(_, node)| node.is_ready()) {
            if Instant::now() > until {
                return Err(world.failure("the cluster was not formed in time"));
            }
            tokio::time::sleep(LOOK).await;
        }
        world.story.tell(format_args!("{brokers} brokers have formed a cluster"));
        Ok(world)
    }

    async fn tell_to_form(&self) -> Result<(), Failure> {
        let nodes = self.up();
        let first = (0..).zip(&nodes).map(|(ordinal, (_, node))| FirstNode { ordinal, uuid: node.uuid(), zone: None });
        let user = FirstUser { name: USER.into(), password: USER.into(), loopback_only: false };
        let formation = Formation {
            cluster_id: "simulated".into(),
            nodes: first.collect(),
            default_mirrors: 3,
            users: vec![user],
            restore: None,
        };
        let Some((process, node)) = nodes.first().cloned() else { return Ok(()) };
        let formed = process.spawn(async move { node.form(formation).await.map_err(|error| error.to_string()) });
        match timeout(FORM_WITHIN, formed).await {
            Ok(Ok(Ok(()))) => Ok(()),
            other => Err(self.failure(format_args!("the cluster was not formed: {other:?}"))),
        }
    }

    pub(crate) fn failure(&self, what: impl Display) -> Failure {
        self.story.tell(format_args!("FAILED: {what}"));
        Failure(what.to_string())
    }

    /// The brokers that run, with their processes.
    pub(crate) fn up(&self) -> Vec<(Process, Node)> {
        lock(&self.directory).iter().flatten().cloned().collect()
    }

    /// The ordinals of those that run.
    pub(crate) fn ordinals_up(&self) -> Vec<u32> {
        self.brokers.iter().filter(|broker| broker.is_up()).map(|broker| broker.ordinal).collect()
    }

    pub(crate) fn broker(&mut self, ordinal: u32) -> &mut Broker {
        &mut self.brokers[ordinal as usize]
    }

    /// Starts a broker on what its disk has.
    pub(crate) fn start(&mut self, ordinal: u32) {
        let (links, began) = (self.links.clone(), self.began);
        let clock = self.broker(ordinal).clock;
        let broker = self.broker(ordinal);
        let process = Process::new(began);
        process.set_clock(clock);
        let settings = Settings {
            ordinal,
            zone: None,
            version: "simulated".into(),
            directory: "/data".into(),
            disk: Arc::new(BrokerDisk::new(broker.disk.clone(), broker.behaviour.clone())),
            journal: Options { segment_bytes: SEGMENT_BYTES, ..Options::default() },
            network: links.of(ordinal),
            peer_address: "{ordinal}".into(),
            token: "secret".into(),
            memory_used: Arc::new(|| 0),
            memory_high_water: 64 << 20,
            archiving: None,
            restore_from: None,
            timing: Timing {
                heartbeat: Duration::from_millis(250),
                election: (Duration::from_millis(800), Duration::from_millis(1400)),
            },
        };
        links.come_back(ordinal);
        let door = links.listen(ordinal);
        let starting = process.spawn(Node::start(settings, door));
        broker.life = Life::Starting { process, starting };
    }

    /// Ends the processes that failed, and starts those that are to.
    ///
    /// # Errors
    ///
    /// One does not start, for no reason that it was given.
    pub(crate) fn look(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        for Opened { node, group, pristine } in Opened::take() {
            if pristine && self.had_snapshot.contains(&(node, group)) {
                return Err(
                    self.failure(format_args!("node {node} has forgotten shard {group}, and may vote in it anew"))
                );
            }
        }
        for ordinal in (0..).take(self.brokers.len()) {
            let broker = self.broker(ordinal);
            match &mut broker.life {
                Life::Down { until: Some(until) } if *until <= now => self.start(ordinal),
                Life::Down { .. } => {}
                Life::Starting { starting, .. } if starting.is_finished() => self.started(ordinal)?,
                Life::Starting { .. } if broker.disk.is_dead() => self.power_failed(ordinal),
                Life::Starting { .. } => {}
                Life::Up { .. } if broker.disk.is_dead() => self.power_failed(ordinal),
                Life::Up { node, .. } => {
                    let failed = node.failure().borrow().clone();
                    if let Some(reason) = failed {
                        self.broker(ordinal).failed += 1;
                        self.story.tell(format_args!("broker {ordinal} gives up: {reason}"));
                        self.kill(ordinal, Some(Duration::from_millis(500)));
                    }
                }
            }
        }
        self.reach.look(now);
        Ok(())
    }

    fn power_failed(&mut self, ordinal: u32) {
        self.story.tell(format_args!("the power of broker {ordinal} fails within a write"));
        self.broker(ordinal).torn += 1;
        self.lose_power(ordinal, Some(Duration::from_millis(700)));
    }

    fn started(&mut self, ordinal: u32) -> Result<(), Failure> {
        let broker = self.broker(ordinal);
        let Life::Starting { process, starting } = std::mem::replace(&mut broker.life, Life::Down { until: None })
        else {
            return Ok(());
        };
        match now(starting) {
            Some(Ok(node)) => {
                broker.life = Life::Up { process: process.clone(), node: node.clone() };
                if let Some(place) = lock(&self.directory).get_mut(ordinal as usize) {
                    *place = Some((process, node));
                }
                Ok(())
            }
            Some(Err(error)) => {
                process.kill();
                self.did_not_start(ordinal, &error)
            }
            None => {
                self.start_later(ordinal, Duration::from_millis(500));
                Ok(())
            }
        }
    }

    fn did_not_start(&mut self, ordinal: u32, error: &StartError) -> Result<(), Failure> {
        let why = whole(error);
        let broker = self.broker(ordinal);
        let gives_up = matches!(error, StartError::Failed { .. });
        broker.failed += u64::from(gives_up);
        if gives_up || broker.disk.is_dead() || broker.is_to_fail() {
            broker.disk = broker.disk.kill();
            self.story.tell(format_args!("broker {ordinal} does not start: {why}"));
        } else {
            return Err(self.failure(format_args!("broker {ordinal} does not start: {why}")));
        }
        self.start_later(ordinal, Duration::from_secs(1));
        Ok(())
    }

    /// Puts an empty disk in the place of a broker's.
    pub(crate) fn new_volume(&mut self, ordinal: u32) {
        let seed = self.chance.any();
        self.broker(ordinal).new_volume(seed);
    }

    fn start_later(&mut self, ordinal: u32, after: Duration) {
        self.broker(ordinal).life = Life::Down { until: Some(Instant::now() + after) };
    }

    /// Ends a process without a word; it starts again after so long, where that is said.
    pub(crate) fn kill(&mut self, ordinal: u32, back_after: Option<Duration>) {
        self.end(ordinal, back_after);
        self.links.close_door(ordinal);
        let broker = self.broker(ordinal);
        broker.disk = broker.disk.kill();
    }

    /// The power of a broker's host fails.
    pub(crate) fn lose_power(&mut self, ordinal: u32, back_after: Option<Duration>) {
        self.links.go_dark(ordinal);
        self.end(ordinal, back_after);
        let broker = self.broker(ordinal);
        broker.disk = broker.disk.power_loss();
    }

    fn end(&mut self, ordinal: u32, back_after: Option<Duration>) {
        if let Some(place) = lock(&self.directory).get_mut(ordinal as usize) {
            *place = None;
        }
        self.reach.lost();
        let until = back_after.map(|after| Instant::now() + after);
        match std::mem::replace(&mut self.broker(ordinal).life, Life::Down { until }) {
            Life::Starting { process, .. } | Life::Up { process, .. } => process.kill(),
            Life::Down { .. } => {}
        }
    }

    /// Every shard has a leader and all of its mirrors, and every broker runs.
    pub(crate) async fn is_whole(&self) -> bool {
        let up = self.up();
        let Some((process, node)) = up.first().cloned() else { return false };
        if up.len() < self.brokers.len() || !up.iter().all(|(_, node)| node.is_ready()) {
            return false;
        }
        let asked = process.spawn(async move { node.cluster().await });
        let Ok(Ok(Ok(view))) = timeout(Duration::from_secs(5), asked).await else { return false };
        let known = view.nodes.len() == self.brokers.len() && view.nodes.iter().all(|node| node.reachable);
        // What went elsewhere is gone from where it was.
        let emptied = view.nodes.iter().all(|node| !node.draining || node.replicas == 0);
        known && emptied && view.shards.iter().all(ferrymq_broker::ShardView::is_healthy)
    }
}

pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a task that has ended gave; nothing where it was ended.
fn now<T>(task: JoinHandle<T>) -> Option<T> {
    let mut task = std::pin::pin!(task);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match task.as_mut().poll(&mut context) {
        std::task::Poll::Ready(ended) => ended.ok(),
        std::task::Poll::Pending => None,
    }
}

/// An error with all that it came from.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
