//! Unmodified clients against `ferrymq dev`, and `ferrymq dev` itself.
//!
//! | file | what is in it |
//! |---|---|
//! | `programs.rs` | installs and runs the client programs in `python/` and `java/` |
//! | `dev.rs` | a `ferrymq dev` that runs |
//! | `main.rs` | the tests: each program; a file saved, broken and mended; stop and start |
//!
//! The binary is the one that was built with the tests, or the one that `FERRYMQ_BIN` names.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends so, and says why")]

mod dev;
mod programs;

use std::{
    net::TcpListener,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use dev::{Dev, Home, SHOP, small_shop};

/// A topic whose messages are kept.
const KEPT: &str = "\
---
apiVersion: ferrymq.io/v1alpha1
kind: Topic
metadata: {name: visits}
spec: {cluster: shop, partitions: 3, retention: {age: 1d, bytes: 1Gi}}
";

/// A user that may read what begins with `orders.`.
const READER: &str = "\
---
apiVersion: ferrymq.io/v1alpha1
kind: User
metadata: {name: reader}
spec: {cluster: shop, permissions: [{read: '^orders\\.'}]}
";

/// The cluster that the programs use, one at a time: their deadlines are not meant for a machine that is busy with all of
/// them.
fn shop() -> MutexGuard<'static, Home> {
    static SHOP_RUNS: OnceLock<(Mutex<Home>, Dev)> = OnceLock::new();
    let (home, _) = SHOP_RUNS.get_or_init(|| {
        let home = Home::with(SHOP);
        let dev = dev::start_for_the_whole_run(&home);
        (Mutex::new(home), dev)
    });
    home.lock().unwrap_or_else(PoisonError::into_inner)
}

fn passes(outcome: Result<String, String>) {
    match outcome {
        Ok(printed) => println!("{printed}"),
        Err(printed) => panic!("{printed}"),
    }
}

#[test]
fn the_first_program_that_everybody_writes_works() {
    passes(programs::python("hello", &[&shop().uri()]));
}

#[test]
fn the_first_program_works_at_every_broker() {
    let shop = shop();
    for ordinal in 0..3 {
        passes(programs::python("hello", &[&shop.uri_of(ordinal)]));
    }
}

#[test]
fn three_services_of_a_shop_work_together() {
    passes(programs::python("services", &[&shop().uri()]));
}

#[test]
fn a_java_program_works() {
    passes(programs::java("shop.Invoices", &[&shop().uri()]));
}

#[test]
fn publishers_get_what_they_may_rely_on() {
    passes(programs::python("publishing", &[&shop().uri()]));
}

#[test]
fn consumers_get_what_they_may_rely_on() {
    passes(programs::python("consuming", &[&shop().uri_of(1)]));
}

#[test]
fn declarations_do_what_they_say() {
    passes(programs::python("declaring", &[&shop().uri_of(2)]));
}

#[test]
fn streams_are_read_as_they_may_be_relied_on() {
    passes(programs::python("streams", &[&shop().uri_of(1)]));
}

#[test]
fn a_topic_of_the_file_keeps_what_is_published_in_partitions() {
    let home = Home::with(&format!("{SHOP}{KEPT}"));
    let dev = home.start();
    passes(programs::python("partitions", &[&home.uri_of(2), "visits", "3"]));
    assert!(home.ctl("topics").contains("visits-2"), "{}", home.ctl("topics"));
    home.save(&format!("{SHOP}{}", KEPT.replace("partitions: 3", "partitions: 4")));
    dev.wait_for("was saved: applying it");
    home.wait_for_ctl("topics", "the new partition", |topics| topics.contains("visits-3"));
}

#[test]
fn connections_are_opened_kept_and_refused_as_they_should_be() {
    passes(programs::python("connecting", &[&shop().uri()]));
}

#[test]
fn a_user_of_the_file_does_what_it_may_and_is_let_go_when_it_is_gone() {
    let home = Home::with(&format!("{}{READER}", small_shop()));
    let dev = home.start();
    let users = home.ctl("users");
    assert!(users.contains("reader  default/reader  /") && users.contains("guest   the cluster"), "{users}");
    let reader = home.uri().replace("guest:guest", &format!("reader:{}", home.password()));
    let program = thread::scope(|threads| {
        let program = threads.spawn(|| programs::python("permissions", &[&home.uri(), &reader, "until-deleted"]));
        home.wait_for_ctl("cluster", "the program to read", |cluster| cluster.contains("in 4 queues"));
        home.save(&small_shop());
        dev.wait_for("was saved: applying it");
        program.join()
    });
    passes(program.unwrap());
    assert!(!home.ctl("users").contains("reader"), "{}", home.ctl("users"));
}

