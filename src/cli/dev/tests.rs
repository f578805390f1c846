//! dev as a whole, with brokers that only answer its calls.

use std::{
    fs, io,
    net::TcpListener as StdListener,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use ferrymq_admin_api::{
    AdminError, AdminPort, BackupRemoval, BackupRequest, BackupView, ClusterStatus, Configuration, Draining, Formation,
    NewUser, NodeRemoval, NodeStatus, Phase, Reason, Safety, TopicDeclaration, TopicList, TopicRemoval, TopicView,
    TopicsAfter, UserDeclaration, UserDeclared, UserRemoval, UserView,
};
use ferrymq_management::{Token, serve};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{Arguments, DevError, Launch, LaunchedBroker, run};

const PATIENCE: Duration = Duration::from_secs(20);

const SHOP: &str = "\
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {name: shop}
spec: {replicas: 2, storage: {size: 1Gi}}
---
apiVersion: ferrymq.io/v1alpha1
kind: Topic
metadata: {name: created}
spec: {cluster: shop, deletionPolicy: Delete}
";

/// What all brokers of a cluster know, and what they are to do.
#[derive(Clone, Default)]
struct FakeCluster(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    formed: Option<Formation>,
    /// Was the formation recorded when it was asked for?
    recorded: bool,
    topics: Vec<TopicDeclaration>,
    removed: Vec<TopicRemoval>,
    users: Vec<UserDeclaration>,
    refuse_topics: Option<AdminError>,
    /// The broker that does not start.
    broken: Option<u32>,
    running: u32,
    /// Ends broker 1.
    end: Arc<Notify>,
}

impl FakeCluster {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap()
    }
}

impl Launch for FakeCluster {
    type Broker = FakeBroker;

    async fn launch(&self, configuration: Configuration, ordinal: u32) -> Result<FakeBroker, String> {
        if self.known().broken == Some(ordinal) {
            return Err("its disk is full".to_owned());
        }
        let listener = TcpListener::bind(&configuration.admin_listen).await.unwrap();
        let token = Token::new(&fs::read_to_string(&configuration.token_file).unwrap()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let record = configuration.data_directory.with_file_name("formation.json");
        let node = FakeNode { ordinal, cluster: self.clone(), record };
        let serving = tokio::spawn(serve(listener, None, node, token, async {
            let _ = stopped.await;
        }));
        self.known().running += 1;
        Ok(FakeBroker { ordinal, cluster: self.clone(), stop, serving })
    }
}

struct FakeBroker {
    ordinal: u32,
    cluster: FakeCluster,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl LaunchedBroker for FakeBroker {
    async fn ended(&mut self) -> String {
        let end = self.cluster.known().end.clone();
        if self.ordinal == 1 {
            end.notified().await;
            return "its disk failed".to_owned();
        }
        std::future::pending().await
    }

    async fn stop(self) {
        drop(self.stop);
        self.serving.await.unwrap();
        self.cluster.known().running -= 1;
    }
}

#[derive(Clone)]
struct FakeNode {
    ordinal: u32,
    cluster: FakeCluster,
    record: PathBuf,
}

impl AdminPort for FakeNode {
    fn node(&self) -> NodeStatus {
        let formed = self.cluster.known().formed.clone();
        NodeStatus {
            ordinal: self.ordinal,
            uuid: format!("u-{}", self.ordinal),
            phase: if formed.is_some() { Phase::Serving } else { Phase::Unformed },
            message: String::new(),
            node_id: formed.is_some().then(|| u64::from(self.ordinal) + 1),
            cluster_id: formed.map(|formed| formed.cluster_id),
            version: "0.1.0".to_owned(),
            disk: None,
            certificates: Vec::new(),
            archive: None,
            restoration: None,
        }
    }

    fn ready(&self) -> bool {
        true
    }

    async fn cluster(&self) -> Result<ClusterStatus, AdminError> {
        Ok(ClusterStatus {
            cluster_id: "c".to_owned(),
            catalogue_leader: Some(1),
            nodes: Vec::new(),
            shards: Vec::new(),
            messages: 0,
            queues: 0,
        })
    }

    async fn form(&self, formation: Formation) -> Result<(), AdminError> {
        let recorded = fs::read_to_string(&self.record).is_ok_and(|text| text.contains(&formation.cluster_id));
        let mut known = self.cluster.known();
        known.recorded = recorded;
        known.formed = Some(formation);
        Ok(())
    }

    async fn safe_to_stop(&self) -> Result<Safety, AdminError> {
        Ok(Safety { safe: true, reason: String::new() })
    }

    async fn hand_over(&self) -> Result<(), AdminError> {
        Ok(())
    }

    async fn drain(&self, _: Draining) -> Result<(), AdminError> {
        Ok(())
    }

