"""Connects as a user of the library would, sends a PING, and ends."""

import asyncio
import json
import sys

import redis
import redis.asyncio


def main():
    work = json.loads(sys.argv[1])
    given = work["options"]
    names = {"client_name": "name", "username": "user", "password": "password", "db": "database"}
    options = {name: given[ours] for name, ours in names.items()} if given else {}
    if work["protocol"]:
        options["protocol"] = work["protocol"]
    if work["client"] == "redis-py":
        redis.Redis(port=work["port"], **options).ping()
    else:
        asyncio.run(ping(work["port"], options))


async def ping(port, options):
    async with redis.asyncio.Redis(port=port, **options) as client:
        await client.ping()


main()
