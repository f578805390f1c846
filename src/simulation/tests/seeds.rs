//! Whole clusters under faults, by seeds; and promises that are broken on purpose, each of which must be noticed.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]

use std::{
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

use ferrymq_simulation::Flaw;

/// Seeds that every run goes through.
const FIXED: u32 = 120;
/// Seeds that nobody went through before.
const FRESH: u32 = 60;
/// Within so many seeds a broken promise is noticed.
const NOTICED_WITHIN: u32 = 400;

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferrymq-simulate")).args(arguments).output().unwrap()
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_seed_is_the_same_story_every_time() {
    let [first, second] = [(); 2].map(|()| simulate(&["--seed", "4", "--json"]));
    assert!(first.stdout == second.stdout, "{}\n{}", printed(&first), printed(&second));
}

#[test]
fn every_promise_is_kept_whatever_fails() {
    let output = simulate(&["--seeds", &FIXED.to_string()]);
    assert!(output.status.success(), "{}", printed(&output));
    println!("{}", printed(&output));
}

#[test]
fn every_promise_is_kept_in_stories_that_nobody_knows() {
    let first = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let output = simulate(&["--seeds", &FRESH.to_string(), "--first", &first.to_string()]);
    assert!(output.status.success(), "{}", printed(&output));
    println!("measured: {FRESH} fresh seeds, from {first} on: every promise kept");
}

#[test]
fn every_promise_that_is_broken_on_purpose_is_noticed() {
    for flaw in Flaw::ALL {
        let output = simulate(&["--seeds", &NOTICED_WITHIN.to_string(), "--flaw", flaw.name()]);
        assert!(!output.status.success(), "{} was not noticed within {NOTICED_WITHIN} seeds", flaw.name());
        let text = printed(&output);
        let how = text.lines().find(|line| line.starts_with("seed ")).unwrap_or_default();
        println!("measured: {}: {how}", flaw.name());
    }
}
