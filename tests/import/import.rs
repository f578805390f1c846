//! `ferrymq ctl import`, as it is typed.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    dev::{Home, binary},
    rabbit::{self, Rabbit},
};

/// How long an import may take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(240);

/// A move, which may take several runs.
pub(crate) struct Import {
    from: String,
    management: String,
    to: String,
    state: TempDir,
}

/// How far a queue is, as the file in its folder says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) moved: u64,
    pub(crate) stage: String,
}

impl Import {
    pub(crate) fn new(rabbit: &Rabbit, home: &Home) -> Self {
        Self {
            from: rabbit.uri(),
            management: rabbit::management(),
            to: home.uri(),
            state: tempfile::tempdir().unwrap(),
        }
    }

    /// The same with another address.
    pub(crate) fn from(mut self, uri: &str) -> Self {
        uri.clone_into(&mut self.from);
        self
    }

    /// The same with another management API.
    pub(crate) fn managed_at(mut self, url: &str) -> Self {
        url.clone_into(&mut self.management);
        self
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["ctl", "import", "--from", &self.from, "--from-management", &self.management]);
        command.args(["--to", &self.to, "--state"]).arg(self.folder()).args(more);
        command
    }

    fn folder(&self) -> PathBuf {
        self.state.path().join("state")
    }

    /// Runs it to its end, whichever that is.
    pub(crate) fn end(&self, more: &[&str]) -> Output {
        self.command(more).output().unwrap()
    }

    /// Runs it to its good end; what it printed.
    pub(crate) fn succeeds(&self, more: &[&str]) -> String {
        told(&self.end(more))
    }

    /// Runs it to its bad end; what it said.
    pub(crate) fn fails(&self, more: &[&str]) -> String {
        let output = self.end(more);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
        said
    }

    pub(crate) fn start(&self, more: &[&str]) -> Running {
        let child = self.command(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { child: Some(child) }
    }

    /// How far all queues are together, and what the one under way does; nothing where it has not begun.
    pub(crate) fn reached(&self) -> Reached {
        let mut reached = Reached { moved: 0, stage: "settled".to_owned() };
        for entry in fs::read_dir(self.folder()).into_iter().flatten().flatten() {
            if entry.path().extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read(entry.path()).unwrap();
            let one: serde_json::Value = serde_json::from_slice(&text).unwrap();
            reached.moved += one["moved"].as_u64().unwrap();
            let stage = one["stage"]["is"].as_str().unwrap();
            if stage != "settled" {
                stage.clone_into(&mut reached.stage);
            }
        }
        reached
    }

    /// Waits until so many messages are moved; false where the run ended before.
    pub(crate) fn wait_for(&self, running: &mut Running, moved: u64) -> bool {
        self.wait_until(running, moved, |_| true)
    }

    /// Waits until so many messages are moved, and others are on their way to FerryMQ; false where the run ended before.
    pub(crate) fn wait_for_publishing(&self, running: &mut Running, moved: u64) -> bool {
        self.wait_until(running, moved, |stage| stage == "publishing")
    }

    fn wait_until(&self, running: &mut Running, moved: u64, is_stage: impl Fn(&str) -> bool) -> bool {
        let began = Instant::now();
        let is_there = |reached: Reached| reached.moved >= moved && is_stage(&reached.stage);
        while !is_there(self.reached()) {
            if running.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {moved} messages: {:?}", self.reached());
            thread::yield_now();
        }
        true
    }
}

/// What a run printed that ended well.
pub(crate) fn told(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// A run. Killed when it is dropped.
pub(crate) struct Running {
    child: Option<Child>,
}

impl Running {
    /// Kills it, as `kill -9` does.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(mut self) -> Output {
        self.child.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
