"""What declarations do, and what is said to a client that declares what cannot be."""

from pika.exceptions import ChannelClosedByBroker

from checks import Inbox, channel_refused, check, get_until, run, until
from program import expect


def locked(queue):
    return (
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be originally "
        "declared on another connection or the exclusive property value does not match that of the original declaration."
    )


def is_there(broker, queue):
    """Whether a queue is there, asked on a connection of its own."""
    try:
        broker.channel().queue_declare(queue, passive=True)
    except ChannelClosedByBroker as closed:
        if closed.reply_code == 404:
            return False
        raise
    return True


@check
def a_queue_is_named_by_the_broker_where_the_client_names_none(broker):
    channel = broker.channel()
    names = {channel.queue_declare("", exclusive=True).method.queue for _ in range(3)}
    expect(len(names), 3, "names of three queues")
    expect(all(name.startswith("amq.gen-") for name in names), True, f"{names} begin with amq.gen-")


@check
def a_channel_remembers_the_queue_it_declared_last(broker):
    channel = broker.channel()
    name = channel.queue_declare("", exclusive=True).method.queue
    channel.confirm_delivery()
    channel.basic_publish("", name, b"x")
    method, _, _ = channel.basic_get("", auto_ack=True)
    expect(method.routing_key, name, "where the message was taken from")


@check
def declaring_the_same_again_changes_nothing(broker):
    channel = broker.channel()
    queue, exchange = broker.queue(channel, durable=True), broker.exchange(channel, "direct", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"x")
    expect(channel.queue_declare(queue, durable=True).method.message_count, 1, "messages")
    channel.exchange_declare(exchange, "direct", durable=True)
    channel.queue_bind(queue, exchange, "k")
    channel.queue_bind(queue, exchange, "k")
    channel.basic_publish(exchange, "k", b"y")
    expect(channel.queue_declare(queue, passive=True).method.message_count, 2, "messages")


@check
def declaring_tells_messages_and_consumers(broker):
    channel = broker.channel()
    queue = broker.queue(channel)
    channel.basic_qos(prefetch_count=1)
    Inbox(channel, queue)
    Inbox(channel, queue)
    channel.confirm_delivery()
    for _ in range(5):
        channel.basic_publish("", queue, b"x")
    told = broker.channel().queue_declare(queue, passive=True).method
    expect((told.message_count, told.consumer_count), (3, 2), "messages ready and consumers")


@check
def a_queue_that_is_not_there_is_not_found(broker):
    channel = broker.channel()
    with channel_refused(404, "NOT_FOUND - no queue 'nowhere' in vhost '/'"):
        channel.queue_declare("nowhere", passive=True)
    expect(channel.connection.channel().is_open, True, "the connection takes another channel")


@check
def an_exchange_that_is_not_there_is_not_found(broker):
    channel = broker.channel()
    with channel_refused(404, "NOT_FOUND - no exchange 'nowhere' in vhost '/'"):
        channel.exchange_declare("nowhere", passive=True)


@check
def one_channels_error_leaves_the_others_alone(broker):
    connection = broker.connect()
    good, bad = connection.channel(), connection.channel()
    queue = broker.queue(good)
    inbox = Inbox(good, queue, auto_ack=True)
    with channel_refused(404, "NOT_FOUND - no queue 'nowhere' in vhost '/'"):
        bad.queue_declare("nowhere", passive=True)
    good.basic_publish("", queue, b"x")
    inbox.wait_for(1)


@check
def a_queue_cannot_be_declared_otherwise_than_it_is(broker):
    channel = broker.channel()
    queue = broker.queue(channel, durable=True)
    sentence = (
        f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{queue}' in vhost '/': "
        "received 'false' but current is 'true'"
    )
    with channel_refused(406, sentence):
        channel.queue_declare(queue, durable=False)
    sentence = (
        f"PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '{queue}' in vhost '/': "
        "received 'true' but current is 'false'"
    )
    with channel_refused(406, sentence):
        broker.channel().queue_declare(queue, durable=True, auto_delete=True)


