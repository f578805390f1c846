//! Exchanges, queues, bindings, and what is refused about them.

use ferrymq_amqp::codec::{
    BasicConsume, ChannelClose, ChannelFlow, ChannelOpen, ExchangeBind, ExchangeDeclare, ExchangeDelete, Method,
    QueueBind, QueueDeclare, QueueDeclareOk, QueueDelete, QueueDeleteOk, QueuePurge, QueuePurgeOk, QueueUnbind, Table,
    TxSelect,
};
use ferrymq_testkit::FakeBroker;

use crate::client::{Client, closed};

fn exchange(name: &str, kind: &str) -> ExchangeDeclare {
    ExchangeDeclare { exchange: name.to_owned().into(), kind: kind.to_owned().into(), ..Default::default() }
}

fn queue(name: &str) -> QueueDeclare {
    QueueDeclare { queue: name.to_owned().into(), ..Default::default() }
}

#[tokio::test]
async fn a_channel_is_opened_closed_and_opened_again() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    assert!(matches!(client.ask(1, ChannelClose::default()).await, Method::ChannelCloseOk(_)));
    client.open(1).await;
    assert_eq!(
        client.ask(1, ChannelFlow { active: true }).await,
        Method::ChannelFlowOk(ferrymq_amqp::codec::ChannelFlowOk { active: true })
    );
}

#[tokio::test]
async fn what_is_wrong_on_a_channel_closes_it_and_leaves_the_others() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.open(2).await;
    client.send(1, QueueDeclare { passive: true, ..queue("nothing") }).await;
    assert_eq!(client.channel_closed(1).await, closed(404, "NOT_FOUND - no queue 'nothing' in vhost '/'"));
    // Nothing is served there until the client agreed.
    client.send(1, queue("unheard")).await;
    client.publish(1, "unheard", b"unheard").await;
    client.sync(2).await;
    client.send(1, ferrymq_amqp::codec::ChannelCloseOk {}).await;
    client.open(1).await;
    client.send(1, QueueDeclare { passive: true, ..queue("unheard") }).await;
    assert_eq!(client.channel_closed(1).await.0, 404);
}

#[tokio::test]
async fn a_queue_is_declared_filled_purged_and_deleted() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.declare(1, "q").await;
    client.publish(1, "q", b"1").await;
    client.publish(1, "q", b"2").await;
    let declared = QueueDeclareOk { queue: "q".into(), message_count: 2, consumer_count: 0 };
    assert_eq!(client.ask(1, queue("q")).await, declared.clone().into());
    assert_eq!(client.ask(1, QueueDeclare { passive: true, ..queue("q") }).await, declared.into());
    assert_eq!(client.ask(1, QueuePurge::default()).await, QueuePurgeOk { message_count: 2 }.into());
    client.publish(1, "q", b"3").await;
    assert_eq!(client.ask(1, QueueDelete::default()).await, QueueDeleteOk { message_count: 1 }.into());
}

#[tokio::test]
async fn an_empty_name_makes_the_broker_name_the_queue_and_stands_for_it_afterwards() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    let Method::QueueDeclareOk(declared) = client.ask(1, queue("")).await else { panic!("not declared") };
    assert!(declared.queue.starts_with("amq.gen-"));
    let bind = QueueBind { exchange: "amq.direct".into(), ..Default::default() };
    assert!(matches!(client.ask(1, bind).await, Method::QueueBindOk(_)));
    let publish = ferrymq_amqp::codec::BasicPublish {
        exchange: "amq.direct".into(),
        routing_key: declared.queue.clone(),
        ..Default::default()
    };
    client.publish_as(1, publish, &[], b"by the queue's name").await;
    assert_eq!(client.ask(1, QueuePurge::default()).await, QueuePurgeOk { message_count: 1 }.into());
}

#[tokio::test]
async fn where_nothing_was_declared_an_empty_name_stands_for_nothing() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.send(1, QueuePurge::default()).await;
    assert_eq!(client.channel_closed(1).await, closed(404, "NOT_FOUND - no previously declared queue"));
}

#[tokio::test]
async fn a_binding_routes_until_it_is_removed() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.declare(1, "q").await;
    assert!(matches!(client.ask(1, exchange("logs", "topic")).await, Method::ExchangeDeclareOk(_)));
    let bind = QueueBind { exchange: "logs".into(), routing_key: "*.error".into(), ..Default::default() };
    assert!(matches!(client.ask(1, bind).await, Method::QueueBindOk(_)));
    let publish = |key: &'static str| ferrymq_amqp::codec::BasicPublish {
        exchange: "logs".into(),
        routing_key: key.into(),
        ..Default::default()
    };
    client.publish_as(1, publish("disk.error"), &[], b"!").await;
    client.publish_as(1, publish("disk.info"), &[], b".").await;
    let unbind = QueueUnbind { exchange: "logs".into(), routing_key: "*.error".into(), ..Default::default() };
    assert!(matches!(client.ask(1, unbind).await, Method::QueueUnbindOk(_)));
    client.publish_as(1, publish("net.error"), &[], b"!").await;
    assert_eq!(client.ask(1, QueuePurge::default()).await, QueuePurgeOk { message_count: 1 }.into());
    assert!(matches!(
        client.ask(1, ExchangeDelete { exchange: "logs".into(), ..Default::default() }).await,
        Method::ExchangeDeleteOk(_)
    ));
}

