"""What a publisher may rely on: confirms, returns, routing, properties and bodies of every size."""

import datetime
import decimal

import pika
from pika.exceptions import UnroutableError

from checks import Inbox, channel_refused, check, get_all, get_until, run, until
from program import expect


@check
def a_confirmed_message_is_in_its_queue(broker):
    channel = broker.channel()
    queue = broker.queue(channel)
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"one", pika.BasicProperties(delivery_mode=2))
    expect(channel.queue_declare(queue, passive=True).method.message_count, 1, "messages ready after the confirm")
    expect(get_all(channel, queue), [b"one"], "messages")


@check
def a_thousand_confirms_come_for_a_thousand_messages(broker):
    """Without waiting for each: the tags of all acks together cover every publish exactly once."""
    channel = broker.channel()
    queue = broker.queue(channel)
    connection, publisher = channel.connection, channel.connection.channel()
    confirmed = set()

    def on_ack(frame):
        method = frame.method
        expect(type(method).__name__, "Ack", "what came for a publish")
        tags = range(max(confirmed, default=0) + 1, method.delivery_tag + 1) if method.multiple else [method.delivery_tag]
        new = set(tags) - confirmed
        expect(len(new) > 0, True, f"an ack of {method.delivery_tag} confirms something new")
        confirmed.update(new)

    publisher._impl.confirm_delivery(on_ack)
    for number in range(1000):
        publisher.basic_publish("", queue, str(number).encode())
    until(connection, lambda: len(confirmed) == 1000, "1000 confirms")
    expect(confirmed, set(range(1, 1001)), "tags that were confirmed")
    expect(get_all(channel, queue), [str(number).encode() for number in range(1000)], "messages, in order")


@check
def a_mandatory_message_without_a_queue_is_returned_before_it_is_confirmed(broker):
    channel = broker.channel()
    exchange = broker.exchange(channel, "direct")
    channel.confirm_delivery()
    try:
        channel.basic_publish(exchange, "nowhere", b"lost?", pika.BasicProperties(message_id="m"), mandatory=True)
    except UnroutableError as error:
        (returned,) = error.messages
        method = returned.method
        expect((method.reply_code, method.reply_text), (312, "NO_ROUTE"), "why it was returned")
        expect((method.exchange, method.routing_key), (exchange, "nowhere"), "where it was to go")
        expect((returned.body, returned.properties.message_id), (b"lost?", "m"), "what was returned")
    else:
        expect("nothing was returned", "the message comes back", "publishing to no queue")


@check
def a_message_without_a_queue_is_confirmed_where_it_is_not_mandatory(broker):
    channel = broker.channel()
    exchange = broker.exchange(channel, "fanout")
    channel.confirm_delivery()
    channel.basic_publish(exchange, "nowhere", b"dropped")


@check
def publishing_to_no_exchange_closes_the_channel(broker):
    channel = broker.channel()
    channel.confirm_delivery()
    with channel_refused(404, "NOT_FOUND - no exchange 'nowhere' in vhost '/'"):
        channel.basic_publish("nowhere", "key", b"")
    expect(channel.connection.is_open, True, "the connection is open")


@check
def a_direct_exchange_routes_by_the_equal_key(broker):
    channel = broker.channel()
    exchange, paid, sent = broker.exchange(channel, "direct"), broker.queue(channel), broker.queue(channel)
    channel.queue_bind(paid, exchange, "paid")
    channel.queue_bind(sent, exchange, "sent")
    channel.queue_bind(sent, exchange, "paid")
    channel.confirm_delivery()
    for key in ("paid", "sent", "pai", "paid.now"):
        channel.basic_publish(exchange, key, key.encode())
    expect(get_all(channel, paid), [b"paid"], "queue bound by paid")
    expect(get_all(channel, sent), [b"paid", b"sent"], "queue bound by both")


@check
def a_fanout_exchange_routes_to_every_queue_once(broker):
    channel = broker.channel()
    exchange, one, two = broker.exchange(channel, "fanout"), broker.queue(channel), broker.queue(channel)
    channel.queue_bind(one, exchange, "a")
    channel.queue_bind(one, exchange, "b")
    channel.queue_bind(two, exchange)
    channel.confirm_delivery()
    channel.basic_publish(exchange, "any", b"m")
    expect((get_all(channel, one), get_all(channel, two)), ([b"m"], [b"m"]), "both queues")


