//! `ferrymq ctl import`: a real RabbitMQ, a real `ferrymq dev`, and what comes between them.
//!
//! | file | what is in it |
//! |---|---|
//! | `rabbit.rs` | the RabbitMQ that `cargo xtask test import` started, a virtual host for each test |
//! | `wire.rs` | what is between it and the import, and can be cut |
//! | `import.rs` | the command, its runs, and how far they are |
//! | `goods.rs` | messages that tell which they are |
//! | `main.rs` | the tests |

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends so, and says why")]

#[allow(dead_code, reason = "the tests of clients use more of it")]
#[path = "../clients/dev.rs"]
mod dev;
mod goods;
mod import;
mod rabbit;
mod wire;

use dev::{Home, small_shop};
use import::{Import, told};
use lapin::{
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use rabbit::Rabbit;
use wire::Wire;

/// The three queues of a shop, of which one is large.
const QUEUES: [(&str, &str, u64); 3] =
    [("billed", "classic", 4000), ("paid", "quorum", 14_000), ("sent", "quorum", 2000)];

/// A shop in RabbitMQ, full.
async fn full(rabbit: &Rabbit, share: u64) {
    let (connection, channel) = rabbit.channel().await;
    for (queue, kind, count) in QUEUES {
        goods::declare(&channel, queue, kind).await;
        goods::put(&channel, queue, 0..count / share).await;
    }
    connection.close(200, "done".into()).await.unwrap();
}

/// The lines of the table, by queue: found, moved, left, before, now, and whether it is verified.
fn row(told: &str, queue: &str) -> Vec<String> {
    let line = told.lines().find(|line| line.split_whitespace().next() == Some(queue) && line.contains("  "));
    let cells: Vec<_> = line.unwrap_or_else(|| panic!("no {queue} in:\n{told}")).split_whitespace().collect();
    cells[1..6].iter().chain(cells.last()).map(|cell| (*cell).to_owned()).collect()
}

#[tokio::test]
async fn twenty_thousand_messages_are_moved_though_it_is_killed_again_and_again() {
    let (rabbit, home) = (Rabbit::with("killed"), Home::with(&small_shop()));
    let _dev = home.start();
    full(&rabbit, 1).await;
    let import = Import::new(&rabbit, &home);
    let mut stages = Vec::new();
    for (round, moved) in (1000..20_000).step_by(1500).enumerate() {
        let mut running = import.start(&["--window", "50"]);
        // What FerryMQ has then is known in one half of them, and has to be looked for in the other.
        let wait = if round % 2 == 0 { Import::wait_for } else { Import::wait_for_publishing };
        assert!(wait(&import, &mut running, moved), "it ended before it was killed");
        running.kill();
        stages.push(import.reached().stage);
    }
    let end = import.succeeds(&["--verify"]);
    println!("killed while {}\n{end}", stages.join(", "));
    assert!(!end.contains("twice"), "{end}");
    for (queue, _, count) in QUEUES {
        let count_told = count.to_string();
        let expected = [&count_told, &count_told, "0", "0", &count_told, "yes"];
        assert_eq!(row(&end, queue), expected, "{end}");
        goods::take(&home.uri(), queue, 0..count).await;
    }
}

#[tokio::test]
async fn a_copy_leaves_all_where_it_is_and_can_be_killed_as_well() {
    let (rabbit, home) = (Rabbit::with("copied"), Home::with(&small_shop()));
    let _dev = home.start();
    full(&rabbit, 10).await;
    let import = Import::new(&rabbit, &home);
    for moved in [300, 900, 1500] {
        let mut running = import.start(&["--copy", "--window", "20"]);
        assert!(import.wait_for(&mut running, moved), "it ended before it was killed");
        running.kill();
    }
    // The second time nothing is left to do.
    for _ in 0..2 {
        let end = import.succeeds(&["--copy", "--verify"]);
        for (queue, _, count) in QUEUES {
            let count = (count / 10).to_string();
            assert_eq!(row(&end, queue), [&count, &count, &count, "0", &count, "yes"], "{end}");
        }
    }
    for (queue, _, count) in QUEUES {
        goods::take(&home.uri(), queue, 0..count / 10).await;
        goods::take(&rabbit.uri(), queue, 0..count / 10).await;
    }
}

/// A quorum queue puts what it gets back behind what it got back before, which here is everything.
#[tokio::test]
async fn what_rabbitmq_hands_out_in_another_order_after_a_kill_comes_once() {
    let (rabbit, home) = (Rabbit::with("turned"), Home::with(&small_shop()));
    let _dev = home.start();
    let (_connection, channel) = rabbit.channel().await;
    goods::declare(&channel, "paid", "quorum").await;
    goods::put(&channel, "paid", 0..3000).await;
    Import::new(&rabbit, &home).succeeds(&["--copy"]);
    let import = Import::new(&rabbit, &home);
    for moved in (300..3000).step_by(300) {
        let mut running = import.start(&["--window", "30"]);
        assert!(import.wait_for(&mut running, moved), "it ended before it was killed");
        running.kill();
    }
    let end = import.succeeds(&["--verify"]);
    assert!(!end.contains("twice"), "{end}");
    assert_eq!(row(&end, "paid"), ["3000", "3000", "0", "3000", "6000", "yes"], "{end}");
}

#[tokio::test]
async fn connections_that_are_cut_on_either_side_are_opened_again() {
    let (rabbit, home) = (Rabbit::with("cut"), Home::with(&small_shop()));
    let dev = home.start();
    full(&rabbit, 4).await;
    let wire = Wire::to(&rabbit.uri());
    let import = Import::new(&rabbit, &home).from(&wire.uri(&rabbit.uri()));
    let mut running = import.start(&["--window", "10", "--verify"]);
    assert!(import.wait_for(&mut running, 300), "it ended before it was cut off");
    wire.cut();
    assert!(import.wait_for(&mut running, import.reached().moved + 300), "it ended before FerryMQ was killed");
    dev.signal("KILL");
    drop(dev);
    let _dev = home.start();
    let output = running.ended();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("RabbitMQ was lost") && said.contains("FerryMQ was lost"), "{said}");
    let end = told(&output);
    assert!(!end.contains("twice"), "{end}");
    for (queue, _, count) in QUEUES {
        goods::take(&home.uri(), queue, 0..count / 4).await;
    }
}

