"""What a stream may be relied on for: kept messages, offsets, many readers, retention's bounds, refusals."""

import datetime

import pika
from pika.exceptions import ChannelClosedByBroker

from checks import Inbox, channel_refused, check, connection_refused, run, until
from program import Wrong, expect

STREAM = {"x-queue-type": "stream"}


def filled(broker, count, **arguments):
    """A channel, and a stream with messages 0, 1, 2 …"""
    channel = broker.channel()
    queue = broker.queue(channel, "stream", arguments=STREAM | arguments)
    channel.confirm_delivery()
    fill(channel, queue, range(count))
    return channel, queue


def fill(channel, queue, numbers):
    for number in numbers:
        channel.basic_publish("", queue, str(number).encode(), pika.BasicProperties(headers={"number": number}))


def reader(broker, queue, offset=None, prefetch=100, **arguments):
    """A consumer on a connection of its own."""
    channel = broker.channel()
    channel.basic_qos(prefetch_count=prefetch)
    if offset is not None:
        arguments["x-stream-offset"] = offset
    return Inbox(channel, queue, arguments=arguments)


def numbers(*wanted):
    return [str(number).encode() for number in wanted]


def counted(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def offsets(inbox):
    return [properties.headers["x-stream-offset"] for _, properties, _ in inbox.got]


@check
def everybody_reads_all_of_it_with_offsets_from_zero(broker):
    _, queue = filled(broker, 50)
    for _ in range(3):
        inbox = reader(broker, queue, "first").wait_for(50)
        expect(inbox.bodies, numbers(*range(50)), "the messages")
        expect(offsets(inbox), list(range(50)), "their offsets")
        expect([properties.headers["number"] for _, properties, _ in inbox.got], list(range(50)), "their own headers")
        expect(any(method.redelivered for method, _, _ in inbox.got), False, "whether any is redelivered")
        inbox.channel.connection.close()


@check
def a_reader_begins_at_an_offset(broker):
    _, queue = filled(broker, 20)
    expect(offsets(reader(broker, queue, 17).wait_for(3)), [17, 18, 19], "offsets from 17 on")


@check
def a_reader_of_what_is_next_gets_only_what_comes(broker):
    channel, queue = filled(broker, 5)
    named, unnamed = reader(broker, queue, "next"), reader(broker, queue)
    fill(channel, queue, range(5, 8))
    for inbox in [named, unnamed]:
        expect(inbox.wait_for(3).settled().bodies, numbers(5, 6, 7), "what came after")


@check
def a_reader_of_the_last_gets_the_end(broker):
    _, queue = filled(broker, 5)
    inbox = reader(broker, queue, "last").wait_for(1).settled()
    expect(inbox.bodies[-1], b"4", "the last message")


@check
def a_reader_begins_at_a_time(broker):
    _, queue = filled(broker, 5)
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    expect(reader(broker, queue, now - hour).wait_for(5).bodies, numbers(*range(5)), "from an hour ago on")
    expect(reader(broker, queue, "1h").wait_for(5).bodies, numbers(*range(5)), "from an hour ago on, as a span")
    expect(reader(broker, queue, now + hour).settled().bodies, [], "from what is to come")


@check
def a_reader_gets_what_has_its_key(broker):
    channel, queue = filled(broker, 0)
    for number in range(30):
        headers = {"x-stream-filter-value": f"key-{number % 3}"} if number % 5 else {}
        channel.basic_publish("", queue, str(number).encode(), pika.BasicProperties(headers=headers))
    wanted = [number for number in range(30) if number % 5 and number % 3 == 1]
    without = [number for number in range(30) if number % 5 == 0]
    one = reader(broker, queue, "first", prefetch=3, **{"x-stream-filter": "key-1"})
    for got in range(len(wanted)):
        one.channel.basic_ack(one.wait_for(got + 1).got[got][0].delivery_tag)
    expect(one.wait_for(len(wanted)).settled().bodies, numbers(*wanted), "the messages with the key")
    filters = {"x-stream-filter": ["key-1", "no-such-key"], "x-stream-match-unfiltered": True}
    both = reader(broker, queue, "first", **filters).wait_for(len(wanted + without)).settled()
    expect(both.bodies, numbers(*sorted(wanted + without)), "those with the key, and those with none")


@check
def the_prefetch_is_what_may_be_unsettled(broker):
    _, queue = filled(broker, 10)
    inbox = reader(broker, queue, "first", prefetch=4).wait_for(4).settled()
    expect(len(inbox.got), 4, "unsettled messages")
    inbox.channel.basic_ack(inbox.got[1][0].delivery_tag, multiple=True)
    expect(len(inbox.wait_for(6).settled().got), 6, "messages after two acknowledgements")
    inbox.channel.basic_ack(0, multiple=True)
    expect(inbox.wait_for(10).bodies, numbers(*range(10)), "all messages")


@check
def what_was_acknowledged_is_still_there(broker):
    channel, queue = filled(broker, 3)
    inbox = reader(broker, queue, "first").wait_for(3)
    inbox.channel.basic_ack(0, multiple=True)
    inbox.channel.connection.close()
    expect(reader(broker, queue, "first").wait_for(3).bodies, numbers(0, 1, 2), "the messages, once more")
    until(channel.connection, lambda: counted(channel, queue) == 3, "the messages to be counted")


@check
def a_cancelled_reader_gets_no_more(broker):
    channel, queue = filled(broker, 1)
    inbox = reader(broker, queue, "first").wait_for(1)
    inbox.channel.basic_cancel(inbox.tag)
    fill(channel, queue, range(1, 3))
    expect(inbox.settled().bodies, numbers(0), "what came before it was cancelled")


@check
def a_reader_of_a_stream_that_is_deleted_is_told(broker):
    channel, queue = filled(broker, 1)
    inbox = reader(broker, queue, "first").wait_for(1)
    channel.queue_delete(queue)
    until(inbox.channel.connection, lambda: inbox.cancelled, "the reader to be cancelled")


@check
def a_stream_is_declared_again_as_it_is_and_not_as_another(broker):
    channel, queue = filled(broker, 1, **{"x-max-age": "7D", "x-max-length-bytes": 1_000_000})
    same = STREAM | {"x-max-age": "7D", "x-max-length-bytes": 1_000_000}
    expect(channel.queue_declare(queue, durable=True, arguments=same).method.queue, queue, "the stream")
    for other in [{}, STREAM, STREAM | {"x-max-age": "8D", "x-max-length-bytes": 1_000_000}]:
        try:
            broker.channel().queue_declare(queue, durable=True, arguments=other)
        except ChannelClosedByBroker as closed:
            expect(closed.reply_code, 406, f"the reply to another declaration, {other}")
        else:
            raise Wrong(f"it was declared as another: {other}")


@check
def a_stream_is_durable_and_for_everybody(broker):
    for attributes, fault in [
        ({"durable": False}, "non-durable"),
        ({"durable": True, "exclusive": True}, "exclusive-owner"),
        ({"durable": True, "auto_delete": True}, "auto-delete"),
    ]:
        name = broker.name("stream")
        with channel_refused(406, f"PRECONDITION_FAILED - invalid property '{fault}' for queue '{name}' in vhost '/'"):
            broker.channel().queue_declare(name, arguments=STREAM, **attributes)


@check
def a_reader_without_a_prefetch_is_refused(broker):
    _, queue = filled(broker, 0)
    sentence = f"PRECONDITION_FAILED - consumer prefetch count is not set for stream queue '{queue}' in vhost '/'"
    with channel_refused(406, sentence):
        Inbox(broker.channel(), queue)


@check
def a_message_of_a_stream_cannot_be_got(broker):
    _, queue = filled(broker, 1)
    sentence = f"NOT_IMPLEMENTED - basic.get not supported by stream queues queue '{queue}' in vhost '/'"
    with connection_refused(540, sentence):
        broker.channel().basic_get(queue)


if __name__ == "__main__":
    run()
