//! A store that speaks S3, which pods reach: versitygw over a directory of this machine.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use std::{env, iter};

use tempfile::TempDir;

use crate::faults::{self, Filled};
use crate::world::World;

const ACCESS_KEY: &str = "stories";
const SECRET_KEY: &str = "stories-secret";
/// How long it may take until it listens.
const LISTENS: Duration = Duration::from_secs(20);
/// How long a cluster may take to be made of what is in it, on a busy machine.
pub(crate) const STORED: Duration = Duration::from_secs(120);

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
    /// It has a filesystem of its own, which can be full.
    is_mounted: bool,
}

impl Store {
    /// Starts one with an empty bucket `backups`.
    pub(crate) fn start(world: &World) -> Self {
        Self::over(world, None)
    }

    /// The same, on a filesystem of so many megabytes.
    pub(crate) fn start_small(world: &World, megabytes: u32) -> Self {
        Self::over(world, Some(megabytes))
    }

    fn over(world: &World, megabytes: Option<u32>) -> Self {
        let directory = TempDir::new().expect("a directory can be made");
        let data = directory.path().join("data");
        std::fs::create_dir(&data).expect("a directory can be made");
        if let Some(megabytes) = megabytes {
            faults::mount(&directory.path().join("filesystem"), megabytes, &data);
        }
        std::fs::create_dir(data.join("backups")).expect("a bucket can be made");
        let address = free_address(world);
        let server = serve(directory.path(), address);
        Self { directory, address, server, is_mounted: megabytes.is_some() }
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        self.server.kill().expect("it runs");
        self.server.wait().expect("it ends");
    }

    /// Starts it again, with what it had.
    pub(crate) fn start_again(&mut self) {
        self.server = serve(self.directory.path(), self.address);
    }

    /// Leaves it no room, until this is dropped.
    pub(crate) async fn fill(&self) -> Filled {
        faults::fill_directory(self.directory.path().join("data")).await
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The store, as a destination of a spec.
    pub(crate) fn destination(&self) -> String {
        destination(self.address, "backups")
    }

    /// All objects that clusters of this namespace archived: their names, and their files.
    pub(crate) fn objects_of(&self, namespace: &str) -> Vec<(String, PathBuf)> {
        let bucket = self.directory.path().join("data/backups");
        let mut folders = vec![bucket.join(namespace)];
        let mut objects = Vec::new();
        while let Some(folder) = folders.pop() {
            // What is removed meanwhile is not there.
            for path in std::fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&bucket).expect("it is in the bucket").display().to_string();
                    objects.push((name, path));
                }
            }
        }
        objects.sort_unstable();
        objects
    }

    /// The last part of a log that clusters of this namespace archived, of those that have messages: its name, and its file.
    pub(crate) fn object_of(&self, namespace: &str) -> (String, PathBuf) {
        let mut parts = self.objects_of(namespace);
        let written = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).expect("it has a time");
        let big = |path: &PathBuf| path.metadata().is_ok_and(|file| file.len() > 4096);
        parts.retain(|(name, path)| name.contains("/log/") && big(path));
        parts.into_iter().max_by_key(|(_, path)| written(path)).expect("something was archived")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if self.is_mounted {
            faults::unmount(&self.directory.path().join("data"));
        }
    }
}

/// A store that listens there, as a destination of a spec.
pub(crate) fn destination(address: SocketAddr, bucket: &str) -> String {
    format!("{{s3: {{bucket: {bucket}, endpoint: 'http://{address}', credentialsSecret: archive}}}}")
}

/// An address of this machine that pods reach, and where nobody listens. None of the ports that the system gives to whoever
/// asks for any, or Kubernetes to Services: a store that is stopped finds its own again.
pub(crate) fn free_address(world: &World) -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    const LAST: u16 = 29_999;
    let host = host(world);
    let mut ports = iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take_while(|port| *port <= LAST);
    let free = ports.find_map(|port| TcpListener::bind((host, port)).ok()?.local_addr().ok());
    free.expect("a port is free")
}

/// The address that machines of the cluster know this one by.
fn host(world: &World) -> IpAddr {
    let address = r#"jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}"#;
    let node = world.kubectl(&["get", "nodes", "-o", address]);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket can be opened");
    socket.connect((node.trim(), 9)).expect("a machine of the cluster has an address");
    socket.local_addr().expect("it has an address").ip()
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
