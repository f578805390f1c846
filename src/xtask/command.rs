//! Running other programs.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// A command that runs in `folder`.
pub(crate) fn command(folder: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command
}

/// Whether there is a program of this name.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// A command that the kernel kills when this process is gone, however that ends.
///
/// # Errors
///
/// Where `setpriv` is missing.
pub(crate) fn bound(program: &Path) -> anyhow::Result<Command> {
    if !exists("setpriv") {
        bail!("setpriv is missing, which ends what is started with this command: install util-linux");
    }
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]).arg(program);
    Ok(bound)
}

/// Runs it, with its output going where ours goes.
///
/// # Errors
///
/// Where it cannot be started, or ends with anything but success.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs it, passes on every line of its standard output, and shows it to `seen`; whether it succeeded.
///
/// # Errors
///
/// Where it cannot be started.
pub(crate) fn watch(command: &mut Command, mut seen: impl FnMut(&str)) -> anyhow::Result<bool> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {}", shown(command)))?;
    let lines = BufReader::new(child.stdout.take().context("a child without the output that was asked for")?);
    for line in lines.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        seen(&line);
    }
    Ok(child.wait()?.success())
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
