//! From the start to the clean stop.

use std::{
    future::Future,
    io::{self, Write},
    path::PathBuf,
    pin::pin,
    time::{Duration, Instant},
};

use ferrymq_admin_api::{Client, ClientError, Configuration, Listener, Protocol};
use ferrymq_api::ListenerProtocol;

use super::{
    Arguments, CertificateError, DesiredError, Launch, PlaceError, PortError, certificate,
    crew::Crew,
    desired::{self, Desired},
    formation::Record,
    place::Place,
    ports::Ports,
    reconciler::{Reconciler, Seen},
    report::{BrokerLine, Report},
    watch::{self, Look, Watch},
};

/// Memory beyond which publishers wait, where the file says nothing: all brokers share one process.
const MEMORY: u64 = 2 << 30;

/// What changes all the time is shown this often.
const SHOW_AT_LEAST: Duration = Duration::from_secs(2);

/// Why dev does not run, or does not run any more.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The file cannot be read.
    #[error("cannot read {file}: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file asks for nothing that can be run.
    #[error(transparent)]
    Desired(#[from] DesiredError),
    /// Brokers cannot listen.
    #[error(transparent)]
    Ports(#[from] PortError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// There is no certificate for listeners with TLS.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The token is none.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A broker does not start.
    #[error("{broker} does not start: {why}")]
    Start {
        /// Its name.
        broker: String,
        /// Why not.
        why: String,
    },
    /// A broker ended by itself. The others were stopped.
    #[error("{broker} ended: {why}")]
    Ended {
        /// Its name.
        broker: String,
        /// Why.
        why: String,
    },
}

/// Runs the cluster of a file until `stop` is done. What people should see is written to `out`.
///
/// # Errors
///
/// [`DevError`]; everything that was started is stopped by then.
pub async fn run<L: Launch>(
    arguments: &Arguments,
    launch: &L,
    stop: impl Future<Output = ()>,
    out: &mut (dyn Write + Send),
) -> Result<(), DevError> {
    let file = arguments.file.display().to_string();
    let text = tokio::fs::read(&arguments.file).await.and_then(watch::text);
    let text = text.map_err(|source| DevError::File { file: arguments.file.clone(), source })?;
    let desired = Desired::read(&text, &file)?;
    let cluster = desired.cluster.clone();

    let place = Place::take(&arguments.data_dir, &cluster.name)?;
    // What was formed stays as it is, whatever the file says by now.
    let record: Option<Record> = place.read(Record::FILE)?;
    let members = record.as_ref().and_then(|record| u32::try_from(record.members.len()).ok());
    let brokers = members.unwrap_or(cluster.replicas);
    let mirrors = record.map_or(cluster.mirrors, |record| record.default_mirrors);
    let ports = Ports::new(&cluster, brokers, arguments.base_port)?;
    ports.check_free(&cluster.name)?;
    let (token_file, token) = place.token()?;
    let certificate = certificate::certificate(&place, &cluster)?;

    let mut configurations = Vec::new();
    let mut clients = Vec::new();
    for ordinal in 0..brokers {
        let name = format!("{}-{ordinal}", cluster.name);
        let listeners = cluster.listeners.iter().map(|listener| Listener {
            name: listener.name.clone(),
            protocol: match listener.protocol {
                ListenerProtocol::Amqp => Protocol::Amqp,
            },
            address: ports.listener(&listener.name, ordinal),
            tls: certificate.as_ref().filter(|_| listener.tls).map(|made| made.directory.clone()),
        });
        let configuration = Configuration {
            cluster: cluster.name.clone(),
            data_directory: place.path(&name),
            peer_address: ports.link(),
            link_listen: ports.link(),
            admin_listen: ports.admin(ordinal),
            metrics_listen: None,
            token_file: token_file.clone(),
            listeners: listeners.collect(),
            internal_tls: None,
            memory_high_water_bytes: Some(cluster.memory_high_water.unwrap_or(MEMORY)),
            archive: None,
            restore_from: None,
        };
        // For `ctl`.
        place.write(&configuration_file(&cluster.name, ordinal), &configuration)?;
        clients.push(Client::new(&format!("http://{}", configuration.admin_listen), &token)?);
        configurations.push(configuration);
    }

    say(out, &format!("{}: starting {brokers} brokers; their data is in {}\n", cluster.name, place.root().display()));
    let screen = Screen {
        cluster: cluster.name.clone(),
        lines: configurations.iter().zip(0..).map(|(configuration, ordinal)| line(configuration, ordinal)).collect(),
        configuration: place.path(&configuration_file(&cluster.name, 0)).display().to_string(),
        authority: certificate.map(|made| made.authority.display().to_string()),
        shown: None,
        last: None,
    };
    let reconciler = Reconciler::new(cluster.name.clone(), place, clients, mirrors)?;

    let mut stop = pin!(stop);
    let started = tokio::select! {
        () = &mut stop => return Ok(()),
        started = Crew::start(launch, &configurations) => started,
    };
    let named = |ordinal: u32| format!("{}-{ordinal}", cluster.name);
    let mut crew = started.map_err(|(ordinal, why)| DevError::Start { broker: named(ordinal), why })?;

    let mut supervision = Supervision { reconciler, screen, running: desired, brokers, mirrors, notes: Vec::new() };
    let watch = Watch::new(arguments.file.clone(), text);
    let ended = tokio::select! {
        () = &mut stop => Ok(()),
        (ordinal, why) = crew.one_ended() => Err(DevError::Ended { broker: named(ordinal), why }),
        () = supervision.go_on(watch, &file, out) => Ok(()),
    };
    say(out, "stopping\n");
    if crew.stop().await {
        say(out, "stopped\n");
    } else {
        say(out, "some brokers did not stop in time, and were cut off; what was confirmed is on disk\n");
    }
    ended
}

/// Done when the process is asked to stop: Ctrl-C, or the signal to terminate.
pub async fn asked_to_stop() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    interrupt.await;
}

