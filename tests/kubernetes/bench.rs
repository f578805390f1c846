//! `ferrymq bench`, as a user would call it.

use std::env;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::command::settle;
use crate::world::Broker;

/// `ferrymq bench` against these brokers: what it reports.
pub(crate) async fn bench(brokers: &[Broker], arguments: &[&str]) -> Value {
    let mut bench = Command::new(env::var_os("FERRYMQ_BIN").expect("FERRYMQ_BIN names the binary"));
    bench.arg("bench");
    for broker in brokers {
        let (uri, _) = broker.uri.split_once('?').expect("it has a query");
        bench.args(["--uri", uri]);
    }
    bench.args(arguments).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || bench.output()).await.expect("it ends");
    let said = settle(output.expect("the binary can be started")).unwrap_or_else(|complaint| panic!("{complaint}"));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}
