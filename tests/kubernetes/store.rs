//! A store that speaks S3, which pods reach: versitygw over a directory of this machine.

use std::env;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::world::World;

const ACCESS_KEY: &str = "stories";
const SECRET_KEY: &str = "stories-secret";
/// How long it may take until it listens.
const LISTENS: Duration = Duration::from_secs(20);

/// The Secret with what it takes to use the store, and to encrypt what is put there.
pub(crate) const SECRET: &str = "
apiVersion: v1
kind: Secret
metadata: {name: archive}
stringData:
  access-key-id: stories
  secret-access-key: stories-secret
  encryption-key: thirty-two bytes that nobody else has
";

/// A store, for as long as it is held.
pub(crate) struct Store {
    directory: TempDir,
    address: SocketAddr,
    server: Child,
}

impl Store {
    /// Starts one with an empty bucket `backups`.
    pub(crate) fn start(world: &World) -> Self {
        let directory = TempDir::new().expect("a directory can be made");
        std::fs::create_dir_all(directory.path().join("data/backups")).expect("a bucket can be made");
        // The address that machines of the cluster know this one by.
        let node = world.kubectl(&[
            "get",
            "nodes",
            "-o",
            r#"jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}"#,
        ]);
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket can be opened");
        socket.connect((node.trim(), 9)).expect("a machine of the cluster has an address");
        let host = socket.local_addr().expect("it has an address").ip();
        let free = TcpListener::bind((host, 0)).and_then(|listener| listener.local_addr());
        let address = free.expect("a port is free");
        let server = serve(directory.path(), address);
        Self { directory, address, server }
    }

    /// The store, as a destination of a spec.
    pub(crate) fn destination(&self) -> String {
        format!("{{s3: {{bucket: backups, endpoint: 'http://{}', credentialsSecret: archive}}}}", self.address)
    }

    /// The last part of a log that clusters of this namespace archived, of those that have messages: its name, and its file.
    pub(crate) fn object_of(&self, namespace: &str) -> (String, PathBuf) {
        let bucket = self.directory.path().join("data/backups");
        let mut folders = vec![bucket.join(namespace)];
        let mut parts = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder can be read") {
                let path = entry.expect("it can be read").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => parts.extend((folder.ends_with("log")).then_some(path)),
                }
            }
        }
        let written = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).expect("it has a time");
        let big = |path: &PathBuf| path.metadata().is_ok_and(|file| file.len() > 4096);
        parts.retain(big);
        let last = parts.into_iter().max_by_key(written).expect("something was archived");
        let name = last.strip_prefix(&bucket).expect("it is in the bucket").display().to_string();
        (name, last)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn serve(directory: &Path, address: SocketAddr) -> Child {
    let program =
        env::var_os("FERRYMQ_VERSITYGW").expect("FERRYMQ_VERSITYGW names the store: cargo xtask test kubernetes");
    let mut server = Command::new(program)
        .args(["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--port", &address.to_string(), "--quiet", "posix"])
        .arg(directory.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the store can be started");
    let since = Instant::now();
    while TcpStream::connect(address).is_err() {
        let ended = server.try_wait().expect("it can be asked");
        assert!(ended.is_none() && since.elapsed() < LISTENS, "the store does not listen: {ended:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}