/// What goes on while the brokers run.
struct Supervision {
    reconciler: Reconciler,
    screen: Screen,
    /// The last good state of the file.
    running: Desired,
    /// What the cluster was formed with.
    brokers: u32,
    mirrors: u8,
    /// What is to be said of the file.
    notes: Vec<String>,
}

impl Supervision {
    /// Never returns.
    async fn go_on(&mut self, mut watch: Watch, file: &str, out: &mut (dyn Write + Send)) {
        let started_as = self.running.cluster.clone();
        let mut wanted = Some(self.running.clone());
        let mut every = tokio::time::interval(watch::EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let mut show = false;
            match watch.look().await {
                None => {}
                Some(Look::Unreadable(why)) => {
                    self.keep(format!("cannot read {file}: {why}"));
                    show = true;
                }
                Some(Look::Text(text)) => match Desired::read(&text, file) {
                    Err(error) => {
                        self.keep(error.to_string());
                        show = true;
                    }
                    Ok(desired) => {
                        say(out, &format!("{file} was saved: applying it\n"));
                        wanted = Some(desired);
                    }
                },
            }
            if let Some(desired) = wanted.take() {
                let notes = desired::not_done(&started_as, self.brokers, self.mirrors, &desired.cluster);
                let other = desired.cluster.name != started_as.name;
                // Topics and users of another cluster are none of this one's, and this one's are not gone.
                match if other { Ok(()) } else { self.reconciler.want(desired.topics.clone(), desired.users.clone()) } {
                    Ok(()) => {
                        self.notes = notes.into_iter().chain(desired.passed_over.iter().cloned()).collect();
                        self.running = desired;
                    }
                    Err(error) => {
                        self.keep(error.to_string());
                        wanted = Some(desired);
                    }
                }
            }
            match self.reconciler.pass().await {
                Ok(seen) => self.screen.show(seen, &self.notes, show, out),
                Err(error) => self.keep(error.to_string()),
            }
        }
    }

    /// Says what is wrong, once, and goes on with what was good.
    fn keep(&mut self, wrong: String) {
        self.notes = vec![format!("{wrong} (the last good state keeps running)")];
    }
}

/// What was shown, and what is to be.
struct Screen {
    cluster: String,
    lines: Vec<BrokerLine>,
    configuration: String,
    authority: Option<String>,
    shown: Option<(Report, Instant)>,
    last: Option<Report>,
}

impl Screen {
    /// Shows what is so where it differs from what was shown: at once where somebody waits for it, else when it stays
    /// so for a moment, and not more often than one can read.
    fn show(&mut self, seen: Seen, notes: &[String], now: bool, out: &mut (dyn Write + Send)) {
        let phase = |node: Option<ferrymq_admin_api::NodeStatus>| match node {
            Some(node) => format!("{:?}", node.phase),
            None => "Silent".to_owned(),
        };
        let phases = seen.nodes.into_iter().map(phase);
        let report = Report {
            cluster: self.cluster.clone(),
            brokers: self.lines.iter().cloned().zip(phases).map(|(line, phase)| BrokerLine { phase, ..line }).collect(),
            conditions: seen.conditions,
            notes: notes.to_vec(),
            configuration: self.configuration.clone(),
            authority: self.authority.clone(),
        };
        let steady = self.last.as_ref() == Some(&report);
        let due = match &self.shown {
            None => report.is_ready() || steady,
            Some((shown, at)) => {
                *shown != report && (now || steady || report.is_ready() || at.elapsed() >= SHOW_AT_LEAST)
            }
        };
        if due {
            say(out, &report.to_string());
            self.shown = Some((report.clone(), Instant::now()));
        }
        self.last = Some(report);
    }
}

fn configuration_file(cluster: &str, ordinal: u32) -> String {
    format!("{cluster}-{ordinal}.json")
}

fn line(configuration: &Configuration, ordinal: u32) -> BrokerLine {
    let clients = configuration.listeners.iter().map(|listener| match listener.protocol {
        Protocol::Amqp => format!("amqp{}://{}", if listener.tls.is_some() { "s" } else { "" }, listener.address),
    });
    BrokerLine {
        name: format!("{}-{ordinal}", configuration.cluster),
        phase: String::new(),
        clients: clients.collect::<Vec<_>>().join(", "),
        admin: format!("http://{}", configuration.admin_listen),
    }
}

/// Nobody may be listening any more; the cluster runs all the same.
fn say(out: &mut (dyn Write + Send), text: &str) {
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads what dev says any more");
    }
}
