"""A client over TLS: what is sent comes back, over a broker that shows who it is; who does not know it stays away.

    tls.py amqps://guest:guest@127.0.0.1:5671/%2F ca.crt
"""

import socket
import ssl
import sys
import uuid

import pika

from program import Wrong, broker_uri, expect, must_end

must_end(within_seconds=60)
parameters = pika.URLParameters(broker_uri())
authorities = sys.argv[2]


def secured(context, name):
    """The same broker, with these settings of TLS."""
    parameters.ssl_options = pika.SSLOptions(context, name)
    return pika.BlockingConnection(parameters)


def refused(context, name, what):
    """Ends the program where a connection is made that should not be."""
    try:
        secured(context, name)
    except (ssl.SSLError, pika.exceptions.AMQPConnectionError):
        return
    raise Wrong(f"{what}: the connection was made")


trusting = ssl.create_default_context(cafile=authorities)
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context = ssl.create_default_context(cafile=authorities)
    context.minimum_version = context.maximum_version = version
    connection = secured(context, "localhost")
    channel = connection.channel()
    channel.confirm_delivery()
    queue = channel.queue_declare("", exclusive=True).method.queue
    # From less than one TLS record to many of them.
    for size in (0, 1, 16_384, 1_000_000):
        body = (str(uuid.uuid4()).encode() * (size // 36 + 1))[:size]
        channel.basic_publish("", queue, body, mandatory=True)
        _, _, received = channel.basic_get(queue, auto_ack=True)
        expect(received == body, True, f"a body of {size} bytes over {version.name}")
    connection.close()

refused(ssl.create_default_context(), "localhost", "an authority that nobody knows")
refused(trusting, "somebody.else.example", "a name that the certificate is not for")

# Who speaks no TLS is let go at once.
plain = socket.create_connection((parameters.host, parameters.port), timeout=10)
plain.sendall(b"AMQP\x00\x00\x09\x01")
try:
    expect(plain.recv(1), b"", "the answer to a client without TLS")
except ConnectionResetError:
    pass

# Who begins with TLS and does not go on is let go in the end.
slow = socket.create_connection((parameters.host, parameters.port), timeout=30)
slow.sendall(b"\x16\x03\x01")
expect(slow.recv(1), b"", "the answer to a handshake that never ends")
print("TLS 1.2 and 1.3, both ways; strangers stay out")
