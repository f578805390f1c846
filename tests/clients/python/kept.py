"""Puts persistent messages into a durable queue, or takes them out and says whether all of them are there, in order.

    kept.py URI put|take QUEUE COUNT
"""

import sys

import pika

from program import broker_uri, expect, must_end

must_end(within_seconds=60)
_, _, what, queue, count = sys.argv
wanted = [f"message {number}".encode() for number in range(int(count))]
connection = pika.BlockingConnection(pika.URLParameters(broker_uri()))
channel = connection.channel()
channel.queue_declare(queue, durable=True)
if what == "put":
    channel.confirm_delivery()
    for body in wanted:
        channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))
else:
    got = []
    for method, _, body in channel.consume(queue, inactivity_timeout=20):
        if method is None:
            break
        got.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(got) == len(wanted):
            break
    channel.cancel()
    expect(got, wanted, "messages")
connection.close()
print(f"{what}: {count} messages")
