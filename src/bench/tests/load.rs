//! Loads, run against the server of the AMQP front end with a broker in memory behind it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails where something is not as it should be")]

use std::{net::SocketAddr, sync::Arc};

use clap::Parser;
use ferrymq_amqp::Settings;
use ferrymq_bench::{Arguments, BenchError};
use ferrymq_core::Confirmation;
use ferrymq_testkit::FakeBroker;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    arguments: Arguments,
}

async fn listening(broker: &FakeBroker) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let broker = broker.clone();
    tokio::spawn(async move {
        let (_shutdown, stopped) = watch::channel(false);
        let settings = Arc::new(Settings::default());
        while let Ok((socket, peer)) = listener.accept().await {
            tokio::spawn(ferrymq_amqp::serve(broker.clone(), socket, peer, Arc::clone(&settings), stopped.clone()));
        }
    });
    address
}

/// Runs what is typed, and gives its JSON.
async fn bench(uri: String, typed: &str, stop: impl Future<Output = ()>) -> Result<Value, BenchError> {
    let typed = format!("bench {typed} --uri {uri} --quiet --json -");
    let arguments = Typed::parse_from(typed.split_whitespace()).arguments;
    let (mut out, mut aside) = (Vec::new(), Vec::new());
    ferrymq_bench::run(&arguments, stop, &mut out, &mut aside).await?;
    assert!(!aside.is_empty());
    Ok(serde_json::from_slice(&out).unwrap())
}

async fn run(broker: &FakeBroker, typed: &str) -> Result<Value, BenchError> {
    bench(format!("amqp://{}", listening(broker).await), typed, std::future::pending()).await
}

/// The same, while a test does something to the broker.
async fn run_while(broker: &FakeBroker, typed: &str, act: impl Future<Output = ()>) -> Value {
    tokio::select! {
        report = run(broker, typed) => report.unwrap(),
        () = async { act.await; std::future::pending().await } => unreachable!("it never ends"),
    }
}

fn numbers<const N: usize>(report: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}")))
}