@check
def an_exchange_cannot_be_declared_otherwise_than_it_is(broker):
    channel = broker.channel()
    exchange = broker.exchange(channel, "direct", durable=True)
    sentence = (
        f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{exchange}' in vhost '/': "
        "received 'fanout' but current is 'direct'"
    )
    with channel_refused(406, sentence):
        channel.exchange_declare(exchange, "fanout", durable=True)
    sentence = (
        f"PRECONDITION_FAILED - inequivalent arg 'durable' for exchange '{exchange}' in vhost '/': "
        "received 'false' but current is 'true'"
    )
    with channel_refused(406, sentence):
        broker.channel().exchange_declare(exchange, "direct", durable=False)


@check
def an_exchange_of_an_unknown_type_is_refused(broker):
    channel = broker.channel()
    with channel_refused(406, "PRECONDITION_FAILED - unknown exchange type 'hexagonal'"):
        channel.exchange_declare(broker.name("x"), "hexagonal")


@check
def an_exclusive_queue_is_locked_for_other_connections(broker):
    owner = broker.channel()
    queue = broker.queue(owner, exclusive=True, durable=False)
    owner.connection.channel().queue_declare(queue, passive=True)
    for use in (
        lambda channel: channel.queue_declare(queue, passive=True),
        lambda channel: channel.queue_declare(queue, durable=False),
        lambda channel: channel.basic_consume(queue, lambda *_: None),
        lambda channel: channel.basic_get(queue),
        lambda channel: channel.queue_purge(queue),
        lambda channel: channel.queue_delete(queue),
        lambda channel: channel.queue_bind(queue, "amq.direct", "k"),
    ):
        with channel_refused(405, locked(queue)):
            use(broker.channel())


@check
def anybody_may_publish_to_an_exclusive_queue(broker):
    owner = broker.channel()
    queue = owner.queue_declare("", exclusive=True).method.queue
    inbox = Inbox(owner, queue, auto_ack=True)
    broker.channel().basic_publish("", queue, b"reply")
    inbox.wait_for(1)


@check
def an_exclusive_queue_goes_with_its_connection(broker):
    owner, other = broker.channel(), broker.connect()
    queue = owner.queue_declare("", exclusive=True).method.queue
    expect(queue != "", True, "the queue has a name")
    owner.connection.close()
    until(other, lambda: not is_there(broker, queue), f"queue {queue} to be gone")


@check
def an_auto_deleted_queue_goes_with_its_last_consumer(broker):
    channel = broker.channel()
    queue = broker.queue(channel, auto_delete=True)
    expect(is_there(broker, queue), True, "the queue is there before it had a consumer")
    one, two = Inbox(channel, queue), Inbox(channel, queue)
    channel.basic_cancel(one.tag)
    expect(is_there(broker, queue), True, "the queue is there with one consumer left")
    channel.basic_cancel(two.tag)
    until(channel.connection, lambda: not is_there(broker, queue), f"queue {queue} to be gone")


@check
def an_auto_deleted_exchange_goes_with_its_last_binding(broker):
    channel = broker.channel()
    exchange, queue = broker.exchange(channel, "direct", auto_delete=True), broker.queue(channel)
    channel.queue_bind(queue, exchange, "k")
    channel.queue_unbind(queue, exchange, "k")
    with channel_refused(404, f"NOT_FOUND - no exchange '{exchange}' in vhost '/'"):
        channel.exchange_declare(exchange, passive=True)


@check
def names_with_amq_are_reserved(broker):
    with channel_refused(
        403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"
    ):
        broker.channel().queue_declare("amq.mine", durable=True)
    with channel_refused(
        403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"
    ):
        broker.channel().exchange_declare("amq.mine", "direct", durable=True)


