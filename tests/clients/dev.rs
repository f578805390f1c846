//! A `ferrymq dev` that runs, with a data directory and ports of its own.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long anything that dev is waited for may take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ports that a dev of up to ten brokers and two listeners takes.
const BLOCK: u16 = 40;

/// Three brokers and a topic.
pub(crate) const SHOP: &str = "\
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {name: shop}
spec: {replicas: 3, storage: {size: 1Gi}}
---
apiVersion: ferrymq.io/v1alpha1
kind: Topic
metadata: {name: order-created}
spec:
  cluster: shop
  queues: [{name: payments, routingKeys: [\"paid.*\"]}]
";

/// One broker, which is quicker.
pub(crate) fn small_shop() -> String {
    SHOP.replace("replicas: 3", "replicas: 1")
}

/// The binary that is tested.
pub(crate) fn binary() -> PathBuf {
    env::var_os("FERRYMQ_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_ferrymq")), PathBuf::from)
}

/// Where a dev runs: what outlives its process.
pub(crate) struct Home {
    folder: TempDir,
    pub(crate) base_port: u16,
}

impl Home {
    pub(crate) fn with(yaml: &str) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap(), base_port: free_block() };
        home.save(yaml);
        home
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("shop.yaml")
    }

    pub(crate) fn save(&self, yaml: &str) {
        fs::write(self.file(), yaml).unwrap();
    }

    /// Address of the first broker.
    pub(crate) fn uri(&self) -> String {
        self.uri_of(0)
    }

    /// Address of a broker's listener with TLS, where there is one.
    pub(crate) fn secure_uri_of(&self, ordinal: u16) -> String {
        format!("amqps://guest:guest@127.0.0.1:{}/%2F", self.base_port + 30 + ordinal)
    }

    /// The authority of that.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("data/shop/tls/ca.crt")
    }

    pub(crate) fn uri_of(&self, ordinal: u16) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2F", self.base_port + ordinal)
    }

    /// The password of the one user of the file.
    pub(crate) fn password(&self) -> String {
        let users = fs::read_to_string(self.folder.path().join("data/shop/users.json")).unwrap();
        let (_, after) = users.split_once("\"password\": \"").unwrap();
        after.split('"').next().unwrap().to_owned()
    }

    /// What is typed to run it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.args(["dev", "--base-port", &self.base_port.to_string(), "-f"]).arg(self.file());
        command.arg("--data-dir").arg(self.folder.path().join("data"));
        command
    }

    /// Runs it until it is ready.
    pub(crate) fn start(&self) -> Dev {
        let dev = Dev::start(self.command());
        dev.wait_for("shop is ready");
        dev
    }

    /// What `ferrymq ctl` says of its first broker.
    pub(crate) fn ctl(&self, command: &str) -> String {
        let config = self.folder.path().join("data/shop/shop-0.json");
        let output = Command::new(binary()).args(["ctl", "--config"]).arg(config).arg(command).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "ctl {command}: {told}{}", String::from_utf8_lossy(&output.stderr));
        told
    }

    /// Waits until `ferrymq ctl` says something that holds.
    pub(crate) fn wait_for_ctl(&self, command: &str, what: &str, holds: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.ctl(command);
            if holds(&told) {
                return;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}; ctl {command} says:\n{told}");
            thread::yield_now();
        }
    }
}

/// A dev that runs. Ended by force when it is dropped.
pub(crate) struct Dev {
    child: Child,
    printed: Arc<Printed>,
}

#[derive(Default)]
struct Printed {
    text: Mutex<String>,
    more: Condvar,
}

impl Dev {
    pub(crate) fn start(mut command: Command) -> Self {
        // Its log goes to the test's output as it is; what it prints for people is read here.
        Self::of(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn of(mut child: Child) -> Self {
        let printed = Arc::new(Printed::default());
        let (told, stdout) = (printed.clone(), child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                told.text.lock().unwrap().push_str(&format!("{line}\n"));
                told.more.notify_all();
            }
        });
        Self { child, printed }
    }

    /// All that it printed so far.
    pub(crate) fn printed(&self) -> String {
        self.printed.text.lock().unwrap().clone()
    }

    /// Waits until it has printed this, and forgets all that it printed up to there.
    pub(crate) fn wait_for(&self, wanted: &str) {
        let text = self.printed.text.lock().unwrap();
        let (mut text, late) =
            self.printed.more.wait_timeout_while(text, PATIENCE, |text| !text.contains(wanted)).unwrap();
        assert!(!late.timed_out(), "waited in vain for '{wanted}'; dev printed:\n{text}");
        let end = text.find(wanted).unwrap() + wanted.len();
        text.drain(..end);
    }

    /// Sends it a signal, as the shell does for Ctrl-C.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits until it ended.
    pub(crate) fn ended(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "dev did not end within {within:?}; it printed:\n{}", self.printed());
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Stops it as Ctrl-C does.
    pub(crate) fn stop(mut self) {
        self.signal("INT");
        assert!(self.ended(Duration::from_secs(20)).success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A dev for many tests: it ends with the process of the tests, whose end of the pipe closes then, because a static is
/// never dropped.
pub(crate) fn start_for_the_whole_run(home: &Home) -> Dev {
    let dev = home.command();
    let script = r#""$@" </dev/null & dev=$!; cat >/dev/null; kill -s TERM $dev; wait $dev"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(dev.get_program()).args(dev.get_args());
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Kept open until the process ends.
    std::mem::forget(child.stdin.take());
    let dev = Dev::of(child);
    dev.wait_for("shop is ready");
    dev
}

/// The first port of a block that nobody uses, below the ports that the system gives out by itself.
fn free_block() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another run of the tests, in another process, begins elsewhere.
    let begin = u16::try_from(std::process::id() % 300).unwrap();
    for _ in 0..300 {
        let base = 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 300 * 40;
        if (base..base + BLOCK).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("no {BLOCK} ports in a row are free between 20000 and 32000");
}
