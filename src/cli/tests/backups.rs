//! A broker that archives, what `ctl backup` says of that, and clusters that `ctl restore` makes of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not as it should be")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::Parser;
use ferrymq_admin_api::{
    ArchiveConfiguration, ArchiveDestination, BackupRequest, BackupState, Client, Configuration, Formation, Listener,
    Member, NewUser, Protocol,
};
use ferrymq_cli::ctl::{self, Answer, CtlError};
use ferrymq_server::{Running, start};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);
const CLUSTER: &str = "shop/orders/u1";

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    arguments: ctl::Arguments,
}

async fn typed(line: &str) -> Result<Answer, CtlError> {
    let arguments = Typed::try_parse_from(std::iter::once("ctl").chain(line.split(' '))).unwrap().arguments;
    ctl::run(&arguments).await
}

fn anywhere() -> String {
    "127.0.0.1:0".to_owned()
}

fn amqp() -> Vec<Listener> {
    vec![Listener { name: "amqp".to_owned(), protocol: Protocol::Amqp, address: anywhere(), tls: None }]
}

/// An archive in a directory, and the key that it is encrypted with.
struct Archived {
    folder: tempfile::TempDir,
}

impl Archived {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["archive", "secrets"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("secrets/encryption-key"), "more than sixteen bytes").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> ArchiveConfiguration {
        ArchiveConfiguration {
            destination: ArchiveDestination::Directory { path: self.path("archive") },
            folder: CLUSTER.to_owned(),
            secrets: Some(self.path("secrets")),
            encrypted: true,
            most_held_bytes: None,
            most_bytes_a_second: None,
        }
    }

    /// What says which archive is meant, and the key.
    fn options(&self) -> String {
        format!("--archive {} --secrets {}", self.path("archive").display(), self.path("secrets").display())
    }

    /// The objects of a folder whose name ends so, the largest first.
    fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path("archive").join(CLUSTER).join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
        found
    }

    fn name_of(&self, object: &Path) -> String {
        object.strip_prefix(self.path("archive")).unwrap().display().to_string()
    }
}

/// A cluster of one broker, which archives.
async fn archiving(archived: &Archived) -> (Running, Client) {
    let token_file = archived.path("token");
    fs::write(&token_file, "secret").unwrap();
    let configuration = Configuration {
        cluster: "orders".to_owned(),
        data_directory: archived.path("data"),
        peer_address: anywhere(),
        link_listen: anywhere(),
        admin_listen: anywhere(),
        metrics_listen: None,
        token_file,
        listeners: amqp(),
        internal_tls: None,
        memory_high_water_bytes: None,
        archive: Some(archived.configuration()),
        restore_from: None,
    };
    let running = start(configuration, 0, None).await.unwrap();
    let admin = admin(&running, "secret");
    let formation = Formation {
        cluster_id: "c".to_owned(),
        members: vec![Member { ordinal: 0, uuid: admin.node().await.unwrap().uuid, zone: None }],
        default_mirrors: 1,
        users: vec![NewUser { name: "clerk".to_owned(), password: "secret".to_owned(), loopback_only: false }],
        restore: None,
    };
    admin.form(&formation).await.unwrap();
    serves(&admin).await;
    (running, admin)
}

fn admin(running: &Running, token: &str) -> Client {
    Client::new(&format!("http://{}", running.admin_address()), token).unwrap()
}

async fn serves(admin: &Client) {
    while !admin.ready().await.unwrap() {
        sleep(POLL).await;
    }
}