#[tokio::test]
async fn nowait_is_not_answered() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.send(1, QueueDeclare { nowait: true, ..queue("q") }).await;
    client.send(1, ExchangeDeclare { nowait: true, ..exchange("x", "fanout") }).await;
    client.send(1, QueueBind { exchange: "x".into(), nowait: true, ..Default::default() }).await;
    client.send(1, QueuePurge { nowait: true, ..Default::default() }).await;
    client.send(1, QueueDelete { nowait: true, ..Default::default() }).await;
    client.send(1, ExchangeDelete { exchange: "x".into(), nowait: true, ..Default::default() }).await;
    client.sync(1).await;
}

#[tokio::test]
async fn refusals_are_said_as_rabbitmq_says_them() {
    let broker = FakeBroker::new();
    let mut owner = Client::with_channel(&broker).await;
    assert!(matches!(owner.ask(1, QueueDeclare { exclusive: true, ..queue("mine") }).await, Method::QueueDeclareOk(_)));
    owner.declare(1, "q").await;
    owner.publish(1, "q", b"there").await;
    owner.sync(1).await;
    let refused: Vec<(Method, u16, &str)> = vec![
        (
            QueueDeclare { durable: true, ..queue("q") }.into(),
            406,
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but \
             current is 'false'",
        ),
        (
            queue("mine").into(),
            405,
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'. It could be \
             originally declared on another connection or the exclusive property value does not match that of the \
             original declaration.",
        ),
        (queue("amq.own").into(), 403, "ACCESS_REFUSED - queue name 'amq.own' contains reserved prefix 'amq.*'"),
        (
            QueueDelete { queue: "q".into(), if_empty: true, ..Default::default() }.into(),
            406,
            "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty",
        ),
        (
            QueueBind { queue: "q".into(), ..Default::default() }.into(),
            403,
            "ACCESS_REFUSED - operation not permitted on the default exchange",
        ),
        (
            QueueBind { queue: "q".into(), exchange: "none".into(), ..Default::default() }.into(),
            404,
            "NOT_FOUND - no exchange 'none' in vhost '/'",
        ),
        (
            ExchangeDeclare { passive: true, ..exchange("none", "") }.into(),
            404,
            "NOT_FOUND - no exchange 'none' in vhost '/'",
        ),
        (
            exchange("amq.topic", "direct").into(),
            406,
            "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.topic' in vhost '/': received 'direct' \
             but current is 'topic'",
        ),
        (
            QueueDeclare { arguments: Table::default().with("x-queue-type", "lifo"), ..queue("typed") }.into(),
            406,
            "PRECONDITION_FAILED - invalid arg 'x-queue-type': unknown queue type 'lifo'",
        ),
        (
            BasicConsume { queue: "none".into(), ..Default::default() }.into(),
            404,
            "NOT_FOUND - no queue 'none' in vhost '/'",
        ),
    ];
    let mut client = Client::with_channel(&broker).await;
    for (channel, (method, code, text)) in (2..).zip(refused) {
        client.open(channel).await;
        client.send(channel, method).await;
        assert_eq!(client.channel_closed(channel).await, closed(code, text));
    }
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_a_sentence() {
    let refused: Vec<(Method, &str)> = vec![
        (
            TxSelect {}.into(),
            "NOT_IMPLEMENTED - transactions are not supported; use publisher confirms (confirm.select)",
        ),
        (
            ExchangeBind::default().into(),
            "NOT_IMPLEMENTED - bindings between exchanges are not supported; bind the queue to each exchange",
        ),
        (ChannelFlow { active: false }.into(), "NOT_IMPLEMENTED - active=false"),
        (
            exchange("x", "headers").into(),
            "NOT_IMPLEMENTED - exchanges of the type 'headers' are not supported; use direct, fanout or topic",
        ),
        (
            QueueDeclare { arguments: Table::default().with("x-dead-letter-exchange", ""), ..queue("q") }.into(),
            "NOT_IMPLEMENTED - the argument 'x-dead-letter-exchange' of a queue is not supported; declare it without",
        ),
        (
            BasicConsume { queue: "amq.rabbitmq.reply-to".into(), no_ack: true, ..Default::default() }.into(),
            "NOT_IMPLEMENTED - direct reply-to is not supported; declare an exclusive queue for the answers",
        ),
    ];
    for (method, text) in refused {
        let mut client = Client::with_channel(&FakeBroker::new()).await;
        client.send(1, method).await;
        assert_eq!(client.connection_closed().await, closed(540, text));
    }
}

#[tokio::test]
async fn a_misspelt_type_of_exchange_closes_the_channel() {
    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.send(1, exchange("x", "diretc")).await;
    let sentence = "PRECONDITION_FAILED - unknown exchange type 'diretc'";
    assert_eq!(client.channel_closed(1).await, closed(406, sentence));
}

#[tokio::test]
async fn a_channel_must_be_open_once_and_within_the_limit() {
    let mut client = Client::connected(&FakeBroker::new()).await;
    client.send(1, queue("q")).await;
    assert_eq!(client.connection_closed().await, closed(504, "CHANNEL_ERROR - expected 'channel.open'"));

    let mut client = Client::with_channel(&FakeBroker::new()).await;
    client.send(1, ChannelOpen::default()).await;
    assert_eq!(client.connection_closed().await, closed(504, "CHANNEL_ERROR - second 'channel.open' seen"));

    let mut client = Client::connected(&FakeBroker::new()).await;
    client.send(2048, ChannelOpen::default()).await;
    assert_eq!(client.connection_closed().await.0, 530);
}
