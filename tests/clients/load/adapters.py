"""The Python libraries and redis-cli behind one face: a connection that takes requests."""

import asyncio
import json
import shutil

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

# What a reply may take, in seconds.
PATIENCE = 20


class RedisPy:
    """A client as it comes; without retries it passes every error on."""

    errors = redis.RedisError

    def __init__(self, address, protocol, retries):
        options = {} if retries else {"retry": Retry(NoBackoff(), 0)}
        self.client = redis.Redis(*address, protocol=protocol, socket_timeout=PATIENCE, **options)

    async def call(self, *words):
        return await asyncio.to_thread(self.client.execute_command, *words)

    async def batch(self, requests, transaction):
        pipeline = self.client.pipeline(transaction=transaction)
        for words in requests:
            pipeline.execute_command(*words)
        return await asyncio.to_thread(pipeline.execute)

    async def close(self):
        self.client.close()


class RedisPyAsyncio:
    """The same with asyncio."""

    errors = redis.RedisError

    def __init__(self, address, protocol, retries):
        options = {} if retries else {"retry": AsyncRetry(NoBackoff(), 0)}
        host, port = address
        self.client = redis.asyncio.Redis(
            host=host, port=port, protocol=protocol, socket_timeout=PATIENCE, **options
        )

    async def call(self, *words):
        return await self.client.execute_command(*words)

    async def batch(self, requests, transaction):
        pipeline = self.client.pipeline(transaction=transaction)
        for words in requests:
            pipeline.execute_command(*words)
        return await pipeline.execute()

    async def close(self):
        await self.client.aclose()


class CliError(Exception):
    """What redis-cli printed instead of a reply."""


class RedisCli:
    """A redis-cli that reads requests from its standard input and prints a line of JSON for each.

    It sends one after another, also those of a batch. Its retries cannot be switched off: a
    request that fails with its connection is sent once more.
    """

    errors = (CliError, OSError)

    def __init__(self, address, protocol, _retries):
        host, port = address
        program = shutil.which("redis-cli") or shutil.which("valkey-cli")
        self.command = [program, f"-{protocol}", "--json", "-h", host, "-p", str(port)]
        self.process = None

    async def call(self, *words):
        return (await self.talk([words]))[0]

    async def batch(self, requests, transaction):
        if not transaction:
            return await self.talk(requests)
        said = await self.talk([("MULTI",), *requests, ("EXEC",)])
        if not isinstance(said[-1], list):
            raise CliError(f"EXEC: {said[-1]}")
        return said[-1]

    async def talk(self, requests):
        if self.process is None:
            pipe = asyncio.subprocess.PIPE
            self.process = await asyncio.create_subprocess_exec(
                *self.command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
            )
        for words in requests:
            line = " ".join(json.dumps(str(word)) for word in words)
            self.process.stdin.write(f"{line}\n".encode())
        said = []
        for _ in requests:
            line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
            try:
                said.append(json.loads(line))
            except ValueError:
                said.append(CliError(line.decode(errors="replace").strip() or "redis-cli ended"))
        for reply in said:
            if isinstance(reply, CliError):
                raise reply
        return said

    async def close(self):
        if self.process is not None:
            self.process.kill()
            await self.process.wait()


ADAPTERS = {"redis-py": RedisPy, "redis-py-asyncio": RedisPyAsyncio, "redis-cli": RedisCli}
