"""Enqueues jobs with RQ as it comes. Its argument and what it says are those of `load.py`, with one session."""

import json
import sys
import threading
import time

import redis
import rq
from rq_jobs import work

PAUSE = 0.2
# How long it waits for jobs that are not done yet, in seconds.
PATIENCE = 30


class Session:
    def __init__(self, port, record):
        self.queue = rq.Queue("jobs", connection=redis.Redis(port=port))
        self.record = record
        self.stopping = threading.Event()
        self.last = 0
        self.errors = 0
        self.unknown = []
        self.said = []

    def produce(self):
        while not self.stopping.wait(PAUSE):
            self.last += 1
            try:
                self.queue.enqueue(work, self.last, self.record)
            except redis.RedisError as error:
                self.errors += 1
                self.unknown.append(self.last)
                self.said = [*self.said, f"{type(error).__name__}: {error}"][-5:]

    def took(self):
        with open(self.record) as lines:
            return [int(line) for line in lines]

    def wait_for_all(self):
        deadline = time.monotonic() + PATIENCE
        while self.last - len(self.unknown) > len(set(self.took())) and time.monotonic() < deadline:
            time.sleep(0.02)

    def report(self):
        own = {name: getattr(self, name) for name in ("last", "errors", "unknown", "said")}
        return {"name": "rq", "done": len(self.took()), "took": self.took(), **own}


def main():
    given = json.loads(sys.argv[1])
    session = Session(given["port"], given["record"])
    producer = threading.Thread(target=session.produce)
    producer.start()
    while len(session.took()) < 3:
        time.sleep(0.02)
    say({"ready": True})
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        say({"done": [len(session.took())]})
    session.stopping.set()
    producer.join()
    session.wait_for_all()
    say({"sessions": [session.report()]})


def say(words):
    print(json.dumps(words), flush=True)


main()
