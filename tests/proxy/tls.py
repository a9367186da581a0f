"""redis-py over TLS: arguments are the port, and a certificate and key for both sides."""

import hashlib
import os
import sys

import redis

port, cert, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
client = redis.Redis(
    "127.0.0.1",
    port,
    ssl=True,
    ssl_ca_certs=cert,
    ssl_certfile=cert,
    ssl_keyfile=key,
    ssl_check_hostname=True,
    socket_timeout=60,
    protocol=3,
)

value = os.urandom(100_000_000)
client.set("big", value)
got = client.get("big")
assert hashlib.sha256(got).digest() == hashlib.sha256(value).digest(), "the value has changed"

with client.pipeline(transaction=True) as pipeline:
    for number in range(1000):
        pipeline.set(f"key{number}", number)
        pipeline.get(f"key{number}")
    answers = pipeline.execute()
assert answers[1::2] == [str(number).encode() for number in range(1000)], "the pipeline"

with client.pubsub() as pubsub:
    pubsub.subscribe("news")
    assert pubsub.get_message(timeout=10)["type"] == "subscribe"
    client.publish("news", "hello")
    assert pubsub.get_message(timeout=10)["data"] == b"hello"

assert client.connection_pool.get_connection()._sock.version().startswith("TLS"), "not encrypted"
print("fine")