#[tokio::test]
async fn what_comes_meanwhile_is_left_for_the_next_run() {
    let (rabbit, home) = (Rabbit::with("again"), Home::with(&small_shop()));
    let _dev = home.start();
    let (_connection, channel) = rabbit.channel().await;
    goods::declare(&channel, "paid", "classic").await;
    goods::put(&channel, "paid", 0..100).await;
    let import = Import::new(&rabbit, &home);
    assert_eq!(row(&import.succeeds(&["--verify"]), "paid"), ["100", "100", "0", "0", "100", "yes"]);
    goods::put(&channel, "paid", 100..150).await;
    assert_eq!(row(&import.succeeds(&["--verify"]), "paid"), ["100", "150", "0", "0", "150", "yes"]);
    goods::take(&home.uri(), "paid", 0..150).await;
    // What is no longer there is missed.
    let output = import.end(&["--verify"]);
    let end = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && end.contains("FerryMQ has 0 messages of it, and not 150"), "{end}");
}

#[tokio::test]
async fn definitions_are_made_and_what_is_not_there_is_said() {
    let (rabbit, home) = (Rabbit::with("defined"), Home::with(&small_shop()));
    let _dev = home.start();
    let (_connection, channel) = rabbit.channel().await;
    goods::declare(&channel, "paid", "quorum").await;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(60_000));
    channel.queue_declare("short".into(), durable, arguments).await.unwrap();
    let headers = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let kind = lapin::ExchangeKind::Headers;
    channel.exchange_declare("by-header".into(), kind, headers, FieldTable::default()).await.unwrap();
    let import = Import::new(&rabbit, &home);
    for more in ["--dry-run", "--definitions-only"] {
        let told = import.succeeds(&[more]);
        for part in [
            "binding   orders -> paid  'paid.#'",
            "argument  short",
            "x-message-ttl: 60000 is not in FerryMQ; the queue is made without",
            "of the type 'headers'",
            "write a User with `permissions: [{configure: '.*', write: '.*', read: '.*'}]`",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    // What a publisher sends to the exchange arrives as it did.
    let (_connection, channel) = rabbit::channel(&home.uri()).await;
    goods::put(&channel, "paid", 0..10).await;
    assert_eq!(goods::count(&home.uri(), "paid").await, 10);
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_moved() {
    let (rabbit, home) = (Rabbit::with("wrong"), Home::with(&small_shop()));
    let dev = home.start();
    let (_connection, channel) = rabbit.channel().await;
    goods::declare(&channel, "paid", "classic").await;
    goods::put(&channel, "paid", 0..10).await;
    let import = || Import::new(&rabbit, &home);
    let said = import().from(&rabbit.uri().replace("guest:guest", "guest:secret")).fails(&[]);
    assert!(said.contains("does not let in user 'guest'") && !said.contains("secret"), "{said}");
    let said = import().from(&rabbit.uri().replace("/wrong", "/none")).fails(&[]);
    assert!(said.contains("the virtual host of --from is not there"), "{said}");
    let said = import().from("amqp://guest:guest@127.0.0.1:1/wrong").fails(&[]);
    assert!(said.contains("RabbitMQ was lost: 127.0.0.1:1 cannot be reached"), "{said}");
    let said = import().fails(&["--queue", "lost"]);
    assert!(said.contains("RabbitMQ has no queue 'lost'"), "{said}");
    let said = import().managed_at("http://127.0.0.1:1").fails(&[]);
    assert!(said.contains("management API at http://127.0.0.1:1: cannot be reached"), "{said}");
    {
        let (_connection, channel) = rabbit::channel(&home.uri()).await;
        let passing = QueueDeclareOptions::default();
        channel.queue_declare("paid".into(), passing, FieldTable::default()).await.unwrap();
        let said = import().fails(&[]);
        assert!(said.contains("FerryMQ refuses queue 'paid'") && said.contains("inequivalent arg 'durable'"), "{said}");
    }
    dev.stop();
    let said = import().fails(&[]);
    assert!(said.contains("FerryMQ was lost") && said.contains("cannot be reached"), "{said}");
    assert_eq!(goods::count(&rabbit.uri(), "paid").await, 10);
}
