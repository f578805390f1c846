"""The first program that everybody writes: one queue, one message there, one message back.

    hello.py amqp://guest:guest@127.0.0.1:5672/%2F
"""

import uuid

import pika

from program import broker_uri, expect, must_end

must_end(within_seconds=30)
parameters = pika.URLParameters(broker_uri())
body = f"Hello World! {uuid.uuid4()}".encode()

connection = pika.BlockingConnection(parameters)
channel = connection.channel()
channel.queue_declare(queue="hello")
channel.basic_publish(exchange="", routing_key="hello", body=body)
print(f"sent {body!r}")
connection.close()

received = []


def callback(channel, method, properties, body):
    received.append((method.routing_key, body))
    channel.stop_consuming()


connection = pika.BlockingConnection(parameters)
channel = connection.channel()
channel.queue_declare(queue="hello")
channel.basic_consume(queue="hello", on_message_callback=callback, auto_ack=True)
channel.start_consuming()
expect(received, [("hello", body)], "what the consumer got")
left = channel.queue_declare(queue="hello", passive=True).method.message_count
expect(left, 0, "messages left in the queue")
connection.close()
print(f"received {body!r}")
