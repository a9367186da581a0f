"""Clients as an application has them: each writes new keys one after the other, with redis-py.

Reads one line of JSON (`prefix`, `starts`: where each begins to look for a server, and `proxies` or
`sentinels`), writes until its input ends, then prints what was acknowledged and when, and every error.
"""

import json
import sys
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

PAUSE = 0.002
AFTER_ERROR = 0.010
# For both: how long a client waits for a connection and for an answer.
LIMITS = {
    "socket_connect_timeout": 0.5,
    "socket_timeout": 1.0,
    # An error is to be seen, not hidden by a second try.
    "retry": Retry(NoBackoff(), 0),
}


class ThroughProxies:
    """One connection to one of the proxies; after an error to the next, as behind a Service."""

    def __init__(self, order, start):
        self.addresses = order["proxies"]
        self.turn = start
        self.client = None

    def set(self, key, value):
        if self.client is None:
            host = self.addresses[self.turn % len(self.addresses)]
            self.turn += 1
            self.client = redis.Redis(host, 6380, **LIMITS)
        self.client.set(key, value)

    def failed(self):
        self.client.close()
        self.client = None


class ThroughSentinels:
    """redis-py asks the Sentinels whenever it connects."""

    def __init__(self, order, start):
        at = order["sentinels"]
        at = [tuple(each) for each in at[start:] + at[:start]]
        sentinels = Sentinel(at, sentinel_kwargs=LIMITS, **LIMITS)
        self.client = sentinels.master_for("mymaster")

    def set(self, key, value):
        self.client.set(key, value)

    def failed(self):
        # What is broken redis-py has closed already.
        pass


def write(client, prefix, number, stop, acked, errors):
    count = 0
    while not stop.is_set():
        # A key is tried once: only so is it known whether it was acknowledged.
        count += 1
        try:
            client.set(f"{prefix}:{number}:{count}", count)
            acked.append((time.monotonic(), count))
            time.sleep(PAUSE)
        except (redis.RedisError, OSError) as error:
            errors.append((time.monotonic(), f"{type(error).__name__}: {error}"))
            client.failed()
            time.sleep(AFTER_ERROR)


def main():
    order = json.loads(sys.stdin.readline())
    kind = ThroughProxies if "proxies" in order else ThroughSentinels
    stop = threading.Event()
    seen, threads = [], []
    for number, start in enumerate(order["starts"]):
        client, acked, errors = kind(order, start), [], []
        seen.append({"acked": acked, "errors": errors})
        arguments = (client, order["prefix"], number, stop, acked, errors)
        threads.append(threading.Thread(target=write, args=arguments))
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
