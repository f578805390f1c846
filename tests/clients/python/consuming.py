"""What a consumer may rely on: acknowledgements, redelivery, prefetch, get, recover, cancel."""

from pika.spec import Basic

from checks import Inbox, channel_refused, check, connection_refused, get_all, get_until, run, until
from program import expect


def filled(broker, count, what="queue"):
    """A channel, and a queue with messages 0, 1, 2 …"""
    channel = broker.channel()
    queue = broker.queue(channel, what)
    channel.confirm_delivery()
    for number in range(count):
        channel.basic_publish("", queue, str(number).encode())
    return channel, queue


def numbers(*wanted):
    return [str(number).encode() for number in wanted]


def ready(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


@check
def what_is_acknowledged_does_not_come_again(broker):
    channel, queue = filled(broker, 3)
    inbox = Inbox(channel, queue).wait_for(3)
    for method, _, _ in inbox.got:
        channel.basic_ack(method.delivery_tag)
    channel.connection.close()
    expect(get_all(broker.channel(), queue), [], "messages left")


@check
def what_is_not_acknowledged_comes_again_in_order_and_marked(broker):
    channel, queue = filled(broker, 3)
    inbox = Inbox(channel, queue).wait_for(3)
    expect([method.redelivered for method, _, _ in inbox.got], [False] * 3, "redelivered at first")
    channel.basic_ack(inbox.got[1][0].delivery_tag)
    channel.connection.close()
    again = Inbox(broker.channel(), queue, auto_ack=True).wait_for(2)
    expect(again.bodies, numbers(0, 2), "what came again")
    expect([method.redelivered for method, _, _ in again.got], [True] * 2, "redelivered then")


@check
def closing_the_channel_gives_back_what_it_held(broker):
    channel, queue = filled(broker, 2)
    Inbox(channel, queue).wait_for(2)
    connection = channel.connection
    channel.close()
    other = connection.channel()
    expect(get_until(other, queue, 2), numbers(0, 1), "what came back")


@check
def a_requeued_message_takes_its_old_place(broker):
    channel, queue = filled(broker, 3)
    method, _, body = channel.basic_get(queue)
    expect(body, b"0", "the first message")
    channel.basic_nack(method.delivery_tag, requeue=True)
    until(channel.connection, lambda: ready(channel, queue) == 3, "the message to be back")
    method, _, body = channel.basic_get(queue)
    expect((body, method.redelivered), (b"0", True), "the first message, once more")
    method, _, body = channel.basic_get(queue)
    expect((body, method.redelivered), (b"1", False), "the second message")


@check
def a_rejected_message_is_gone(broker):
    channel, queue = filled(broker, 2)
    method, _, _ = channel.basic_get(queue)
    channel.basic_reject(method.delivery_tag, requeue=False)
    method, _, _ = channel.basic_get(queue)
    channel.basic_nack(method.delivery_tag, requeue=False)
    channel.connection.close()
    expect(get_all(broker.channel(), queue), [], "messages left")


@check
def one_acknowledgement_can_settle_many(broker):
    channel, queue = filled(broker, 5)
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(4)]
    channel.basic_ack(tags[2], multiple=True)
    channel.basic_nack(0, multiple=True, requeue=True)
    expect(get_until(channel, queue, 2), numbers(3, 4), "what was not settled")


@check
def delivery_tags_count_from_one_on_each_channel(broker):
    channel, queue = filled(broker, 4)
    expect([channel.basic_get(queue)[0].delivery_tag for _ in range(2)], [1, 2], "tags on the first channel")
    other = channel.connection.channel()
    expect([other.basic_get(queue)[0].delivery_tag for _ in range(2)], [1, 2], "tags on the second channel")


@check
def acknowledging_what_never_came_closes_the_channel(broker):
    channel, queue = filled(broker, 1)
    with channel_refused(406, "PRECONDITION_FAILED - unknown delivery tag 99"):
        channel.basic_ack(99)
        ready(channel, queue)
    expect(channel.connection.is_open, True, "the connection is open")


@check
def acknowledging_twice_closes_the_channel(broker):
    channel, queue = filled(broker, 1)
    method, _, _ = channel.basic_get(queue)
    channel.basic_ack(method.delivery_tag)
    with channel_refused(406, "PRECONDITION_FAILED - unknown delivery tag 1"):
        channel.basic_ack(method.delivery_tag)
        ready(channel, queue)


@check
def prefetch_bounds_what_is_unacknowledged(broker):
    channel, queue = filled(broker, 10)
    channel.basic_qos(prefetch_count=2)
    inbox = Inbox(channel, queue).wait_for(2).settled()
    expect(inbox.bodies, numbers(0, 1), "what came before an acknowledgement")
    expect(ready(channel, queue), 8, "messages that wait")
    channel.basic_ack(inbox.got[0][0].delivery_tag)
    inbox.wait_for(3).settled()
    expect(inbox.bodies, numbers(0, 1, 2), "what came after one")


@check
def prefetch_is_for_each_consumer_unless_it_is_global(broker):
    channel, queue = filled(broker, 10)
    channel.basic_qos(prefetch_count=2)
    one, two = Inbox(channel, queue), Inbox(channel, queue)
    until(channel.connection, lambda: len(one.got) + len(two.got) >= 4, "two messages for each")
    one.settled()
    expect((len(one.got), len(two.got)), (2, 2), "messages of each consumer")


