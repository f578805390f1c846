"""Publishes to a topic with partitions, and reads them: a key is in one of them, and in order.

usage: partitions.py URI TOPIC PARTITIONS
"""

import sys

import pika

from checks import Broker, Inbox
from program import broker_uri, expect, must_end

KEYS, ROUNDS = 12, 10


def main():
    must_end(within_seconds=60)
    topic, partitions = sys.argv[2], int(sys.argv[3])
    with Broker(broker_uri()) as broker:
        channel = broker.channel()
        channel.confirm_delivery()
        for number in range(ROUNDS):
            for key in range(KEYS):
                channel.basic_publish(topic, f"key-{key}", str(number).encode())
        last = pika.BasicProperties(headers={"x-partition": partitions - 1})
        channel.basic_publish(topic, "named", b"last", last)
        for _ in range(partitions):
            channel.basic_publish(topic, "", b"in turns")

        names = [f"{topic}-{partition}" for partition in range(partitions)]
        counts = [channel.queue_declare(name, passive=True).method.message_count for name in names]
        expect(sum(counts), KEYS * ROUNDS + 1 + partitions, "messages in all partitions")
        of_key = {}
        for partition, (name, count) in enumerate(zip(names, counts)):
            reading = broker.channel()
            reading.basic_qos(prefetch_count=1000)
            inbox = Inbox(reading, name, arguments={"x-stream-offset": "first"}).wait_for(count)
            expect(inbox.bodies.count(b"in turns"), 1, f"messages without a key in {name}")
            for method, _, body in inbox.got:
                of_key.setdefault(method.routing_key, []).append((partition, body))
        expect(of_key["named"], [(partitions - 1, b"last")], "where the message is that named its partition")
        for key in range(KEYS):
            got = of_key[f"key-{key}"]
            expect(len({partition for partition, _ in got}), 1, f"partitions of key-{key}")
            expect([body for _, body in got], [str(number).encode() for number in range(ROUNDS)], f"key-{key}")
    print(f"{sum(counts)} messages in {partitions} partitions: {counts}")


if __name__ == "__main__":
    main()