#[test]
fn clients_over_tls_know_whom_they_talk_to() {
    let home = Home::with(&SHOP.replace("storage: {size: 1Gi}", "storage: {size: 1Gi}, tls: {}"));
    let dev = home.start();
    let authority = home.authority().display().to_string();
    dev.wait_for(&format!("clients are to trust {authority}"));
    for ordinal in [0, 2] {
        passes(programs::python("tls", &[&home.secure_uri_of(ordinal), &authority]));
    }
    // The other listener is as it was.
    passes(programs::python("hello", &[&home.uri_of(1)]));
}

#[test]
fn messages_of_a_topic_of_the_file_arrive() {
    let home = Home::with(&small_shop());
    let _dev = home.start();
    assert!(home.ctl("topics").contains("payments"), "{}", home.ctl("topics"));
}

#[test]
fn a_saved_file_is_applied_again() {
    let home = Home::with(&small_shop());
    let dev = home.start();
    let more = small_shop().replace("queues: [", "queues: [{name: shipping, routingKeys: [\"sent.#\"]}, ");
    home.save(&more);
    dev.wait_for("was saved: applying it");
    home.wait_for_ctl("topics", "the new queue", |topics| topics.contains("shipping"));
    // A Topic that is gone from the file stays, and belongs to nobody; one that is to be deleted goes.
    let (cluster, topic) = small_shop().split_once("---\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    home.save(&format!("{cluster}---\n{topic}  deletionPolicy: Delete\n"));
    dev.wait_for("was saved: applying it");
    home.wait_for_ctl("topics", "the queue to go again", |topics| !topics.contains("shipping"));
    home.save(&cluster);
    home.wait_for_ctl("topics", "the topic to go", |topics| topics.contains("there are no topics"));
}

#[test]
fn a_broken_file_keeps_the_last_good_state() {
    let home = Home::with(&small_shop());
    let dev = home.start();
    home.save(&small_shop().replace("1Gi", "plenty"));
    dev.wait_for("shop.yaml:4:31: spec.storage.size: ");
    passes(programs::python("hello", &[&home.uri()]));
    assert!(home.ctl("topics").contains("payments"));
    home.save(&small_shop().replace("payments", "invoices"));
    dev.wait_for("was saved: applying it");
    home.wait_for_ctl("topics", "the queue of the mended file", |topics| topics.contains("invoices"));
}

#[test]
fn what_cannot_be_done_while_it_runs_is_said() {
    let home = Home::with(&small_shop());
    let dev = home.start();
    home.save(SHOP);
    dev.wait_for("! spec.replicas: 3 brokers are wanted and 1 run");
    passes(programs::python("hello", &[&home.uri()]));
}

#[test]
fn a_broken_file_is_refused_at_the_start_with_line_and_field() {
    let home = Home::with(&small_shop().replace("replicas: 1", "replicas: none"));
    let output = home.command().output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(told.contains("shop.yaml:4:") && told.contains("spec.replicas"), "{told}");
}

#[test]
fn messages_survive_a_restart() {
    let home = Home::with(SHOP);
    let dev = home.start();
    passes(programs::python("kept", &[&home.uri(), "put", "kept", "200"]));
    dev.stop();
    let dev = home.start();
    passes(programs::python("kept", &[&home.uri_of(1), "take", "kept", "200"]));
    dev.stop();
}

#[test]
fn messages_survive_a_kill() {
    let home = Home::with(SHOP);
    let dev = home.start();
    passes(programs::python("kept", &[&home.uri(), "put", "kept", "200"]));
    dev.signal("KILL");
    drop(dev);
    let dev = home.start();
    passes(programs::python("kept", &[&home.uri_of(2), "take", "kept", "200"]));
    dev.stop();
}

#[test]
fn ctrl_c_stops_cleanly_and_soon() {
    for signal in ["INT", "TERM"] {
        let home = Home::with(&small_shop());
        let mut dev = home.start();
        dev.signal(signal);
        assert!(dev.ended(Duration::from_secs(10)).success());
        dev.wait_for("stopped");
        assert!(TcpListener::bind(("127.0.0.1", home.base_port)).is_ok());
    }
}

#[test]
fn a_second_dev_on_the_same_data_is_refused() {
    let home = Home::with(&small_shop());
    let _dev = home.start();
    let output = home.command().output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(told.contains("is used by another ferrymq dev (process "), "{told}");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let home = Home::with(&small_shop());
    let _taken = TcpListener::bind(("127.0.0.1", home.base_port)).unwrap();
    let output = home.command().output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(told.contains(&format!("port {} (amqp of shop-0)", home.base_port)), "{told}");
}
