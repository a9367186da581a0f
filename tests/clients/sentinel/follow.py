"""Counts up a key of the master that redis-py finds through Sentinels, and reads it from replicas.

Its argument is JSON: `client`, `protocol`, `sentinels`, `name`, `key`. What it says is described at
`Program`. Errors are waited out, as an application would.
"""

import asyncio
import json
import sys

import redis
import redis.asyncio.sentinel
import redis.sentinel

PAUSE = 0.05
PATIENCE = {"socket_timeout": 1, "socket_connect_timeout": 1}


class Blocking:
    """redis-py without asyncio, in threads."""

    def __init__(self, sentinels, name, options):
        sentinel = redis.sentinel.Sentinel(sentinels, sentinel_kwargs=options, **options)
        self.master, self.replica = sentinel.master_for(name), sentinel.slave_for(name)

    async def count(self, key):
        await asyncio.to_thread(self.master.incr, key)

    async def read(self, key):
        return await asyncio.to_thread(self.replica.get, key)


class Asynchronous:
    """redis-py with asyncio."""

    def __init__(self, sentinels, name, options):
        sentinel = redis.asyncio.sentinel.Sentinel(sentinels, sentinel_kwargs=options, **options)
        self.master, self.replica = sentinel.master_for(name), sentinel.slave_for(name)

    async def count(self, key):
        await self.master.incr(key)

    async def read(self, key):
        return await self.replica.get(key)


async def main():
    work = json.loads(sys.argv[1])
    kind = Blocking if work["client"] == "redis-py" else Asynchronous
    sentinels = [tuple(each) for each in work["sentinels"]]
    client = kind(sentinels, work["name"], {"protocol": work["protocol"], **PATIENCE})
    done = {"done": 0, "reads": 0, "errors": 0}
    await count(client, work["key"], done)
    running = asyncio.create_task(go_on(client, work["key"], done))
    say({"ready": True})
    while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) == "progress":
        say(done)
    running.cancel()
    if line == "stop":
        say(done)


async def go_on(client, key, done):
    while True:
        await count(client, key, done)
        await asyncio.sleep(PAUSE)


async def count(client, key, done):
    try:
        await client.count(key)
        done["done"] += 1
        done["reads"] += await client.read(key) is not None
    except (redis.RedisError, OSError):
        done["errors"] += 1


def say(words):
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
