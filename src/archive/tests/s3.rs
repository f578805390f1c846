//! An archive in a store that speaks S3: a real server, versitygw over a directory, started by each test.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]

use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use ferrymq_archive::{Archive, ArchiveError, Destination, Entry, LogPart, Place, Put, Secret, Trouble};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, copy_bidirectional};

const BUCKET: &str = "backups";
const ACCESS_KEY: &str = "ferry";
const SECRET: &str = "a-secret-of-the-store";

const PORT: u16 = 25631;
/// Files of a store that speaks TLS, in its directory.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// How long the server may take to listen.
const LISTENS: Duration = Duration::from_secs(20);

/// A store, which ends with this.
struct Store {
    directory: TempDir,
    address: SocketAddr,
    server: Child,
    /// What its certificate is trusted by, where it has one: PEM.
    authorities: Option<String>,
}

impl Store {
    fn start() -> Self {
        Self::over(Self::directory(), None)
    }

    /// One that speaks TLS, with a certificate that no public authority signed.
    fn start_with_tls() -> Self {
        let (directory, address) = Self::directory();
        let signed = rcgen::generate_simple_self_signed([address.ip().to_string()]).unwrap();
        fs::write(directory.path().join(CERTIFICATE), signed.cert.pem()).unwrap();
        fs::write(directory.path().join(KEY), signed.signing_key.serialize_pem()).unwrap();
        Self::over((directory, address), Some(signed.cert.pem()))
    }

    /// With an empty bucket, and the address that it is to have.
    fn directory() -> (TempDir, SocketAddr) {
        let directory = TempDir::new().unwrap();
        fs::create_dir_all(directory.path().join("data").join(BUCKET)).unwrap();
        (directory, own_address())
    }

    fn over((directory, address): (TempDir, SocketAddr), authorities: Option<String>) -> Self {
        let server = serve(&directory, address);
        Self { directory, address, server, authorities }
    }

    fn stop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.server = serve(&self.directory, self.address);
    }

    fn archive(&self, secret: &str) -> Archive {
        self.archive_in(BUCKET, secret)
    }

    fn archive_in(&self, bucket: &str, secret: &str) -> Archive {
        archive_at(&format!("http://{}", self.address), bucket, secret, None)
    }

    fn archive_by_tls(&self, authorities: Option<&str>) -> Archive {
        archive_at(&format!("https://{}", self.address), BUCKET, SECRET, authorities)
    }

    /// An archive whose next connections have these faults, one each, and then none.
    async fn faulty_archive(&self, faults: &[Fault]) -> Archive {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(Mutex::new(faults.iter().copied().collect::<VecDeque<_>>()));
        let server = self.address;
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fault = faults.lock().unwrap().pop_front();
                tokio::spawn(pass_on(client, server, fault));
            }
        });
        archive_at(&format!("http://{address}"), BUCKET, SECRET, None)
    }

    /// Where the server keeps a part of a log.
    fn file(&self, group: u32, first: u64) -> PathBuf {
        let name = format!("data/{BUCKET}/shop/d1c5/shards/{group:010}/log/{first:020}");
        self.directory.path().join(name)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What goes wrong with a connection.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It is answered with this status, whatever is asked.
    Status(u16),
    /// It ends after so many bytes of answers.
    Cut(u64),
}

