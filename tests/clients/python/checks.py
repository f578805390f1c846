"""Checks of a broker's conduct, each a function that is given a `Broker`; a module of them ends with `run()`.

Every sentence of a refusal that is expected here was first heard from RabbitMQ 4.0.5.
"""

import contextlib
import os
import sys
import time
import traceback
import uuid

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from program import Wrong, broker_uri, expect, must_end

CHECKS = []


def check(function):
    """Marks a function as a check; its docstring is what it shows."""
    CHECKS.append(function)
    return function


def run(within_seconds=120):
    """Runs all checks of the module, or those named by the arguments after the URI; exits non-zero where one fails."""
    must_end(within_seconds)
    uri, wanted = broker_uri(), sys.argv[2:]
    failed = 0
    for function in CHECKS:
        if wanted and function.__name__ not in wanted:
            continue
        started = time.monotonic()
        try:
            with Broker(uri) as broker:
                function(broker)
        except Wrong as wrong:
            failed += 1
            print(f"FAILED {function.__name__}: {wrong}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED {function.__name__}: {traceback.format_exc()}", flush=True)
        else:
            print(f"ok {function.__name__} ({time.monotonic() - started:.2f} s)", flush=True)
    if failed:
        print(f"{sys.argv[0]}: {failed} checks failed", file=sys.stderr)
    # Not through the interpreter's end: a thread of a client that is stuck must not keep it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if failed else 0)


class Broker:
    """The broker, and what a check has made there; all of it is taken away when the check ends."""

    def __init__(self, uri):
        self.uri = uri
        self.parameters = pika.URLParameters(uri)
        self.address = (self.parameters.host, self.parameters.port)
        self.connections, self.queues, self.exchanges = [], [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections:
            with contextlib.suppress(Exception):
                connection.close()
        if self.queues or self.exchanges:
            with contextlib.closing(pika.BlockingConnection(self.parameters)) as connection:
                for name in self.queues:
                    with contextlib.suppress(ChannelClosedByBroker):
                        connection.channel().queue_delete(name)
                for name in self.exchanges:
                    with contextlib.suppress(ChannelClosedByBroker):
                        connection.channel().exchange_delete(name)

    def connect(self, **changes):
        """One more connection."""
        parameters = pika.URLParameters(self.uri)
        for name, value in changes.items():
            setattr(parameters, name, value)
        connection = pika.BlockingConnection(parameters)
        self.connections.append(connection)
        return connection

    def channel(self):
        """A channel on a connection of its own."""
        return self.connect().channel()

    def name(self, what):
        """A name that nobody else uses."""
        return f"{what}-{uuid.uuid4().hex[:12]}"

    def queue(self, channel, what="queue", **attributes):
        """Declares a queue under a new name, which it gives."""
        name = self.name(what)
        attributes.setdefault("durable", True)
        channel.queue_declare(name, **attributes)
        self.queues.append(name)
        return name

    def exchange(self, channel, kind, **attributes):
        """Declares an exchange under a new name, which it gives."""
        name = self.name(kind)
        attributes.setdefault("durable", True)
        channel.exchange_declare(name, kind, **attributes)
        self.exchanges.append(name)
        return name


class Inbox:
    """A consumer that keeps what it got."""

    def __init__(self, channel, queue, **attributes):
        self.channel, self.got, self.cancelled = channel, [], False
        channel.add_on_cancel_callback(self._on_cancel)
        self.tag = channel.basic_consume(queue, self._on_message, **attributes)

    def _on_message(self, channel, method, properties, body):
        self.got.append((method, properties, body))

    def _on_cancel(self, frame):
        self.cancelled = True

    @property
    def bodies(self):
        return [body for _, _, body in self.got]

    def wait_for(self, count, what="messages"):
        """Waits until so many came."""
        until(self.channel.connection, lambda: len(self.got) >= count, f"{count} {what}, got {self.bodies!r}")
        return self

    def settled(self):
        """All that came, once the broker has answered all that it was asked before: nothing more is under way."""
        for _ in range(3):
            self.channel.connection.channel().close()
            self.channel.connection.process_data_events(time_limit=0.1)
        return self


def until(connection, condition, what, seconds=10):
    """Waits on a connection until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Wrong(f"waited {seconds} s in vain for {what}")
        connection.process_data_events(time_limit=0.05)


def get_all(channel, queue):
    """Takes all that is ready in a queue, acknowledged."""
    bodies = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return bodies
        bodies.append(body)


def get_until(channel, queue, count):
    """Takes messages, acknowledged, until there were so many."""
    bodies = []

    def enough():
        bodies.extend(get_all(channel, queue))
        return len(bodies) >= count

    until(channel.connection, enough, f"{count} messages in {queue}")
    return bodies


@contextlib.contextmanager
def channel_refused(code, sentence):
    """What is done within must close the channel with this code and sentence."""
    try:
        yield
    except ChannelClosedByBroker as closed:
        expect((closed.reply_code, closed.reply_text), (code, sentence), "why the channel was closed")
    else:
        raise Wrong(f"the channel should have been closed with {code} {sentence!r}, but nothing was refused")


@contextlib.contextmanager
def connection_refused(code, sentence):
    """What is done within must close the connection with this code and sentence."""
    try:
        yield
    except ConnectionClosedByBroker as closed:
        expect((closed.reply_code, closed.reply_text), (code, sentence), "why the connection was closed")
    else:
        raise Wrong(f"the connection should have been closed with {code} {sentence!r}, but nothing was refused")
