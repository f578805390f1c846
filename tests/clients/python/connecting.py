"""What happens at the edge: handshakes, logins, heartbeats, and clients that speak nonsense."""

import socket
import struct
import time

import amqp
import pika
from pika.exceptions import ProbableAccessDeniedError, ProbableAuthenticationError

from checks import Inbox, check, run, until
from program import Wrong, expect

HELLO = b"AMQP\x00\x00\x09\x01"


class Raw:
    """A socket to the broker, and what it answers."""

    def __init__(self, broker):
        self.socket = socket.create_connection(broker.address, timeout=15)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed by the broker while it was sent: what it answered is read all the same

    def read_to_end(self):
        """All that is answered until the broker closes."""
        answer = b""
        while True:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return answer
            except socket.timeout:
                raise Wrong(f"the broker did not close within {self.socket.gettimeout()} s; it answered {answer!r}")
            if not data:
                return answer
            answer += data

    def frame(self):
        """One frame: its type, channel and payload."""
        kind, channel, size = struct.unpack(">BHI", self._exactly(7))
        payload = self._exactly(size)
        expect(self._exactly(1), b"\xce", "the end of a frame")
        return kind, channel, payload

    def method(self):
        """The next frame's method: class, number, and the bytes of its arguments. Heartbeats are passed over."""
        while True:
            kind, _, payload = self.frame()
            if kind == 1:
                return (*struct.unpack(">HH", payload[:4]), payload[4:])

    def send_method(self, class_id, method_id, arguments, channel=0):
        payload = struct.pack(">HH", class_id, method_id) + arguments
        self.send(struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce")

    def log_in(self, broker, heartbeat=0, frame_max=8192):
        """The whole handshake."""
        self.send(HELLO)
        expect(self.method()[:2], (10, 10), "connection.start")
        credentials = broker.parameters.credentials
        response = f"\0{credentials.username}\0{credentials.password}".encode()
        start_ok = struct.pack(">I", 0) + short("PLAIN") + struct.pack(">I", len(response)) + response + short("en_US")
        self.send_method(10, 11, start_ok)
        class_id, method_id, tune = self.method()
        expect((class_id, method_id), (10, 30), "connection.tune")
        self.send_method(10, 31, tune[:2] + struct.pack(">IH", frame_max, heartbeat))
        self.send_method(10, 40, short(broker.parameters.virtual_host) + short("") + b"\0")
        expect(self.method()[:2], (10, 41), "connection.open-ok")
        return self

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise Wrong(f"the broker closed after {data!r}")
            data += more
        return data


def short(text):
    return bytes([len(text)]) + text.encode()


def closed_with(raw, code):
    """The broker says connection.close with this code."""
    class_id, method_id, arguments = raw.method()
    expect((class_id, method_id), (10, 50), "connection.close")
    (found,) = struct.unpack(">H", arguments[:2])
    text = arguments[3 : 3 + arguments[2]].decode()
    expect(found, code, f"the reply code, said with {text!r},")


@check
def the_broker_says_what_it_can(broker):
    properties = broker.connect()._impl.server_properties
    for capability in ("publisher_confirms", "basic.nack", "consumer_cancel_notify", "authentication_failure_close"):
        expect(properties["capabilities"].get(capability), True, f"capability {capability}")
    for name in ("product", "version", "platform"):
        expect(name in properties, True, f"{name} is among the server's properties")


@check
def a_wrong_password_is_refused(broker):
    sentence = (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
    )
    for user, password in ((broker.parameters.credentials.username, "wrong"), ("nobody", "x"), ("", "")):
        try:
            broker.connect(credentials=pika.PlainCredentials(user, password))
        except ProbableAuthenticationError as refused:
            expect(sentence in str(refused), True, f"{refused} says {sentence!r}")
        else:
            raise Wrong(f"user {user!r} was let in")


@check
def a_virtual_host_that_is_not_there_is_refused(broker):
    try:
        broker.connect(virtual_host="nowhere")
    except ProbableAccessDeniedError as refused:
        expect("(530) 'NOT_ALLOWED - vhost nowhere not found'" in str(refused), True, f"{refused} says why")
    else:
        raise Wrong("the virtual host was opened")


@check
def another_client_logs_in_by_amqplain(broker):
    credentials = broker.parameters.credentials
    host, port = broker.address
    with amqp.Connection(
        f"{host}:{port}",
        userid=credentials.username,
        password=credentials.password,
        virtual_host=broker.parameters.virtual_host,
        login_method="AMQPLAIN",
        connect_timeout=10,
    ) as connection:
        channel = connection.channel()
        queue, _, _ = channel.queue_declare(exclusive=True)
        channel.basic_publish(amqp.Message("by AMQPLAIN"), routing_key=queue)
        deadline = time.monotonic() + 10
        message = None
        while message is None and time.monotonic() < deadline:
            message = channel.basic_get(queue, no_ack=True)
        expect(message is not None and message.body, "by AMQPLAIN", "the message")


@check
def an_idle_connection_is_kept_by_heartbeats(broker):
    connection = broker.connect(heartbeat=1)
    channel = connection.channel()
    queue = broker.queue(channel)
    inbox = Inbox(channel, queue, auto_ack=True)
    connection.process_data_events(time_limit=4)
    channel.basic_publish("", queue, b"still here")
    inbox.wait_for(1)


@check
def a_connection_without_heartbeats_is_dropped(broker):
    raw = Raw(broker).log_in(broker, heartbeat=1)
    started = time.monotonic()
    answer = raw.read_to_end()
    expect(time.monotonic() - started < 10, True, "the broker closed within 10 s")
    expect(b"\x08\x00\x00\x00\x00\x00\x00\xce" in answer, True, "it sent heartbeats itself before that")


@check
def what_is_no_amqp_is_answered_with_the_version_that_is_spoken(broker):
    for data in (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"AMQP\x00\x00\x08\x00", b"AMQP\x09\x09\x09\x09", bytes(range(255, 0, -1))):
        raw = Raw(broker)
        raw.send(data)
        answer = raw.read_to_end()
        # RabbitMQ names AMQP 1.0, which it speaks too, to whom it takes for no client of AMQP 0-9-1.
        expect(answer in (HELLO, b"AMQP\x03\x01\x00\x00"), True, f"{answer!r} is an answer to {data[:16]!r}")


@check
def a_connection_that_says_nothing_is_closed(broker):
    raw = Raw(broker)
    raw.read_to_end()


@check
def garbage_after_the_handshake_closes_the_connection(broker):
    raw = Raw(broker).log_in(broker)
    raw.send(bytes(range(256)) * 16)
    closed_with(raw, 501)


@check
def a_frame_with_a_wrong_end_closes_the_connection(broker):
    raw = Raw(broker).log_in(broker)
    raw.send(struct.pack(">BHI", 8, 0, 0) + b"\x00")
    closed_with(raw, 501)


@check
def a_frame_over_the_limit_closes_the_connection(broker):
    raw = Raw(broker).log_in(broker, frame_max=8192)
    raw.send(struct.pack(">BHI", 1, 1, 1 << 30) + b"\x00" * 16384)
    closed_with(raw, 501)


@check
def a_method_on_a_channel_that_is_not_open_closes_the_connection(broker):
    raw = Raw(broker).log_in(broker)
    raw.send_method(60, 10, struct.pack(">IHB", 0, 1, 0), channel=7)
    closed_with(raw, 504)


@check
def a_method_that_there_is_not_closes_the_connection(broker):
    raw = Raw(broker).log_in(broker)
    raw.send_method(20, 10, short(""), channel=1)
    expect(raw.method()[:2], (20, 11), "channel.open-ok")
    raw.send_method(60, 99, b"", channel=1)
    # RabbitMQ closes without a word here; a broker that says why names a code of the specification.
    answer = raw.read_to_end()
    if answer:
        kind, _, _, class_id, method_id, code = struct.unpack(">BHIHHH", answer[:13])
        expect((kind, class_id, method_id, code in (501, 502, 503, 540)), (1, 10, 50, True), f"the answer {answer!r}")


@check
def a_channel_cannot_be_opened_twice(broker):
    raw = Raw(broker).log_in(broker)
    raw.send_method(20, 10, short(""), channel=1)
    expect(raw.method()[:2], (20, 11), "channel.open-ok")
    raw.send_method(20, 10, short(""), channel=1)
    closed_with(raw, 504)


@check
def nonsense_of_one_client_harms_no_other(broker):
    channel = broker.channel()
    queue = broker.queue(channel)
    inbox = Inbox(channel, queue, auto_ack=True)
    for number in range(20):
        raw = Raw(broker).log_in(broker)
        raw.send(b"\xff" * 5000)
        channel.basic_publish("", queue, str(number).encode())
    inbox.wait_for(20)


@check
def a_closed_connection_is_told_so(broker):
    """connection.close is answered, also while messages are under way."""
    connection = broker.connect()
    channel = connection.channel()
    queue = broker.queue(channel)
    for _ in range(200):
        channel.basic_publish("", queue, b"x" * 1000)
    Inbox(channel, queue)
    connection.close()
    expect(connection.is_closed, True, "the connection is closed")


@check
def many_channels_on_one_connection_work(broker):
    connection = broker.connect()
    channels = [connection.channel() for _ in range(100)]
    queue = broker.queue(channels[0])
    for channel in channels:
        channel.basic_publish("", queue, b"x")
    for channel in channels[1:]:
        channel.close()
    until(connection, lambda: channels[0].queue_declare(queue, passive=True).method.message_count == 100, "100 messages")


@check
def a_channel_number_over_the_limit_is_refused(broker):
    connection = broker.connect(channel_max=5)
    for _ in range(5):
        connection.channel()
    expect(connection._impl.params.channel_max, 5, "channels that were agreed on")


run()