/// A client, as a user that was archived.
async fn channel(running: &Running) -> Channel {
    let uri = format!("amqp://clerk:secret@{}/%2f", running.client_addresses()[0].1);
    let connection = Connection::connect(&uri, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel
}

async fn publish(channel: &Channel, numbers: std::ops::Range<u32>) {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("orders".into(), options, FieldTable::default()).await.unwrap();
    let mut confirms = Vec::new();
    for number in numbers {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let body = format!("{number:04} {}", "x".repeat(500));
        let publish = channel.basic_publish("".into(), "orders".into(), options, body.as_bytes(), properties);
        confirms.push(publish.await.unwrap());
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
}

async fn back_up(admin: &Client, name: &str) {
    let request = BackupRequest { name: name.to_owned(), made_for: None };
    loop {
        let view = admin.back_up(&request).await.unwrap();
        match view.state {
            BackupState::Completed => return,
            BackupState::Running => sleep(POLL).await,
            BackupState::Failed => panic!("{}", view.message),
        }
    }
}

/// The numbers of all messages that a restored cluster has: a broker by itself serves it.
async fn messages(directory: &Path) -> Vec<u32> {
    let configuration = fs::read(directory.join("orders/orders-0.json")).unwrap();
    let lasting: Configuration = serde_json::from_slice(&configuration).unwrap();
    let token = fs::read_to_string(&lasting.token_file).unwrap();
    let configuration = Configuration {
        peer_address: anywhere(),
        link_listen: anywhere(),
        admin_listen: anywhere(),
        listeners: amqp(),
        ..lasting
    };
    let running = start(configuration, 0, None).await.unwrap();
    serves(&admin(&running, &token)).await;
    let channel = channel(&running).await;
    let mut numbers = Vec::new();
    while let Some(got) = channel.basic_get("orders".into(), BasicGetOptions { no_ack: true }).await.unwrap() {
        numbers.push(String::from_utf8_lossy(&got.delivery.data[..4]).parse().unwrap());
    }
    drop(channel);
    running.stop().await;
    numbers
}

/// A cluster with messages 0 to 49 in backup first, up to 74 in backup middle, and all 100 in backup second; gives a moment
/// between the first two.
async fn shop(archived: &Archived) -> String {
    let (running, admin) = archiving(archived).await;
    let channel = channel(&running).await;
    publish(&channel, 0..50).await;
    back_up(&admin, "first").await;
    let between =
        fs::metadata(archived.path("archive").join(CLUSTER).join("backups/first")).unwrap().modified().unwrap();
    // A moment is of milliseconds: what comes after it is taken in a later one.
    while SystemTime::now() < between + Duration::from_millis(5) {
        tokio::task::yield_now().await;
    }
    publish(&channel, 50..75).await;
    back_up(&admin, "middle").await;
    publish(&channel, 75..100).await;
    back_up(&admin, "second").await;
    drop(channel);
    running.stop().await;
    let between = between.duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_millis(2);
    let between = k8s_openapi::jiff::Timestamp::from_millisecond(between.as_millis().try_into().unwrap()).unwrap();
    between.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_archived_is_shown_verified_and_restored_to_a_directory() {
    timeout(PATIENCE, async {
        let archived = Archived::new();
        let between = shop(&archived).await;
        let options = archived.options();

        let list = typed(&format!("backup list {options}")).await.unwrap();
        assert_eq!(list.exit_code, 0, "{}", list.text);
        assert!(list.text.starts_with("cluster shop/orders/u1, archived since "), "{}", list.text);
        assert!(list.text.contains("\nfirst ") && list.text.contains("\nsecond "), "{}", list.text);
        assert!(list.text.contains("to any moment since it was made (--time); the last entry is of "), "{}", list.text);

        let inspect = typed(&format!("backup inspect second {options} --cluster shop/orders")).await.unwrap();
        assert!(inspect.text.starts_with("backup second of shop/orders/u1, made by version "), "{}", inspect.text);
        assert!(inspect.text.contains("\ncatalogue ") && inspect.text.contains("\n1 "), "{}", inspect.text);

        for what in ["", "first ", "second "] {
            let verify = typed(&format!("backup verify {what}{options}")).await.unwrap();
            assert_eq!(verify.exit_code, 0, "{}", verify.text);
            assert!(verify.text.contains(" is whole: "), "{}", verify.text);
        }
        let drill = archived.path("drill");
        let verify = typed(&format!("backup verify second {options} --restore-in {}", drill.display())).await.unwrap();
        let told = "backup second of shop/orders/u1 can be restored: all of its ";
        assert!(verify.text.starts_with(told) && verify.exit_code == 0, "{}", verify.text);
        assert!(!drill.exists(), "what was made is gone again");
        let error = typed(&format!("backup verify third {options}")).await.unwrap_err();
        let told = "the archive of shop/orders/u1 has no backup third; it has first, middle, second";
        assert_eq!((error.to_string().as_str(), error.exit_code()), (told, 2));

        let at = format!("--time {between}");
        for (name, what, upto) in [("a", "", 100), ("b", "--backup first ", 50), ("c", &format!("{at} "), 50)] {
            let directory = archived.path(name);
            let restore = format!("restore {options} {what}--to-dir {}", directory.display());
            let answer = typed(&restore).await.unwrap();
            assert!(answer.text.contains(" of shop/orders/u1 is restored in "), "{}", answer.text);
            assert!(answer.text.contains("orders/orders-0.json"), "{}", answer.text);
            let again = typed(&restore).await.unwrap_err();
            assert!(again.to_string().contains(" is not empty; "), "{again}");
            assert_eq!(messages(&directory).await, (0..upto).collect::<Vec<_>>(), "{what}");
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_missing_or_locked_is_named_and_nothing_of_it_is_restored() {
    timeout(PATIENCE, async {
        let archived = Archived::new();
        shop(&archived).await;
        let options = archived.options();
        let directory = archived.path("restored");
        let restore = format!("restore {options} --to-dir {}", directory.display());

        let without_key = format!("--archive {}", archived.path("archive").display());
        let verify = typed(&format!("backup verify {without_key}")).await.unwrap();
        assert_eq!(verify.exit_code, 1);
        assert!(verify.text.contains("other key  shop/orders/u1/cluster "), "{}", verify.text);
        let error = typed(&format!("restore {without_key} --to-dir {}", directory.display())).await.unwrap_err();
        assert!(error.to_string().contains("it is encrypted, and no key was given"), "{error}");
        assert!(!directory.exists());
        let error = typed(&format!("{restore} --backup third")).await.unwrap_err();
        let told = "the archive of shop/orders has no backup third; it has first, middle, second";
        assert_eq!(error.to_string(), told);
        assert!(!directory.exists());

        // Of the queue's shard, the last base.
        let parts = archived.objects("shards");
        let of_queue = |part: &&PathBuf| {
            let name = archived.name_of(part);
            name.contains("/base/") && !name.contains("/0000000000/")
        };
        let shard = parts.iter().find(of_queue).unwrap().ancestors().nth(3).unwrap();
        let shard = format!("shards/{}", shard.file_name().unwrap().display());
        let parts = archived.objects(&format!("{shard}/base"));
        let newest = parts.iter().map(|part| part.parent().unwrap()).max().unwrap();
        let part = parts.iter().find(|part| part.starts_with(newest)).unwrap();
        let name = archived.name_of(part);
        let whole = fs::read(part).unwrap();
        let mut flipped = whole.clone();
        flipped[60] ^= 1;
        fs::write(part, &flipped).unwrap();
        for what in ["", "second "] {
            let verify = typed(&format!("backup verify {what}{options}")).await.unwrap();
            assert_eq!(verify.exit_code, 1);
            let told = format!("damaged  {name}  it is damaged: it is not what was written under this name\n");
            assert!(verify.text.contains(&told), "{}", verify.text);
            assert!(verify.text.contains(" 1 problem in "), "{}", verify.text);
        }
        assert_eq!(typed(&format!("backup verify first {options}")).await.unwrap().exit_code, 0);
        let drill = archived.path("drill");
        let verify = format!("backup verify second {options} --restore-in {}", drill.display());
        let error = typed(&verify).await.unwrap_err();
        assert!(error.to_string().contains(&format!("object {name}: it is damaged")), "{error}");
        assert!(error.exit_code() == 1 && !drill.exists());
        fs::create_dir(&directory).unwrap();
        let error = typed(&restore).await.unwrap_err();
        assert!(error.to_string().contains(&format!("object {name}: it is damaged")), "{error}");
        assert_eq!(error.exit_code(), 1);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "what was made is gone again");

        fs::remove_file(part).unwrap();
        let verify = typed(&format!("backup verify {options}")).await.unwrap();
        assert!(verify.text.contains(&format!("missing  {name}  there is no such object\n")), "{}", verify.text);
        fs::write(part, &whole).unwrap();

        // A part of the log that others follow.
        let mut log = archived.objects(&format!("{shard}/log"));
        log.sort();
        assert!(log.len() >= 3, "each backup waits for what was published before: {log:?}");
        let (name, whole) = (archived.name_of(&log[1]), fs::read(&log[1]).unwrap());
        fs::remove_file(&log[1]).unwrap();
        let verify = typed(&format!("backup verify {options}")).await.unwrap();
        assert_eq!(verify.exit_code, 1, "{}", verify.text);
        assert!(verify.text.contains(&format!("missing  {name}  entries ")), "{}", verify.text);
        fs::write(&log[1], &whole).unwrap();
        let foreign = log[1].with_file_name("notes.txt");
        fs::write(&foreign, "mine").unwrap();
        let verify = typed(&format!("backup verify {options}")).await.unwrap();
        let told = format!("foreign  {}  it is no object of an archive of FerryMQ\n", archived.name_of(&foreign));
        assert!(verify.text.contains(&told), "{}", verify.text);
        fs::remove_file(&foreign).unwrap();

        assert_eq!(typed(&format!("backup verify {options}")).await.unwrap().exit_code, 0);
        typed(&restore).await.unwrap();
        assert_eq!(messages(&directory).await, (0..100).collect::<Vec<_>>());
    })
    .await
    .unwrap();
}