    async fn remove_node(&self, _: NodeRemoval) -> Result<(), AdminError> {
        Ok(())
    }

    async fn back_up(&self, request: BackupRequest) -> Result<BackupView, AdminError> {
        Err(AdminError::new(Reason::Unavailable, format!("{} is not archived", request.name)))
    }

    async fn remove_backup(&self, _: BackupRemoval) -> Result<(), AdminError> {
        Ok(())
    }

    async fn declare_topic(&self, topic: TopicDeclaration) -> Result<TopicView, AdminError> {
        let mut known = self.cluster.known();
        if let Some(refused) = &known.refuse_topics {
            return Err(refused.clone());
        }
        known.topics.retain(|other| other.name != topic.name);
        known.topics.push(topic.clone());
        Ok(view(topic))
    }

    async fn topics(&self) -> Result<TopicList, AdminError> {
        let topics = self.cluster.known().topics.iter().cloned().map(view).collect();
        Ok(TopicList { version: String::new(), topics, more: false })
    }

    async fn topics_after(&self, _: TopicsAfter) -> Result<TopicList, AdminError> {
        self.topics().await
    }

    async fn remove_topic(&self, removal: TopicRemoval) -> Result<(), AdminError> {
        let mut known = self.cluster.known();
        known.topics.retain(|topic| topic.name != removal.name);
        known.removed.push(removal);
        Ok(())
    }

    async fn declare_user(&self, user: UserDeclaration) -> Result<UserView, AdminError> {
        let mut known = self.cluster.known();
        known.users.retain(|other| other.name != user.name);
        known.users.push(user.clone());
        Ok(user_view(user))
    }

    async fn users(&self) -> Result<Vec<UserView>, AdminError> {
        Ok(self.cluster.known().users.iter().cloned().map(user_view).collect())
    }

    async fn remove_user(&self, removal: UserRemoval) -> Result<(), AdminError> {
        self.cluster.known().users.retain(|user| user.name != removal.name);
        Ok(())
    }

    async fn put_user(&self, _: NewUser) -> Result<(), AdminError> {
        Ok(())
    }
}

fn view(declaration: TopicDeclaration) -> TopicView {
    TopicView {
        declaration,
        in_sync: true,
        drift: String::new(),
        replicated: true,
        queues: Vec::new(),
        partitions: Vec::new(),
    }
}

fn user_view(user: UserDeclaration) -> UserView {
    let UserDeclaration { name, owner, password_version, permissions, .. } = user;
    UserView { name, declared: Some(UserDeclared { owner: Some(owner), password_version, permissions }) }
}

/// What was printed, and who waits for more.
#[derive(Clone, Default)]
struct Paper(Arc<(Mutex<Vec<u8>>, Notify)>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().clone()).unwrap()
    }

    async fn shows(&self, wanted: &str) {
        let shown = async {
            loop {
                let more = self.0.1.notified();
                if self.text().contains(wanted) {
                    return;
                }
                more.await;
            }
        };
        if timeout(PATIENCE, shown).await.is_err() {
            panic!("'{wanted}' was not printed, but:\n{}", self.text());
        }
    }
}

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().unwrap().extend_from_slice(bytes);
        self.0.1.notify_waiters();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file and a data directory, of which dev may be run several times.
struct Home {
    folder: TempDir,
    base_port: u16,
}

impl Home {
    fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let begin = u16::try_from(std::process::id() % 200).unwrap();
        let base_port = (0..200)
            .map(|_| 10_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 200 * 30)
            .find(|base| (*base..base + 30).all(|port| StdListener::bind(("127.0.0.1", port)).is_ok()));
        let home = Self { folder: tempfile::tempdir().unwrap(), base_port: base_port.unwrap() };
        home.save(SHOP);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn save(&self, text: &str) {
        fs::write(self.path("shop.yaml"), text).unwrap();
    }

    fn start(&self, cluster: &FakeCluster) -> Started {
        let arguments =
            Arguments { file: self.path("shop.yaml"), data_dir: self.path("data"), base_port: Some(self.base_port) };
        let (stop, stopped) = oneshot::channel::<()>();
        let (cluster, paper) = (cluster.clone(), Paper::default());
        let mut out = paper.clone();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            run(&arguments, &cluster, stopped, &mut out).await
        });
        Started { paper, stop, task }
    }
}

struct Started {
    paper: Paper,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), DevError>>,
}

impl Started {
    async fn stop(self) {
        drop(self.stop);
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }

    async fn ended(self) -> (String, String) {
        let error = timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap_err();
        (error.to_string(), self.paper.text())
    }
}