@check
def a_topic_exchange_routes_by_words(broker):
    channel = broker.channel()
    exchange = broker.exchange(channel, "topic")
    keys = ["paid", "paid.card", "paid.card.visa", "paid..visa", "", "card.paid"]
    wanted = {
        "paid": ["paid"],
        "paid.*": ["paid.card"],
        "paid.#": ["paid", "paid.card", "paid.card.visa", "paid..visa"],
        "#": keys,
        "*": ["paid"],
        "*.card.#": ["paid.card", "paid.card.visa"],
        "#.visa": ["paid.card.visa", "paid..visa"],
        "paid.*.visa": ["paid.card.visa", "paid..visa"],
        "*.*": ["paid.card", "card.paid"],
    }
    queues = {pattern: broker.queue(channel) for pattern in wanted}
    for pattern, queue in queues.items():
        channel.queue_bind(queue, exchange, pattern)
    channel.confirm_delivery()
    for key in keys:
        channel.basic_publish(exchange, key, key.encode())
    for pattern, queue in queues.items():
        expect([body.decode() for body in get_all(channel, queue)], wanted[pattern], f"messages for {pattern!r}")


@check
def an_unbound_queue_gets_nothing_more(broker):
    channel = broker.channel()
    exchange, queue = broker.exchange(channel, "direct"), broker.queue(channel)
    channel.queue_bind(queue, exchange, "key")
    channel.confirm_delivery()
    channel.basic_publish(exchange, "key", b"before")
    channel.queue_unbind(queue, exchange, "key")
    channel.basic_publish(exchange, "key", b"after")
    expect(get_all(channel, queue), [b"before"], "messages")


@check
def bodies_of_every_size_come_back_as_they_were(broker):
    channel = broker.channel()
    queue = broker.queue(channel)
    frame = channel.connection._impl.params.frame_max or 131072
    channel.confirm_delivery()
    pattern = bytes(range(256)) * 4096
    bodies = [pattern[:size] for size in (0, 1, frame - 9, frame - 8, frame - 7, 2 * frame, len(pattern))]
    for body in bodies:
        channel.basic_publish("", queue, body)
    got = get_all(channel, queue)
    expect([len(body) for body in got], [len(body) for body in bodies], "sizes of what came")
    expect(got == bodies, True, "bodies are the same")


@check
def every_property_comes_back_as_it_was(broker):
    channel = broker.channel()
    queue = broker.queue(channel)
    headers = {
        "text": "übergröße",
        "small": 7,
        "large": 2**40,
        "negative": -1,
        "yes": True,
        "nothing": None,
        "price": decimal.Decimal("12.34"),
        "bytes": b"\x00\xff",
        "then": datetime.datetime(2026, 11, 21, 9, 30, tzinfo=datetime.timezone.utc),
        "list": [1, "two", [3], {"four": 4}],
        "table": {"inner": {"innermost": "x"}},
    }
    sent = pika.BasicProperties(
        content_type="application/json",
        content_encoding="gzip",
        headers=headers,
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        reply_to="r",
        message_id="m",
        timestamp=1_790_000_000,
        type="t",
        user_id=broker.parameters.credentials.username,
        app_id="a",
        cluster_id="cl",
    )
    channel.basic_publish("", queue, b"x", sent)
    inbox = Inbox(channel, queue, auto_ack=True).wait_for(1)
    (method, properties, _), = inbox.got
    expect(properties, sent, "properties")
    expect((method.exchange, method.routing_key, method.redelivered), ("", queue, False), "how it was delivered")


@check
def a_message_without_properties_comes_without_properties(broker):
    channel = broker.channel()
    queue = broker.queue(channel)
    channel.basic_publish("", queue, b"x")
    (_, properties, _), = Inbox(channel, queue, auto_ack=True).wait_for(1).got
    expect(properties, pika.BasicProperties(), "properties")


@check
def messages_of_two_channels_both_arrive(broker):
    connection = broker.connect()
    one, two = connection.channel(), connection.channel()
    queue = broker.queue(one)
    for number in range(50):
        one.basic_publish("", queue, f"one {number}".encode())
        two.basic_publish("", queue, f"two {number}".encode())
    got = get_until(one, queue, 100)
    for name in (b"one", b"two"):
        mine = [body for body in got if body.startswith(name)]
        expect(mine, [name + f" {number}".encode() for number in range(50)], f"messages of channel {name!r}, in order")


run()
