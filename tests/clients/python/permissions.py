"""A user that may read what begins with `orders.`, and do nothing else.

    permissions.py amqp://guest:guest@127.0.0.1:5672/%2F amqp://reader:password@127.0.0.1:5672/%2F

The first URI is of a user that may do everything. With a third argument, `until-deleted`, it goes on reading until the
connection is closed because the user was deleted; a queue `reader-reads` is there when it begins to.
"""

import sys

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from program import Wrong, broker_uri, expect, must_end

must_end(within_seconds=60)
everything, reader = broker_uri(), sys.argv[2]


def refused(channel, what, act):
    """Expects 403 with the sentence that RabbitMQ has for it; the channel is closed by it, and the connection is not."""
    try:
        act(channel)
    except ChannelClosedByBroker as closed:
        expect((closed.reply_code, closed.reply_text), (403, f"ACCESS_REFUSED - {what} refused for user 'reader'"), what)
        return
    raise Wrong(f"{what} was not refused")


def publish(channel, exchange, key):
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"x")


owner = pika.BlockingConnection(pika.URLParameters(everything))
channel = owner.channel()
channel.confirm_delivery()
for queue in ("orders.eu", "invoices"):
    channel.queue_declare(queue, durable=True)
channel.basic_publish("", "orders.eu", b"first")

connection = pika.BlockingConnection(pika.URLParameters(reader))
reading = connection.channel()
arrived = []
reading.basic_consume("orders.eu", lambda channel, method, properties, body: arrived.append(body), auto_ack=True)

REFUSED = {
    "write access to exchange 'amq.default' in vhost '/'": lambda c: publish(c, "", "orders.eu"),
    "write access to exchange 'amq.topic' in vhost '/'": lambda c: publish(c, "amq.topic", "k"),
    "configure access to queue 'orders.us' in vhost '/'": lambda c: c.queue_declare("orders.us"),
    "configure access to exchange 'orders.x' in vhost '/'": lambda c: c.exchange_declare("orders.x", "direct"),
    "configure access to queue 'orders.eu' in vhost '/'": lambda c: c.queue_delete("orders.eu"),
    "read access to queue 'invoices' in vhost '/'": lambda c: c.basic_get("invoices"),
    "write access to queue 'orders.eu' in vhost '/'": lambda c: c.queue_bind("orders.eu", "amq.topic", "#"),
}
for what, act in REFUSED.items():
    refused(connection.channel(), what, act)

# Whether something is there may be asked without any permission.
connection.channel().queue_declare("invoices", passive=True)

# All of it left the consumer alone.
channel.basic_publish("", "orders.eu", b"second")
while len(arrived) < 2:
    connection.process_data_events(time_limit=1)
expect(arrived, [b"first", b"second"], "what the reader got")
expect(channel.queue_declare("invoices", passive=True).method.message_count, 0, "messages of others")

if sys.argv[3:] == ["until-deleted"]:
    channel.queue_declare("reader-reads", durable=True)
    try:
        while True:
            connection.process_data_events(time_limit=1)
    except ConnectionClosedByBroker as closed:
        expect(closed.reply_code, 320, "why the connection was closed")
        expect("user 'reader' was deleted" in closed.reply_text, True, closed.reply_text)
else:
    connection.close()
for queue in ("orders.eu", "invoices", "reader-reads"):
    channel.queue_delete(queue)
owner.close()
print("the reader read, and did nothing else")