#[tokio::test]
async fn a_cluster_is_recorded_and_then_formed_with_the_guest() {
    let (home, cluster) = (Home::new(), FakeCluster::default());
    let dev = home.start(&cluster);
    dev.paper.shows("shop is ready").await;
    {
        let known = cluster.known();
        let formation = known.formed.as_ref().unwrap();
        assert!(known.recorded, "the formation was asked for before it was recorded");
        assert_eq!((formation.members.len(), formation.default_mirrors), (2, 2));
        assert!(formation.users.iter().any(|user| user.name == "guest" && user.loopback_only));
        assert_eq!(known.topics[0].owner.name, "default/created");
    }
    dev.stop().await;
    assert_eq!(cluster.known().running, 0);
}

#[tokio::test]
async fn brokers_that_lost_everything_are_not_formed_a_second_time() {
    let home = Home::new();
    let dev = home.start(&FakeCluster::default());
    dev.paper.shows("shop is ready").await;
    dev.stop().await;

    let emptied = FakeCluster::default();
    let dev = home.start(&emptied);
    dev.paper.shows("DataLost").await;
    dev.stop().await;
    assert!(emptied.known().formed.is_none());
}

#[tokio::test]
async fn a_topic_that_went_while_dev_did_not_run_is_taken_away_at_the_next_start() {
    let (home, cluster) = (Home::new(), FakeCluster::default());
    let dev = home.start(&cluster);
    dev.paper.shows("shop is ready").await;
    dev.stop().await;

    home.save(SHOP.split("---").next().unwrap());
    let dev = home.start(&cluster);
    dev.paper.shows("shop is ready").await;
    dev.stop().await;
    let known = cluster.known();
    assert!(known.topics.is_empty());
    assert_eq!((known.removed.len(), known.removed[0].delete), (1, true));
}

#[tokio::test]
async fn a_user_gets_a_password_that_is_printed_and_kept_and_goes_with_its_resource() {
    let (home, cluster) = (Home::new(), FakeCluster::default());
    let user = "---\napiVersion: ferrymq.io/v1alpha1\nkind: User\nmetadata: {name: billing}\nspec: {cluster: shop}\n";
    home.save(&format!("{SHOP}{user}"));
    let dev = home.start(&cluster);
    dev.paper.shows("shop is ready").await;
    let password = cluster.known().users[0].password.clone();
    assert!(dev.paper.text().contains(&format!("clients log in as billing, password {password}, and may do nothing")));
    dev.stop().await;

    let dev = home.start(&cluster);
    dev.paper.shows("shop is ready").await;
    assert_eq!(cluster.known().users[0].password, password);
    home.save(SHOP);
    dev.paper.shows("was saved").await;
    timeout(PATIENCE, async {
        while !cluster.known().users.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    dev.stop().await;
}

#[tokio::test]
async fn a_topic_that_is_refused_is_shown_with_the_brokers_sentence() {
    let (home, cluster) = (Home::new(), FakeCluster::default());
    let refused = AdminError::new(Reason::Incompatible, "exchange created is a fanout exchange");
    cluster.known().refuse_topics = Some(refused);
    let dev = home.start(&cluster);
    dev.paper.shows("Incompatible").await;
    assert!(dev.paper.text().contains("exchange created is a fanout exchange"));
    // It is tried again by itself.
    cluster.known().refuse_topics = None;
    dev.paper.shows("shop is ready").await;
    dev.stop().await;
}

#[tokio::test]
async fn a_broker_that_does_not_start_is_named_and_the_others_are_stopped() {
    let (home, cluster) = (Home::new(), FakeCluster::default());
    cluster.known().broken = Some(1);
    let (error, _) = home.start(&cluster).ended().await;
    assert_eq!(error, "shop-1 does not start: its disk is full");
    assert_eq!(cluster.known().running, 0);
}

#[tokio::test]
async fn a_broker_that_ends_by_itself_ends_dev() {
    let (home, cluster) = (Home::new(), FakeCluster::default());
    let dev = home.start(&cluster);
    dev.paper.shows("shop is ready").await;
    let end = cluster.known().end.clone();
    end.notify_one();
    let (error, printed) = dev.ended().await;
    assert_eq!(error, "shop-1 ended: its disk failed");
    assert!(printed.ends_with("stopping\nstopped\n"), "{printed}");
    assert_eq!(cluster.known().running, 0);
}

#[tokio::test]
async fn a_file_that_is_wrong_starts_nothing() {
    let (home, cluster) = (Home::new(), FakeCluster::default());
    home.save(&SHOP.replace("replicas: 2", "replicas: 100"));
    let (error, printed) = home.start(&cluster).ended().await;
    let place = format!("{}:4:", Path::new(&home.path("shop.yaml")).display());
    assert!(error.starts_with(&place) && error.contains("spec.replicas"), "{error}");
    assert_eq!(printed, "");
    assert!(!home.path("data").exists());
}