@check
def global_prefetch_is_for_the_whole_channel(broker):
    channel, queue = filled(broker, 10)
    channel.basic_qos(prefetch_count=3, global_qos=True)
    one, two = Inbox(channel, queue), Inbox(channel, queue)
    until(channel.connection, lambda: len(one.got) + len(two.got) >= 3, "three messages in all")
    one.settled()
    expect(len(one.got) + len(two.got), 3, "messages of both consumers")


@check
def a_consumer_without_acknowledgements_is_not_bounded(broker):
    channel, queue = filled(broker, 10)
    channel.basic_qos(prefetch_count=1)
    inbox = Inbox(channel, queue, auto_ack=True).wait_for(10)
    expect(inbox.bodies, numbers(*range(10)), "what came")


@check
def consumers_take_turns(broker):
    channel = broker.channel()
    queue = broker.queue(channel)
    channel.basic_qos(prefetch_count=1)
    inboxes = [Inbox(channel, queue) for _ in range(3)]
    channel.confirm_delivery()
    for number in range(3):
        channel.basic_publish("", queue, str(number).encode())
    until(channel.connection, lambda: all(inbox.got for inbox in inboxes), "one message for each consumer")
    expect(sorted(body for inbox in inboxes for body in inbox.bodies), numbers(0, 1, 2), "what came")


@check
def get_tells_how_many_are_left(broker):
    channel, queue = filled(broker, 3)
    left = []
    while True:
        method, _, _ = channel.basic_get(queue, auto_ack=True)
        if method is None:
            break
        left.append(method.message_count)
    expect(left, [2, 1, 0], "messages left after each get")


@check
def recover_delivers_again(broker):
    channel, queue = filled(broker, 2)
    inbox = Inbox(channel, queue).wait_for(2)
    channel.basic_recover(requeue=True)
    inbox.wait_for(4)
    expect(inbox.bodies, numbers(0, 1, 0, 1), "what came")
    expect([method.redelivered for method, _, _ in inbox.got], [False, False, True, True], "redelivered")


@check
def purge_takes_what_is_not_handed_out(broker):
    channel, queue = filled(broker, 5)
    method, _, _ = channel.basic_get(queue)
    expect(channel.queue_purge(queue).method.message_count, 4, "messages purged")
    channel.basic_nack(method.delivery_tag, requeue=True)
    expect(get_until(channel, queue, 1), numbers(0), "what was handed out and given back")


@check
def delete_tells_how_many_messages_went(broker):
    channel, queue = filled(broker, 4)
    expect(channel.queue_delete(queue).method.message_count, 4, "messages of the deleted queue")


@check
def after_cancel_nothing_comes_and_what_came_can_be_acknowledged(broker):
    channel, queue = filled(broker, 1)
    inbox = Inbox(channel, queue).wait_for(1)
    # Below the blocking interface, which would give back by itself what it holds.
    cancelled = []
    channel._impl.basic_cancel(inbox.tag, callback=cancelled.append)
    until(channel.connection, lambda: cancelled, "basic.cancel-ok")
    channel.basic_publish("", queue, b"later")
    inbox.settled()
    expect(inbox.bodies, numbers(0), "what came")
    channel.basic_ack(inbox.got[0][0].delivery_tag)
    expect(get_until(channel, queue, 1), [b"later"], "what is left")


@check
def a_consumer_is_told_when_its_queue_is_deleted(broker):
    channel, queue = filled(broker, 0)
    inbox = Inbox(channel, queue)
    broker.channel().queue_delete(queue)
    until(channel.connection, lambda: inbox.cancelled, "basic.cancel from the broker")


@check
def an_exclusive_consumer_is_alone(broker):
    channel, queue = filled(broker, 0)
    Inbox(channel, queue, exclusive=True)
    other = broker.channel()
    with channel_refused(403, f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"):
        other.basic_consume(queue, lambda *_: None)


@check
def exclusive_use_is_refused_where_there_is_a_consumer(broker):
    channel, queue = filled(broker, 0)
    Inbox(channel, queue)
    other = broker.channel()
    with channel_refused(403, f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"):
        other.basic_consume(queue, lambda *_: None, exclusive=True)


@check
def consuming_from_no_queue_closes_the_channel(broker):
    channel = broker.channel()
    with channel_refused(404, "NOT_FOUND - no queue 'nowhere' in vhost '/'"):
        channel.basic_consume("nowhere", lambda *_: None)


@check
def a_consumer_tag_is_made_up_where_none_is_given(broker):
    channel, queue = filled(broker, 0)
    answered = []
    # Below the blocking interface, which makes one up itself.
    channel._impl._rpc(Basic.Consume(queue=queue, consumer_tag=""), answered.append, [Basic.ConsumeOk])
    until(channel.connection, lambda: answered, "basic.consume-ok")
    expect(answered[0].method.consumer_tag.startswith("amq.ctag-"), True, "the tag begins with amq.ctag-")


@check
def a_consumer_tag_cannot_be_used_twice(broker):
    channel, queue = filled(broker, 0)
    # Below the blocking interface, which refuses it itself.
    for _ in range(2):
        channel._impl._send_method(Basic.Consume(queue=queue, consumer_tag="mine"))
    with connection_refused(530, "NOT_ALLOWED - attempt to reuse consumer tag 'mine'"):
        until(channel.connection, lambda: False, "the connection to be closed")


run()