async fn pass_on(mut client: tokio::net::TcpStream, server: SocketAddr, fault: Option<Fault>) -> std::io::Result<()> {
    if let Some(Fault::Status(status)) = fault {
        // What is asked is small, and comes at once.
        if client.read(&mut vec![0; 64 << 10]).await? == 0 {
            return Ok(());
        }
        let answer = format!("HTTP/1.1 {status} Trouble\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return client.write_all(answer.as_bytes()).await;
    }
    let mut server = tokio::net::TcpStream::connect(server).await?;
    let Some(Fault::Cut(bytes)) = fault else {
        return copy_bidirectional(&mut client, &mut server).await.map(drop);
    };
    let ((mut asks, mut hears), (answers, mut server)) = (client.split(), server.split());
    let mut answers = answers.take(bytes);
    tokio::select! {
        asked = copy(&mut asks, &mut server) => asked.map(drop),
        answered = copy(&mut answers, &mut hears) => answered.map(drop),
    }
}

fn archive_at(endpoint: &str, bucket: &str, secret: &str, authorities: Option<&str>) -> Archive {
    let place = Place::S3 {
        bucket: bucket.to_owned(),
        prefix: "shop".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        region: None,
        credentials: Some((ACCESS_KEY.to_owned(), Secret::new(secret.to_owned()))),
        authorities: authorities.map(str::to_owned),
    };
    Archive::new(Destination::open(place).unwrap(), "d1c5", None)
}

/// An address of the loopback that no other store has, of this process or another: a port of one that all use could be
/// somebody else's while the store is away.
fn own_address() -> SocketAddr {
    static STORES: AtomicU8 = AtomicU8::new(1);
    let [low, high, ..] = std::process::id().to_le_bytes();
    let own = STORES.fetch_add(1, Ordering::Relaxed);
    (Ipv4Addr::new(127, low.max(1), high, own), PORT).into()
}

/// By TLS where the directory has a certificate.
fn serve(directory: &TempDir, address: SocketAddr) -> Child {
    let program = env::var_os("FERRYMQ_VERSITYGW").expect("FERRYMQ_VERSITYGW names it: cargo xtask test backups");
    let tls = [("--cert", CERTIFICATE), ("--key", KEY)].map(|(option, file)| (option, directory.path().join(file)));
    let tls = tls.iter().filter(|(_, file)| file.exists());
    let mut server = Command::new(program)
        .args(["--access", ACCESS_KEY, "--secret", SECRET, "--port", &address.to_string(), "--quiet"])
        .args(tls.flat_map(|(option, file)| [OsStr::new(*option), file.as_os_str()]))
        .arg("posix")
        .arg(directory.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let since = Instant::now();
    while TcpStream::connect(address).is_err() {
        let ended = server.try_wait().unwrap();
        assert!(ended.is_none() && since.elapsed() < LISTENS, "the store does not listen: {ended:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn part(first: u64, entries: usize) -> LogPart {
    let entry = |number| Entry { term: 2, time: 1_700_000_000_000, command: Some(Bytes::from(format!("{number}"))) };
    LogPart { group: 3, first, term_before: 1, entries: (0..entries).map(entry).collect() }
}

fn trouble(error: &ArchiveError) -> Option<Trouble> {
    match error {
        ArchiveError::Destination(error) => Some(error.trouble),
        ArchiveError::Object(_) => None,
    }
}

#[tokio::test]
#[ignore = "needs a server: cargo xtask test backups"]
async fn parts_are_written_once_and_found_in_order() {
    let store = Store::start();
    let archive = store.archive(SECRET);
    assert_eq!(archive.log_from(3, 0).await.unwrap(), [] as [u64; 0]);
    for first in [11, 1, 101, 6] {
        assert_eq!(archive.put_log(part(first, 5)).await.unwrap(), Put::Written);
    }
    assert_eq!(archive.put_log(part(6, 2)).await.unwrap(), Put::Exists);
    assert_eq!(archive.log_part(3, 6).await.unwrap(), part(6, 5), "what was there first stays");
    assert_eq!(archive.log_from(3, 0).await.unwrap(), [1, 6, 11, 101]);
    assert_eq!(archive.log_from(3, 7).await.unwrap(), [11, 101]);
    archive.remove_log(3, 11).await.unwrap();
    archive.remove_log(3, 11).await.unwrap();
    assert_eq!(archive.log_from(3, 7).await.unwrap(), [101]);
    assert_eq!(trouble(&archive.log_part(3, 11).await.unwrap_err()), Some(Trouble::NotFound));
}

#[tokio::test]
#[ignore = "needs a server: cargo xtask test backups"]
async fn of_two_who_write_the_same_one_does() {
    let store = Store::start();
    let (one, other) = (store.archive(SECRET), store.archive(SECRET));
    for first in 1..=50 {
        let (short, long) = (part(first, 1), part(first, 2));
        let (one, other) = futures::join!(one.put_log(short.clone()), other.put_log(long.clone()));
        let winner = match (one.unwrap(), other.unwrap()) {
            (Put::Written, Put::Exists) => short,
            (Put::Exists, Put::Written) => long,
            both => unreachable!("part {first}: {both:?}"),
        };
        assert_eq!(store.archive(SECRET).log_part(3, first).await.unwrap(), winner);
    }
}

#[tokio::test]
#[ignore = "needs a server: cargo xtask test backups"]
async fn who_is_not_let_in_is_told_so() {
    let store = Store::start();
    let error = store.archive("another-secret").put_log(part(1, 5)).await.unwrap_err();
    assert_eq!(trouble(&error), Some(Trouble::Refused), "{error}");
    assert!(!error.to_string().contains("another-secret"), "{error}");
    let error = store.archive_in("nowhere", SECRET).put_log(part(1, 5)).await.unwrap_err();
    assert_eq!(trouble(&error), Some(Trouble::NotFound), "{error}");
}

#[tokio::test]
#[ignore = "needs a server: cargo xtask test backups"]
async fn a_store_that_was_away_is_written_to_when_it_is_back() {
    let mut store = Store::start();
    let archive = store.archive(SECRET);
    archive.put_log(part(1, 5)).await.unwrap();
    store.stop();
    let error = archive.put_log(part(6, 5)).await.unwrap_err();
    assert_eq!(trouble(&error), Some(Trouble::Failed), "{error}");
    store.start_again();
    assert_eq!(archive.put_log(part(6, 5)).await.unwrap(), Put::Written);
    assert_eq!(archive.log_from(3, 0).await.unwrap(), [1, 6]);
}

#[tokio::test]
#[ignore = "needs a server: cargo xtask test backups"]
async fn what_the_store_gives_back_changed_or_short_is_refused() {
    let store = Store::start();
    let archive = store.archive(SECRET);
    archive.put_log(part(1, 5)).await.unwrap();
    let file = store.file(3, 1);
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[50] ^= 1;
    for wrong in [&*flipped, &whole[..whole.len() - 1], b""] {
        fs::write(&file, wrong).unwrap();
        let error = archive.log_part(3, 1).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "object d1c5/shards/0000000003/log/00000000000000000001: it is damaged: it is not what was written under this name"
        );
    }
    fs::write(&file, whole).unwrap();
    assert_eq!(archive.log_part(3, 1).await.unwrap(), part(1, 5));
}

#[tokio::test]
#[ignore = "needs a server: cargo xtask test backups"]
async fn what_fails_for_a_moment_is_tried_again() {
    let store = Store::start();
    let archive = store.faulty_archive(&[Fault::Status(500), Fault::Status(503)]).await;
    assert_eq!(archive.put_log(part(1, 5)).await.unwrap(), Put::Written);
    // The answer that it is written is lost: whoever asks again hears that there is one.
    let archive = store.faulty_archive(&[Fault::Cut(20)]).await;
    assert_eq!(archive.put_log(part(6, 5)).await.unwrap(), Put::Exists);
    for cut in [20, 700] {
        let archive = store.faulty_archive(&[Fault::Cut(cut)]).await;
        assert_eq!(archive.log_part(3, 6).await.unwrap(), part(6, 5));
    }
}

#[tokio::test]
#[ignore = "needs a server: cargo xtask test backups"]
async fn what_goes_on_failing_is_told() {
    let store = Store::start();
    let archive = store.faulty_archive(&[Fault::Status(503); 8]).await;
    let error = archive.put_log(part(1, 5)).await.unwrap_err();
    assert_eq!(trouble(&error), Some(Trouble::Failed), "{error}");
    assert!(error.to_string().contains("503"), "{error}");
}

#[tokio::test]
#[ignore = "needs a server: cargo xtask test backups"]
async fn a_certificate_is_trusted_by_the_authority_that_is_named_and_by_no_other() {
    let store = Store::start_with_tls();
    let archive = store.archive_by_tls(store.authorities.as_deref());
    assert_eq!(archive.put_log(part(1, 5)).await.unwrap(), Put::Written);
    assert_eq!(archive.log_part(3, 1).await.unwrap(), part(1, 5));
    let other = rcgen::generate_simple_self_signed([store.address.ip().to_string()]).unwrap().cert.pem();
    for authorities in [None, Some(&*other)] {
        let error = store.archive_by_tls(authorities).put_log(part(6, 5)).await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}