@check
def the_exchanges_of_the_specification_are_there(broker):
    channel = broker.channel()
    for name, kind in (("amq.direct", "direct"), ("amq.fanout", "fanout"), ("amq.topic", "topic")):
        channel.exchange_declare(name, passive=True)
        channel.exchange_declare(name, kind, durable=True)


@check
def the_default_exchange_is_not_to_be_touched(broker):
    queue = broker.queue(broker.channel())
    for use in (
        lambda channel: channel.exchange_delete(""),
        lambda channel: channel.queue_bind(queue, "", "k"),
        lambda channel: channel.queue_unbind(queue, "", queue),
    ):
        with channel_refused(403, "ACCESS_REFUSED - operation not permitted on the default exchange"):
            use(broker.channel())


@check
def a_used_queue_is_kept_where_it_is_to_be_unused(broker):
    channel = broker.channel()
    queue = broker.queue(channel)
    Inbox(channel, queue)
    with channel_refused(406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use"):
        broker.channel().queue_delete(queue, if_unused=True)
    expect(is_there(broker, queue), True, "the queue is there")


@check
def a_filled_queue_is_kept_where_it_is_to_be_empty(broker):
    channel = broker.channel()
    queue = broker.queue(channel)
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"x")
    with channel_refused(406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"):
        channel.queue_delete(queue, if_empty=True)
    other = channel.connection.channel()
    other.queue_purge(queue)
    expect(other.queue_delete(queue, if_empty=True).method.message_count, 0, "messages that went")


@check
def a_bound_exchange_is_kept_where_it_is_to_be_unused(broker):
    channel = broker.channel()
    exchange, queue = broker.exchange(channel, "direct"), broker.queue(channel)
    channel.queue_bind(queue, exchange, "k")
    with channel_refused(406, f"PRECONDITION_FAILED - exchange '{exchange}' in vhost '/' in use"):
        channel.exchange_delete(exchange, if_unused=True)


@check
def deleting_what_is_not_there_is_no_error(broker):
    channel = broker.channel()
    expect(channel.queue_delete("nowhere").method.message_count, 0, "messages that went")
    channel.exchange_delete("nowhere")
    queue, exchange = broker.queue(channel), broker.exchange(channel, "direct")
    channel.queue_unbind(queue, exchange, "never bound")


@check
def binding_needs_both_ends(broker):
    channel = broker.channel()
    queue, exchange = broker.queue(channel), broker.exchange(channel, "direct")
    with channel_refused(404, "NOT_FOUND - no exchange 'nowhere' in vhost '/'"):
        channel.queue_bind(queue, "nowhere", "k")
    with channel_refused(404, "NOT_FOUND - no queue 'nowhere' in vhost '/'"):
        broker.channel().queue_bind("nowhere", exchange, "k")


@check
def deleting_an_exchange_takes_its_bindings(broker):
    channel = broker.channel()
    exchange, queue = broker.exchange(channel, "direct"), broker.queue(channel)
    channel.queue_bind(queue, exchange, "k")
    channel.exchange_delete(exchange)
    channel.exchange_declare(exchange, "direct", durable=True)
    channel.confirm_delivery()
    channel.basic_publish(exchange, "k", b"to nobody")
    channel.basic_publish("", queue, b"x")
    expect(get_until(channel, queue, 1), [b"x"], "messages")


@check
def a_deleted_queue_of_the_same_name_is_a_new_queue(broker):
    channel = broker.channel()
    exchange, queue = broker.exchange(channel, "direct"), broker.queue(channel)
    channel.queue_bind(queue, exchange, "k")
    channel.confirm_delivery()
    channel.basic_publish(exchange, "k", b"old")
    channel.queue_delete(queue)
    expect(channel.queue_declare(queue, durable=True).method.message_count, 0, "messages of the new queue")
    channel.basic_publish(exchange, "k", b"to nobody")
    expect(channel.queue_declare(queue, passive=True).method.message_count, 0, "messages by the old binding")


run()
