"""The features of redis-py with asyncio."""

import asyncio
import functools
import time

import redis.asyncio as redis

from common import BIG, LUA, SOON, WORK, big_value, entries, equal, go_through, key


def connect(**options):
    options = {"protocol": WORK["protocol"], "decode_responses": True, **options}
    return redis.Redis(host=WORK["host"], port=WORK["port"], **options)


def feature(work):
    """A function that runs the coroutine with a client of its own."""

    @functools.wraps(work)
    def run():
        async def with_client():
            async with connect() as client:
                await work(client)

        asyncio.run(with_client())

    return run


async def both(waiting, later):
    """The result of `waiting`, while `later` is done a moment after it was begun."""

    async def after_a_moment():
        await asyncio.sleep(0.1)
        await later

    return (await asyncio.gather(waiting, after_a_moment()))[0]


@feature
async def pipelines(client):
    """pipeline of 1000"""
    async with client.pipeline(transaction=False) as pipeline:
        for number in range(500):
            pipeline.set(key(f"many:{number}"), number).get(key(f"many:{number}"))
        replies = await pipeline.execute()
    equal(replies[1::2], [str(number) for number in range(500)])


@feature
async def transactions(client):
    """MULTI, EXEC and a WATCH that fails"""
    async with client.pipeline(transaction=True) as pipeline:
        equal(await pipeline.set(key("t"), 1).incr(key("t")).execute(), [True, 2])
        await pipeline.watch(key("t"))
        await client.set(key("t"), 7)
        pipeline.multi()
        pipeline.incr(key("t"))
        try:
            await pipeline.execute()
        except redis.WatchError:
            pass
        else:
            raise AssertionError("EXEC although the watched key was changed")

    async def double(pipeline):
        value = int(await pipeline.get(key("t")))
        pipeline.multi()
        pipeline.set(key("t"), value * 2)

    await client.transaction(double, key("t"))
    equal(await client.get(key("t")), "14")


@feature
async def scripts(client):
    """EVAL, EVALSHA, SCRIPT LOAD"""
    equal(await client.eval(LUA, 1, key("lua"), "a"), [2, "a"])
    sha = await client.script_load(LUA)
    equal(await client.evalsha(sha, 1, key("lua"), "b"), [4, "b"])
    equal(await client.script_exists(sha, "0" * 40), [True, False])
    script = client.register_script(LUA + " -- registered")
    equal(await script(keys=[key("lua")], args=["c"]), [6, "c"])
    async with client.lock(key("lock"), timeout=SOON):
        equal(await client.lock(key("lock"), blocking=False).acquire(), False)


@feature
async def messages(client):
    """pub/sub with patterns, unsubscribe"""
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(key("news"))
        await pubsub.psubscribe(key("n*"))
        kinds = [(await pubsub.get_message(timeout=SOON))["type"] for _ in range(2)]
        equal(kinds, ["subscribe", "psubscribe"])
        equal(await client.publish(key("news"), "hello"), 2)
        got = [await pubsub.get_message(timeout=SOON) for _ in range(2)]
        wanted = [("message", "hello"), ("pmessage", "hello")]
        equal(sorted((each["type"], each["data"]) for each in got), wanted)
        await pubsub.unsubscribe()
        await pubsub.punsubscribe()
        kinds = [(await pubsub.get_message(timeout=SOON))["type"] for _ in range(2)]
        equal(kinds, ["unsubscribe", "punsubscribe"])
        equal(await client.publish(key("news"), "nobody"), 0)


@feature
async def streams(client):
    """XADD, XREAD BLOCK, XREADGROUP BLOCK"""
    stream, block = key("stream"), SOON * 1000
    async with connect() as other:
        found = await both(client.xread({stream: "$"}, block=block), other.xadd(stream, {"n": 1}))
        equal(entries(found), [{"n": "1"}])
        await client.xgroup_create(stream, "group", "$")
        waiting = client.xreadgroup("group", "me", {stream: ">"}, block=block)
        equal(entries(await both(waiting, other.xadd(stream, {"n": 2}))), [{"n": "2"}])
    last = (await client.xrange(stream))[-1][0]
    equal(await client.xack(stream, "group", last), 1)
    equal(entries(await client.xreadgroup("group", "me", {stream: ">"}, block=50)), [])


@feature
async def scan(client):
    """SCAN over all keys"""
    found = {name async for name in client.scan_iter(match="scanned:*")}
    equal(len(found), WORK["keys"])


@feature
async def blocking(client):
    """BLPOP, in time and too late"""
    started = time.monotonic()
    equal(await client.blpop([key("list")], timeout=0.2), None)
    equal(0.15 < time.monotonic() - started < SOON, True)
    async with connect() as other:
        waiting = client.blpop([key("list")], timeout=SOON)
        found = await both(waiting, other.rpush(key("list"), "here"))
    equal(list(found), [key("list"), "here"])


@feature
async def tracking(client):
    """client-side caching by CLIENT TRACKING"""
    # Only RESP2 hears of it as a message.
    listener = connect(protocol=2, client_name=key("listener"))
    async with listener, listener.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe("__redis__:invalidate")
        await pubsub.get_message(timeout=SOON)
        clients = await client.client_list()
        (identity,) = [each["id"] for each in clients if each["name"] == key("listener")]
        async with connect(single_connection_client=True) as tracked:
            await tracked.set(key("tracked"), 1)
            await tracked.execute_command("CLIENT", "TRACKING", "ON", "REDIRECT", identity)
            equal(await tracked.get(key("tracked")), "1")
            await client.set(key("tracked"), 2)
            equal((await pubsub.get_message(timeout=SOON))["data"], [key("tracked")])


@feature
async def big(_):
    """a value of 100 MB"""
    value = big_value()
    async with connect(decode_responses=False) as raw:
        await raw.set(key("big"), value)
        equal(await raw.strlen(key("big")), BIG)
        equal(await raw.get(key("big")) == value, True)
        await raw.unlink(key("big"))


go_through([pipelines, transactions, scripts, messages, streams, scan, blocking, tracking, big])
