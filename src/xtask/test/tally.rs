//! What passed, what failed, what was measured.

use std::process::Command;

use crate::command;

/// The sum over all runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    failures: Vec<String>,
    measured: Vec<String>,
}

impl Tally {
    /// Runs a command whose output is that of Rust's test harness, and adds what it says.
    ///
    /// # Errors
    ///
    /// Where it cannot be started.
    pub(super) fn run(&mut self, tests: &mut Command) -> anyhow::Result<()> {
        let failed = self.failed;
        let succeeded = command::watch(tests, |line| self.see(line))?;
        if !succeeded && self.failed == failed {
            anyhow::bail!("{} ended without saying which test failed", command::shown(tests));
        }
        Ok(())
    }

    /// Takes note of a line of output.
    pub(super) fn see(&mut self, line: &str) {
        if let Some(at) = line.find("measured: ") {
            self.measured.push(line[at..].to_owned());
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += count(result, " passed;");
            self.failed += count(result, " failed;");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
    }

    /// A whole kind of tests that could not be run.
    pub(super) fn broken(&mut self, what: &str, error: &anyhow::Error) {
        self.failed += 1;
        self.failures.push(format!("{what}: {error:#}"));
    }

    /// Prints the sum; its last line is the count, alone.
    pub(super) fn print(&self) {
        for line in &self.measured {
            println!("{line}");
        }
        for name in &self.failures {
            println!("failed: {name}");
        }
        println!("{} passed, {} failed", self.passed, self.failed);
    }
}

/// The number before `what`, as in "3 passed;".
fn count(result: &str, what: &str) -> u64 {
    let before = result.split(what).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_runs_are_summed() {
        let mut tally = Tally::default();
        for line in [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.00s",
            "measured: time from apply to ready: 9 s",
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            tally.see(line);
        }
        let expected = Tally {
            passed: 13,
            failed: 1,
            failures: vec!["a::c".to_owned()],
            measured: vec!["measured: time from apply to ready: 9 s".to_owned()],
        };
        assert_eq!(tally, expected);
    }

    #[test]
    fn a_run_that_fails_without_a_failed_test_is_an_error() {
        let mut tally = Tally::default();
        assert!(tally.run(&mut Command::new("false")).is_err());
    }
}
