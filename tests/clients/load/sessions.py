"""What the sessions of a load do, and what they must see; `sessions.mjs` is its twin."""

import asyncio

# So many of the things that went wrong are told; all are counted.
TOLD = 5
# How long a blocking request waits, in seconds.
BLOCK = 1
LUA = "return redis.call('INCR', KEYS[1])"


class Session:
    """One kind of work under a key of its own, and the account of it."""

    def __init__(self, name, kind, pause, connect):
        self.name = name
        self.kind = kind
        self.pause = pause
        self.connect = connect
        self.stopping = False
        self.ready = asyncio.Event()
        self.done = 0
        self.errors = 0
        self.said = []
        self.wrong = []
        # Of each counter: how often an INCR was acknowledged, and how often that is unknown.
        self.counters = {}
        # Of a queue: the numbers that may or may not be in it, the last one, and those taken out.
        self.unknown = []
        self.last = 0
        self.took = []
        self.lost = 0

    async def attempt(self, connection, work):
        """The result of `work`, or None if it failed."""
        try:
            result = await work
        except connection.errors as error:
            self.errors += 1
            self.said = [*self.said, f"{type(error).__name__}: {error}"][-TOLD:]
            await asyncio.sleep(0.05)
            return None
        self.done += 1
        self.ready.set()
        await asyncio.sleep(self.pause)
        return result

    def expect(self, fits, what):
        if not fits:
            self.wrong = [*self.wrong, what][:TOLD]

    def report(self):
        own = ("name", "kind", "done", "errors", "said", "wrong", "counters", "lost")
        queue = ("unknown", "last", "took") if self.kind in ("queue", "group") else ()
        return {name: getattr(self, name) for name in (*own, *queue)}


class Counter:
    """A key that only this session counts up."""

    def __init__(self, session):
        self.session = session
        self.key = f"{session.name}:counter"
        self.value = 0
        self.slack = 0
        self.account = session.counters[self.key] = [0, 0]

    def acknowledged(self, values):
        """Each INCR counts exactly once; those before it that failed may have counted."""
        for value in values:
            fits = self.value < value <= self.value + 1 + self.slack
            self.session.expect(fits, f"{value} after {self.value}, {self.slack} unknown")
            self.value, self.slack = value, 0
            self.account[0] += 1

    def failed(self, times):
        self.slack += times
        self.account[1] += times


async def single(session):
    """One request after another: INCR, SET, GET."""
    connection, counter, key = session.connect(), Counter(session), f"{session.name}:value"
    while not session.stopping:
        value = await session.attempt(connection, connection.call("INCR", counter.key))
        if value is None:
            counter.failed(1)
            continue
        counter.acknowledged([int(value)])
        if await session.attempt(connection, connection.call("SET", key, value)) is None:
            continue
        found = await session.attempt(connection, connection.call("GET", key))
        session.expect(found is None or int(found) == value, f"{found} read, {value} written")
    await connection.close()


async def script(session):
    """A script that the server knows by its SHA-1; after an error it may be another server."""
    connection, counter, sha = session.connect(), Counter(session), None
    while not session.stopping:
        if sha is None:
            sha = await session.attempt(connection, connection.call("SCRIPT", "LOAD", LUA))
            continue
        work = connection.call("EVALSHA", sha, 1, counter.key)
        value = await session.attempt(connection, work)
        if value is None:
            counter.failed(1)
            sha = None
        else:
            counter.acknowledged([int(value)])
    await connection.close()


async def pipeline(session):
    await batches(session, transaction=False)


async def multi(session):
    await batches(session, transaction=True)


async def batches(session, transaction):
    """Three INCR and a GET at once."""
    connection, counter = session.connect(), Counter(session)
    requests = [("INCR", counter.key)] * 3 + [("GET", counter.key)]
    while not session.stopping:
        replies = await session.attempt(connection, connection.batch(requests, transaction))
        if replies is None:
            counter.failed(3)
            continue
        values = [int(reply) for reply in replies]
        counter.acknowledged(values[:3])
        session.expect(values[3] == values[2], f"{values[3]} read, {values[2]} written")
    await connection.close()


async def queue(session):
    """One connection pushes numbers, another waits for them with BLPOP."""
    key = f"{session.name}:list"

    async def take(consumer):
        reply = await session.attempt(consumer, consumer.call("BLPOP", key, BLOCK))
        numbers = [] if reply is None else [int(flat(reply)[-1])]
        session.took += numbers
        return bool(numbers)

    await produce_and_consume(session, ("RPUSH", key), take)


async def group(session):
    """One connection adds numbers to a stream, another waits for them with XREADGROUP."""
    key = f"{session.name}:stream"
    creator = session.connect()
    await creator.call("XGROUP", "CREATE", key, "group", "0", "MKSTREAM")
    await creator.close()
    block = ("COUNT", 10, "BLOCK", BLOCK * 1000, "STREAMS", key, ">")

    async def take(consumer):
        words = ("XREADGROUP", "GROUP", "group", "me", *block)
        reply = flat(await session.attempt(consumer, consumer.call(*words)))
        entries = [(reply[at - 1], int(reply[at + 1])) for at in positions(reply, "n")]
        session.took += [number for _, number in entries]
        if entries:
            ids = [identity for identity, _ in entries]
            await session.attempt(consumer, consumer.call("XACK", key, "group", *ids))
        return bool(entries)

    await produce_and_consume(session, ("XADD", key, "*", "n"), take)


async def produce_and_consume(session, put, take):
    async def produce():
        producer = session.connect()
        while not session.stopping:
            session.last += 1
            if await session.attempt(producer, producer.call(*put, session.last)) is None:
                session.unknown.append(session.last)
        await producer.close()

    async def consume():
        consumer = session.connect()
        while not producing.done():
            await take(consumer)
        # Then what is left: until nothing comes, and that not because of an error.
        errors = -1
        while await take(consumer) or errors != session.errors:
            errors = session.errors
        await consumer.close()

    producing = asyncio.create_task(produce())
    await asyncio.gather(producing, consume())


async def life(session):
    """SET and GET that may be done twice, as they are when libraries try again."""
    connection, key, sequence, kept = session.connect(), f"{session.name}:value", 0, 0
    while not session.stopping:
        sequence += 1
        if await session.attempt(connection, connection.call("SET", key, sequence)) is not None:
            kept = sequence
        found = await session.attempt(connection, call_or_zero(connection, "GET", key))
        if found is not None and found < kept:
            session.lost += kept - found
            kept = found
    await connection.close()


async def call_or_zero(connection, *words):
    """The number that the reply holds, zero for null."""
    return int(await connection.call(*words) or 0)


def flat(reply):
    """All strings and numbers of a reply, whatever RESP version shaped it."""
    if isinstance(reply, dict):
        reply = [each for pair in reply.items() for each in pair]
    if isinstance(reply, (list, tuple)):
        return [leaf for each in reply for leaf in flat(each)]
    if isinstance(reply, bytes):
        return [reply.decode()]
    return [] if reply is None else [reply]


def positions(words, wanted):
    return [at for at, word in enumerate(words) if word == wanted]


KINDS = {each.__name__: each for each in (single, script, pipeline, multi, queue, group, life)}
