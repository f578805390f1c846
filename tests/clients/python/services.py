"""Three services of a shop, each on a connection of its own and consuming its own queue; the order service publishes
its reply from within its callback.

    services.py amqp://guest:guest@127.0.0.1:5672/%2F

A customer puts things into the cart; the cart service hands the cart to the order service, which asks the product
service to take each thing from the shelf and answers the customer.
"""

import json
import threading
import uuid

import pika

from program import broker_uri, expect, must_end

ORDERS = 20

must_end(within_seconds=60)
uri = broker_uri()
run = uuid.uuid4().hex[:8]
CART, ORDER, PRODUCT = (f"{name}-{run}" for name in ("cart", "order", "product"))
shelf = {"apple": 100, "pear": 100}
all_taken = threading.Event()
failures = []


def publish(channel, queue, content, **properties):
    channel.basic_publish(
        exchange="",
        routing_key=queue,
        body=json.dumps(content).encode(),
        properties=pika.BasicProperties(content_type="application/json", delivery_mode=2, **properties),
    )


class Service(threading.Thread):
    """Consumes one queue until it is told to stop."""

    def __init__(self, queue, act):
        super().__init__(name=queue, daemon=True)
        self.queue, self.act = queue, act
        self.consuming = threading.Event()

    def run(self):
        try:
            self.connection = pika.BlockingConnection(pika.URLParameters(uri))
            self.channel = self.connection.channel()
            self.channel.queue_declare(queue=self.queue, durable=True)
            self.channel.basic_qos(prefetch_count=1)
            self.channel.basic_consume(queue=self.queue, on_message_callback=self.on_message)
            self.consuming.set()
            self.channel.start_consuming()
            self.channel.queue_delete(queue=self.queue)
            self.connection.close()
        except Exception as error:  # told to the main thread, which decides
            failures.append(f"service {self.queue}: {error!r}")
            self.consuming.set()

    def on_message(self, channel, method, properties, body):
        self.act(channel, properties, json.loads(body))
        channel.basic_ack(delivery_tag=method.delivery_tag)

    def stop(self):
        self.connection.add_callback_threadsafe(self.channel.stop_consuming)
        self.join()


def fill_cart(channel, properties, things):
    publish(channel, ORDER, things, reply_to=properties.reply_to, correlation_id=properties.correlation_id)


def take_order(channel, properties, things):
    for thing in things:
        publish(channel, PRODUCT, {"take": thing})
    reply = {"ordered": things}
    publish(channel, properties.reply_to, reply, correlation_id=properties.correlation_id)


def take_from_shelf(channel, properties, what):
    shelf[what["take"]] -= 1
    if sum(shelf.values()) == 200 - 2 * ORDERS:
        all_taken.set()


services = [Service(CART, fill_cart), Service(ORDER, take_order), Service(PRODUCT, take_from_shelf)]
for service in services:
    service.start()
for service in services:
    service.consuming.wait()
expect(failures, [], "services that failed at their start")

connection = pika.BlockingConnection(pika.URLParameters(uri))
channel = connection.channel()
replies = channel.queue_declare(queue="", exclusive=True).method.queue
for number in range(ORDERS):
    publish(channel, CART, ["apple", "pear"], reply_to=replies, correlation_id=str(number))

answered = []
for method, properties, body in channel.consume(replies, auto_ack=True, inactivity_timeout=20):
    if method is None:
        break
    answered.append((properties.correlation_id, json.loads(body)))
    if len(answered) == ORDERS:
        break
channel.cancel()
expect(failures, [], "services that failed")
expect(answered, [(str(number), {"ordered": ["apple", "pear"]}) for number in range(ORDERS)], "replies, in order")

all_taken.wait(timeout=20)
for service in services:
    service.stop()
expect(failures, [], "services that failed")
expect(shelf, {"apple": 100 - ORDERS, "pear": 100 - ORDERS}, "what is left on the shelf")
connection.close()
print(f"{ORDERS} orders went through cart, order and product and were answered")
