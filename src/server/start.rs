//! Starting a broker, and stopping it.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ferrymq_admin_api::{Configuration, Protocol};
use ferrymq_broker::{Network, Node, Settings, Tcp};
use ferrymq_journal::{Options, SystemDisk};
use ferrymq_management::{EmptyToken, Token};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    VERSION,
    admin::Port,
    archives,
    certificates::Certificates,
    disk,
    links::{Complaints, SecureListener, SecureNetwork},
    listeners::{self, ListenerCounts, Secured},
    memory,
    metrics::Metrics,
};

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration cannot be read.
    #[error("cannot read the configuration {path}")]
    ConfigurationFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its configuration makes no sense.
    #[error("the configuration {path} is not right")]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: serde_json::Error,
    },
    /// Its token cannot be read.
    #[error("cannot read the token {path}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its token is empty.
    #[error("the token {path} cannot be used")]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: EmptyToken,
    },
    /// The certificate of links and of the admin API cannot be used.
    #[error("the certificate of this broker within its cluster cannot be used")]
    Certificate(#[source] ferrymq_tls::LoadError),
    /// The name that certificates of the cluster are for is none.
    #[error("internalTls.name is '{name}' in the configuration, which is no name of a host")]
    InternalName {
        /// What it is.
        name: String,
    },
    /// An address is taken, or not this machine's.
    #[error("cannot listen on {address} for {purpose}; is something else listening there?")]
    Listen {
        /// The address.
        address: String,
        /// What for.
        purpose: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node itself.
    #[error("the broker's data cannot be opened")]
    Node(#[from] ferrymq_broker::StartError),
}

/// Reads a broker's configuration.
///
/// # Errors
///
/// [`StartError`]: the file is not there, or something in it is not right.
pub fn read_configuration(path: &Path) -> Result<Configuration, StartError> {
    let bytes = fs::read(path).map_err(|source| StartError::ConfigurationFile { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| StartError::Configuration { path: path.to_owned(), source })
}

/// A broker that runs.
pub struct Running {
    node: Node,
    admin: SocketAddr,
    metrics: Option<SocketAddr>,
    clients: Vec<(String, SocketAddr)>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Looks at the files of certificates until the broker is gone.
    _files: JoinSet<()>,
}

/// Starts a broker: when this returns it listens; it serves clients when it has found its cluster, or was put into one.
///
/// # Errors
///
/// [`StartError`].
pub async fn start(configuration: Configuration, ordinal: u32, zone: Option<String>) -> Result<Running, StartError> {
    let path = configuration.token_file.clone();
    let token = fs::read_to_string(&path).map_err(|source| StartError::TokenFile { path: path.clone(), source })?;
    let admin_token = Token::new(&token).map_err(|source| StartError::Token { path, source })?;
    let certificates = Certificates::open(&configuration)?;
    let at = |address: &str| address.replace("{ordinal}", &ordinal.to_string());
    let links = listen(&at(&configuration.link_listen), "links of other brokers").await?;
    let admin = listen(&at(&configuration.admin_listen), "the admin API").await?;
    let metrics = match &configuration.metrics_listen {
        Some(address) => Some(listen(&at(address), "the metrics").await?),
        None => None,
    };
    let mut clients = Vec::new();
    for listener in &configuration.listeners {
        let socket = listen(&at(&listener.address), &format!("listener {}", listener.name)).await?;
        clients.push((listener, socket));
    }
    let complaints = Arc::new(Complaints::default());
    let network: Arc<dyn Network> = match certificates.cluster() {
        Some((side, name)) => Arc::new(SecureNetwork { side, name, complaints: complaints.clone() }),
        None => Arc::new(Tcp),
    };
    let disk_bytes = disk::used(&configuration.data_directory).map(|disk| disk.capacity_bytes);
    let cluster = &configuration.cluster;
    let archiving = configuration.archive.as_ref().map(|archive| archives::archiving(archive, cluster, disk_bytes));
    let restore_from = configuration.restore_from.as_ref().map(archives::opener);
    let settings = Settings {
        ordinal,
        zone,
        version: VERSION.to_owned(),
        directory: configuration.data_directory.clone(),
        disk: Arc::new(SystemDisk),
        journal: Options::default(),
        network,
        peer_address: configuration.peer_address.clone(),
        token: token.trim().to_owned(),
        memory_used: Arc::new(memory::used),
        memory_high_water: configuration.memory_high_water_bytes.unwrap_or_else(memory::default_high_water),
        archiving,
        restore_from,
        timing: ferrymq_broker::Timing::default(),
    };
    let node = match certificates.cluster() {
        Some((side, _)) => Node::start(settings, SecureListener::new(links, side, complaints)).await?,
        None => Node::start(settings, links).await?,
    };
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let address =
        |listener: &TcpListener| listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let admin_address = address(&admin);
    let admin_tls = certificates.cluster().map(|(side, _)| side);
    let directory = configuration.data_directory.clone();
    let port = Port { node: node.clone(), ordinal, directory: directory.clone(), certificates: certificates.clone() };
    tasks.spawn(ferrymq_management::serve(admin, admin_tls, port, admin_token, told_to(stopping.clone())));
    let amqp = Arc::new(ferrymq_amqp::Settings {
        product: "FerryMQ".to_owned(),
        version: VERSION.to_owned(),
        cluster_name: configuration.cluster.clone(),
        ..ferrymq_amqp::Settings::default()
    });
    let (mut addresses, mut counted) = (Vec::new(), Vec::new());
    for (listener, socket) in clients {
        let (name, counts) = (listener.name.clone(), ListenerCounts::of(&listener.name));
        counted.push(counts.clone());
        addresses.push((name.clone(), address(&socket)));
        let tls = certificates.of(listener).map(|certificate| Secured { listener: name, certificate });
        let (node, amqp, stopping) = (node.clone(), amqp.clone(), stopping.clone());
        match listener.protocol {
            Protocol::Amqp => tasks.spawn(listeners::amqp(socket, tls, node, amqp, counts, stopping)),
        };
    }
    let metrics_address = metrics.as_ref().map(address);
    if let Some(listener) = metrics {
        let metrics = Metrics { node: node.clone(), directory, amqp: amqp.counts.clone(), listeners: counted };
        tasks.spawn(ferrymq_management::serve_metrics(listener, metrics, told_to(stopping)));
    }
    let _files = certificates.keep_up();
    Ok(Running { node, admin: admin_address, metrics: metrics_address, clients: addresses, stop, tasks, _files })
}

/// Returns when the broker is told to stop.
async fn told_to(mut stop: watch::Receiver<bool>) {
    // The sender is dropped only when all is over.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn listen(address: &str, purpose: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen {
        address: address.to_owned(),
        purpose: purpose.to_owned(),
        source,
    })
}

impl Running {
    /// Where the admin API is.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Where the metrics are, where they are served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// Where clients connect: each listener's name and address.
    #[must_use]
    pub fn client_addresses(&self) -> &[(String, SocketAddr)] {
        &self.clients
    }

    /// Waits until the broker cannot go on, and says why.
    pub async fn failed(&self) -> String {
        let mut failure = self.node.failure();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the broker is gone".to_owned(),
        }
    }

    /// Hands over, lets clients go, and stops.
    pub async fn stop(mut self) {
        self.node.hand_over().await;
        self.node.stop_deliveries();
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.node.stop().await;
    }
}
