"""The features of redis-py."""

import threading
import time

import redis
from redis.cache import CacheConfig

from common import BIG, LUA, SOON, WORK, Skipped, big_value, entries, equal, go_through, key, within


def connect(**options):
    options = {"protocol": WORK["protocol"], **options}
    return redis.Redis(WORK["host"], WORK["port"], decode_responses=True, **options)


client = connect()


def soon(work, *arguments):
    """In another thread and a moment later, when somebody waits for it."""
    timer = threading.Timer(0.1, work, arguments)
    timer.start()
    return timer


def pipelines():
    """pipeline of 1000"""
    pipeline = client.pipeline(transaction=False)
    for number in range(500):
        pipeline.set(key(f"many:{number}"), number).get(key(f"many:{number}"))
    equal(pipeline.execute()[1::2], [str(number) for number in range(500)])


def transactions():
    """MULTI, EXEC and a WATCH that fails"""
    with client.pipeline(transaction=True) as pipeline:
        equal(pipeline.set(key("t"), 1).incr(key("t")).execute(), [True, 2])
        pipeline.watch(key("t"))
        client.set(key("t"), 7)
        pipeline.multi()
        pipeline.incr(key("t"))
        try:
            pipeline.execute()
        except redis.WatchError:
            pass
        else:
            raise AssertionError("EXEC although the watched key was changed")

    def double(pipeline):
        value = int(pipeline.get(key("t")))
        pipeline.multi()
        pipeline.set(key("t"), value * 2)

    client.transaction(double, key("t"))
    equal(client.get(key("t")), "14")


def scripts():
    """EVAL, EVALSHA, SCRIPT LOAD"""
    equal(client.eval(LUA, 1, key("lua"), "a"), [2, "a"])
    sha = client.script_load(LUA)
    equal(client.evalsha(sha, 1, key("lua"), "b"), [4, "b"])
    equal(client.script_exists(sha, "0" * 40), [True, False])
    script = client.register_script(LUA + " -- registered")
    equal(script(keys=[key("lua")], args=["c"]), [6, "c"])
    with client.lock(key("lock"), timeout=SOON):
        equal(client.lock(key("lock"), blocking=False).acquire(), False)


def messages():
    """pub/sub with patterns, unsubscribe"""
    with client.pubsub(ignore_subscribe_messages=False) as pubsub:
        pubsub.subscribe(key("news"))
        pubsub.psubscribe(key("n*"))
        kinds = [pubsub.get_message(timeout=SOON)["type"] for _ in range(2)]
        equal(kinds, ["subscribe", "psubscribe"])
        equal(client.publish(key("news"), "hello"), 2)
        got = [pubsub.get_message(timeout=SOON) for _ in range(2)]
        equal(sorted((m["type"], m["data"]) for m in got), [("message", "hello"), ("pmessage", "hello")])
        pubsub.unsubscribe()
        pubsub.punsubscribe()
        kinds = [pubsub.get_message(timeout=SOON)["type"] for _ in range(2)]
        equal(kinds, ["unsubscribe", "punsubscribe"])
        equal(client.publish(key("news"), "nobody"), 0)


def streams():
    """XADD, XREAD BLOCK, XREADGROUP BLOCK"""
    stream = key("stream")
    timer = soon(connect().xadd, stream, {"n": 1})
    equal(entries(client.xread({stream: "$"}, block=SOON * 1000)), [{"n": "1"}])
    timer.join()
    client.xgroup_create(stream, "group", "$")
    timer = soon(connect().xadd, stream, {"n": 2})
    found = client.xreadgroup("group", "me", {stream: ">"}, block=SOON * 1000)
    equal(entries(found), [{"n": "2"}])
    timer.join()
    equal(client.xack(stream, "group", client.xrange(stream)[-1][0]), 1)
    equal(entries(client.xreadgroup("group", "me", {stream: ">"}, block=50)), [])


def scan():
    """SCAN over all keys"""
    found = set(client.scan_iter(match="scanned:*"))
    equal(len(found), WORK["keys"])


def blocking():
    """BLPOP, in time and too late"""
    started = time.monotonic()
    equal(client.blpop([key("list")], timeout=0.2), None)
    equal(0.15 < time.monotonic() - started < SOON, True)
    timer = soon(connect().rpush, key("list"), "here")
    equal(list(client.blpop([key("list")], timeout=SOON)), [key("list"), "here"])
    timer.join()


def tracking():
    """client-side caching by CLIENT TRACKING"""
    # Only RESP2 hears of it as a message.
    listener = connect(protocol=2, client_name=key("listener"))
    with listener.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe("__redis__:invalidate")
        pubsub.get_message(timeout=SOON)
        (identity,) = [c["id"] for c in client.client_list() if c["name"] == key("listener")]
        with connect(single_connection_client=True) as tracked:
            tracked.set(key("tracked"), 1)
            tracked.execute_command("CLIENT", "TRACKING", "ON", "REDIRECT", identity)
            equal(tracked.get(key("tracked")), "1")
            client.set(key("tracked"), 2)
            equal(pubsub.get_message(timeout=SOON)["data"], [key("tracked")])


def caching():
    """client-side caching by CacheConfig"""
    version = client.info("server")["redis_version"]
    if [int(part) for part in version.split(".")] < [7, 4]:
        raise Skipped(f"the library wants a server of 7.4, not {version}")
    with connect(cache_config=CacheConfig()) as cached:
        client.set(key("cached"), 1)
        equal([cached.get(key("cached")) for _ in range(2)], ["1", "1"])
        equal(cached.get_cache().size, 1)
        client.set(key("cached"), 2)
        within(lambda: cached.get(key("cached")) == "2")


def big():
    """a value of 100 MB"""
    value = big_value()
    raw = redis.Redis(WORK["host"], WORK["port"], protocol=WORK["protocol"])
    raw.set(key("big"), value)
    equal(raw.strlen(key("big")), BIG)
    equal(raw.get(key("big")) == value, True)
    raw.unlink(key("big"))


FEATURES = [pipelines, transactions, scripts, messages, streams, scan, blocking, tracking]
if WORK["protocol"] == 3:
    FEATURES.append(caching)
go_through([*FEATURES, big])