#[tokio::test]
async fn everything_published_is_confirmed_received_and_acknowledged() {
    let broker = FakeBroker::new();
    let typed = "--messages 5000 --publishers 3 --consumers 2 --queues 4 --size 100 --prefetch 20 --ack-every 7";
    let report = run(&broker, typed).await.unwrap();
    assert_eq!(numbers(&report, ["published", "confirmed", "received"]), [5000; 3]);
    assert_eq!(numbers(&report, ["errors", "nacked", "redelivered", "reconnects", "lost_confirms"]), [0; 5]);
    assert_eq!(numbers(&report, ["size", "publishers", "consumers", "queues"]), [100, 3, 2, 4]);
    for latency in ["confirm_ms", "end_to_end_ms"] {
        let [p50, p99, max] = ["p50", "p99", "max"].map(|point| report[latency][point].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{report}");
    }
    for queue in ["bench-0", "bench-1", "bench-2", "bench-3"] {
        broker.until(|broker| broker.depth(queue) == Some((0, 0))).await;
    }
}

#[tokio::test]
async fn large_bodies_and_tiny_ones_without_confirms_and_acknowledgements_arrive() {
    for size in [0, 1, 300_000] {
        let broker = FakeBroker::new();
        let typed = format!("--messages 100 --size {size} --confirms 0 --ack-every 0 --transient --delete");
        let report = run(&broker, &typed).await.unwrap();
        assert_eq!(numbers(&report, ["published", "confirmed", "received"]), [100, 0, 100]);
        assert!(report["confirm_ms"].is_null());
        assert_eq!(report["end_to_end_ms"].is_null(), size < 12);
        assert_eq!(broker.depth("bench-0"), None);
    }
}

#[tokio::test]
async fn a_rate_is_kept() {
    let broker = FakeBroker::new();
    let report = run(&broker, "--rate 2000 --seconds 1 --publishers 2").await.unwrap();
    let [published, confirmed, received, behind] = numbers(&report, ["published", "confirmed", "received", "behind"]);
    assert_eq!((published, confirmed), (received, received));
    assert!(published.abs_diff(2000) < 20 && behind == 0, "{report}");
}

#[tokio::test]
async fn what_a_broken_connection_leaves_unconfirmed_is_counted() {
    let broker = FakeBroker::new();
    broker.hold_confirms();
    let act = async {
        broker.until(|broker| broker.confirms_held() == 100).await;
        broker.close_all("it is stopped");
        broker.until(|broker| broker.confirms_held() == 200).await;
        loop {
            broker.release_confirms(|_| Some(Confirmation::Stored));
            broker.until(|broker| broker.confirms_held() > 0).await;
        }
    };
    let report = run_while(&broker, "--messages 1000 --confirms 100 --consumers 0", act).await;
    assert_eq!(numbers(&report, ["published", "confirmed", "lost_confirms", "reconnects"]), [1000, 900, 100, 1]);
    assert_eq!(numbers(&report, ["errors"]), [1]);
    assert!(report["longest_pause_ms"].as_f64().unwrap() >= 50.0, "{report}");
}

#[tokio::test]
async fn a_publisher_that_is_told_to_wait_waits() {
    let broker = FakeBroker::new();
    broker.hold_confirms();
    let act = async {
        broker.until(|broker| broker.confirms_held() == 10).await;
        broker.block("low on memory");
        broker.release_confirms(|_| Some(Confirmation::Stored));
    };
    let report = run_while(&broker, "--seconds 1 --confirms 10 --consumers 0", act).await;
    assert_eq!(numbers(&report, ["confirmed", "nacked"]), [10, 0]);
    // It is told as soon as it publishes again; what was under way by then waits for its confirm.
    let [published] = numbers(&report, ["published"]);
    assert!((11..=20).contains(&published), "{report}");
    assert!(report["blocked_seconds"].as_f64().unwrap() > 0.5, "{report}");
}

#[tokio::test]
async fn a_publisher_that_was_told_to_wait_goes_on_when_it_may() {
    let broker = FakeBroker::new();
    broker.hold_confirms();
    let act = async {
        broker.until(|broker| broker.confirms_held() == 10).await;
        broker.block("low on memory");
        broker.release_confirms(|_| Some(Confirmation::Stored));
        broker.unblock();
        broker.until(|broker| broker.confirms_held() == 10).await;
        broker.release_confirms(|_| Some(Confirmation::Rejected));
    };
    let report = run_while(&broker, "--messages 20 --confirms 10 --consumers 0", act).await;
    assert_eq!(numbers(&report, ["published", "confirmed", "nacked"]), [20, 10, 10]);
}

#[tokio::test]
async fn queues_are_declared_and_go_again() {
    let broker = FakeBroker::new();
    let report = run(&broker, "queues --count 120 --connections 3 --queue-prefix many-").await.unwrap();
    assert_eq!(numbers(&report, ["declared", "connections"]), [120, 3]);
    assert!(report["declare_ms"]["p50"].as_f64().unwrap() > 0.0);
    assert_eq!(broker.depth("many-119"), Some((0, 0)));
    run(&broker, "queues --count 120 --queue-prefix many- --delete").await.unwrap();
    assert_eq!(broker.depth("many-119"), None);
}

#[tokio::test]
async fn a_run_that_is_stopped_has_a_result() {
    let broker = FakeBroker::new();
    let uri = format!("amqp://{}", listening(&broker).await);
    let stop = broker.until(|broker| broker.depth("bench-0").is_some_and(|(ready, _)| ready >= 500));
    let report = bench(uri, "--seconds 3600 --consumers 0", stop).await.unwrap();
    let [published, confirmed] = numbers(&report, ["published", "confirmed"]);
    assert!(published >= 500 && published == confirmed, "{report}");
    assert!(report["seconds"].as_f64().unwrap() < 3600.0);
}

#[tokio::test]
async fn what_cannot_work_is_said_at_once() {
    let broker = FakeBroker::new();
    let told = |result: Result<Value, BenchError>| result.unwrap_err().to_string();

    let uri = format!("amqp://guest:wrong@{}", listening(&broker).await);
    let refused = told(bench(uri, "--messages 1", std::future::pending()).await);
    assert!(refused.contains("403: ACCESS_REFUSED") && refused.contains("check user and password"), "{refused}");

    let uri = format!("amqp://{}/nowhere", listening(&broker).await);
    let refused = told(bench(uri, "--messages 1", std::future::pending()).await);
    assert!(refused.contains("530: NOT_ALLOWED") && refused.contains("virtual host"), "{refused}");

    let refused = told(run(&broker, "--no-declare --queue-prefix none-").await);
    assert!(refused.contains("queue 'none-0': 404: NOT_FOUND"), "{refused}");

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = told(bench(format!("amqp://{free}"), "--messages 1", std::future::pending()).await);
    assert!(refused.contains("cannot connect") && refused.contains("is the broker up"), "{refused}");

    let refused = told(run(&broker, "--publishers 0 --messages 1").await);
    assert!(refused.contains("there are no publishers"), "{refused}");
}
