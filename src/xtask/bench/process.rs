//! Programs that run while something is measured. None of them outlives this command, however it ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::command;

/// Between two looks at whether something came about; what is timed by looking is that much off.
const LOOK: Duration = Duration::from_millis(20);

/// A program that runs.
pub(super) struct Process {
    name: String,
    child: Child,
    log: Option<PathBuf>,
}

impl Process {
    /// Starts it; what it says is added to `log`, or goes where ours goes.
    ///
    /// # Errors
    ///
    /// Where it cannot be started.
    pub(super) fn start(name: &str, command: &mut Command, log: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(log) = log {
            let file = File::options().create(true).append(true).open(log);
            let file = file.with_context(|| format!("cannot open {}", log.display()))?;
            command.stdout(file.try_clone()?).stderr(file);
        }
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.with_context(|| format!("cannot start {}", command::shown(command)))?;
        Ok(Self { name: name.to_owned(), child, log: log.map(Path::to_owned) })
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// # Errors
    ///
    /// Where it has ended.
    pub(super) fn check_runs(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended: {status}{}", self.name, self.last_words()),
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// Where it does not within `limit`, or ends with anything but success.
    pub(super) fn finish(&mut self, limit: Duration) -> anyhow::Result<()> {
        let status = self.wait(limit)?;
        if !status.success() {
            bail!("{} failed: {status}{}", self.name, self.last_words());
        }
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// Where it has ended.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), signal).with_context(|| format!("{} cannot be told", self.name))
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Where the system does not let us.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let name = self.name.clone();
        until(&format!("{name} did not end"), limit, || Ok(self.child.try_wait()?))
    }

    fn last_words(&self) -> String {
        let Some(log) = &self.log else { return String::new() };
        let text = fs::read_to_string(log).unwrap_or_default();
        let last = text.lines().last().unwrap_or_default();
        format!("; the last of {}: {last}", log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until there is something.
///
/// # Errors
///
/// `what` as a sentence, where there is nothing within `limit`; or what looking gave.
pub(super) fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if began.elapsed() >= limit {
            bail!("{what} within {} s", limit.as_secs());
        }
        std::thread::sleep(LOOK);
    }
}

/// Removes a folder and all that is in it, where it is there.
///
/// # Errors
///
/// Where it cannot be removed.
pub(super) fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bound;

    #[test]
    fn what_a_program_said_last_is_told_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = bound(Path::new("sh")).unwrap();
        let mut process =
            Process::start("shell", command.args(["-c", "echo one; echo two; exit 3"]), Some(&log)).unwrap();
        let told = process.finish(Duration::from_secs(20)).unwrap_err().to_string();
        assert!(told.starts_with("shell failed: exit status: 3; the last of ") && told.ends_with(": two"), "{told}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_when_nobody_wants_it_any_more() {
        let mut command = bound(Path::new("sleep")).unwrap();
        let mut process = Process::start("sleep", command.arg("1000"), None).unwrap();
        assert_eq!(process.finish(Duration::ZERO).unwrap_err().to_string(), "sleep did not end within 0 s");
        let place = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(place.exists());
        drop(process);
        assert!(!place.exists());
    }
}
