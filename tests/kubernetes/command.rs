//! kubectl and helm, as a user would call them.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Runs kubectl, and returns what it prints. Panics where it fails.
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    succeed(Command::new("kubectl").args(arguments))
}

/// What kubectl prints where it succeeds, else what it complains of.
pub(crate) fn try_kubectl(arguments: &[&str]) -> Result<String, String> {
    settle(Command::new("kubectl").args(arguments).output().expect("kubectl is in the path"))
}

/// What helm prints where it succeeds, else what it complains of.
pub(crate) fn try_helm(arguments: &[&str]) -> Result<String, String> {
    settle(Command::new("helm").args(arguments).output().expect("helm is in the path"))
}

/// `kubectl apply -f -`: what it prints where it succeeds, else what it complains of.
pub(crate) fn apply(namespace: &str, yaml: &str) -> Result<String, String> {
    fed(&["apply", "--namespace", namespace, "-f", "-"], yaml)
}

/// kubectl with something on its standard input: what it prints where it succeeds, else what it complains of.
pub(crate) fn fed(arguments: &[&str], yaml: &str) -> Result<String, String> {
    let mut child = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl is in the path");
    child.stdin.take().expect("stdin is piped").write_all(yaml.as_bytes()).expect("kubectl reads its input");
    settle(child.wait_with_output().expect("kubectl ends"))
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    settle(output).unwrap_or_else(|complaint| panic!("{command:?} failed: {complaint}"))
}

/// What a program printed where it succeeded, else what it complained of.
pub(crate) fn settle(output: Output) -> Result<String, String> {
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
