"""The features of redis-cli."""

import json
import pathlib
import subprocess
import tempfile
import threading

from common import LUA, SOON, WORK, big_value, equal, go_through, key, within

# What it may take to do something with a large value, in seconds.
LONG = 60
CLI = [WORK["cli"], f"-{WORK['protocol']}", "-h", WORK["host"], "-p", str(WORK["port"])]


def start(*words):
    pipe = subprocess.PIPE
    return subprocess.Popen([*CLI, *map(str, words)], stdin=pipe, stdout=pipe, text=True)


def cli(*words, given=None):
    """What it prints as JSON, a value for each line."""
    command = [*CLI, "--json", *map(str, words)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=SOON * 2)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    return said if given else said[0]


def soon(*words):
    """In a moment, when somebody waits for it."""
    threading.Timer(0.2, cli, words).start()


def pipelines():
    """pipeline of 1000"""
    requests = [f"SET {key('many')}:{number} {number}\r\n" for number in range(1000)]
    command = [*CLI, "--pipe"]
    done = subprocess.run(command, input="".join(requests), capture_output=True, text=True, timeout=SOON)
    equal("errors: 0, replies: 1000" in done.stdout, True)
    equal(cli("GET", f"{key('many')}:999"), "999")


def transactions():
    """MULTI, EXEC and a WATCH that fails"""
    name = key("t")
    said = cli(given=f"MULTI\nSET {name} 1\nINCR {name}\nEXEC\n")
    equal(said, ["OK", "QUEUED", "QUEUED", ["OK", 2]])
    with start() as watching:
        def ask(*lines):
            watching.stdin.write("".join(line + "\n" for line in lines))
            watching.stdin.flush()
            return [watching.stdout.readline().strip() for _ in lines]

        equal(ask(f"WATCH {name}"), ["OK"])
        cli("SET", name, 7)
        equal(ask("MULTI", f"INCR {name}", "EXEC", f"GET {name}"), ["OK", "QUEUED", "", "7"])
        watching.stdin.close()


def scripts():
    """EVAL, EVALSHA, SCRIPT LOAD"""
    equal(cli("EVAL", LUA, 1, key("lua"), "a"), [2, "a"])
    sha = cli("SCRIPT", "LOAD", LUA)
    equal(cli("EVALSHA", sha, 1, key("lua"), "b"), [4, "b"])
    equal(cli("SCRIPT", "EXISTS", sha, "0" * 40), [1, 0])


def messages():
    """pub/sub with patterns"""
    with start("SUBSCRIBE", key("news")) as plain, start("PSUBSCRIBE", key("n*")) as matched:
        equal([plain.stdout.readline().strip() for _ in range(3)], ["subscribe", key("news"), "1"])
        equal([matched.stdout.readline().strip() for _ in range(3)], ["psubscribe", key("n*"), "1"])
        equal(cli("PUBLISH", key("news"), "hello"), 2)
        equal([plain.stdout.readline().strip() for _ in range(3)], ["message", key("news"), "hello"])
        wanted = ["pmessage", key("n*"), key("news"), "hello"]
        equal([matched.stdout.readline().strip() for _ in range(4)], wanted)
        plain.kill()
        matched.kill()
    within(lambda: cli("PUBLISH", key("news"), "nobody") == 0)


def streams():
    """XADD, XREAD BLOCK, XREADGROUP BLOCK"""
    stream, block = key("stream"), ("BLOCK", SOON * 1000, "STREAMS")
    soon("XADD", stream, "*", "n", 1)
    equal(fields(cli("XREAD", *block, stream, "$")), [["n", "1"]])
    cli("XGROUP", "CREATE", stream, "group", "$")
    soon("XADD", stream, "*", "n", 2)
    equal(fields(cli("XREADGROUP", "GROUP", "group", "me", *block, stream, ">")), [["n", "2"]])
    equal(cli("XACK", stream, "group", cli("XRANGE", stream, "-", "+")[-1][0]), 1)
    late = ("BLOCK", 50, "STREAMS", stream, ">")
    equal(cli("XREADGROUP", "GROUP", "group", "me", *late), None)


def fields(reply):
    pairs = reply.items() if isinstance(reply, dict) else reply
    return [words for _, entries in pairs for _, words in entries]


def scan():
    """SCAN over all keys"""
    command = [*CLI, "--scan", "--pattern", "scanned:*"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SOON * 2)
    equal(len(set(done.stdout.split())), WORK["keys"])


def blocking():
    """BLPOP, in time and too late"""
    equal(cli("BLPOP", key("list"), 0.2), None)
    soon("RPUSH", key("list"), "here")
    equal(cli("BLPOP", key("list"), SOON), [key("list"), "here"])


def tracking():
    """client-side caching by CLIENT TRACKING"""
    name = key("tracked")
    with start("--show-pushes", "yes") as tracked:
        def ask(line):
            tracked.stdin.write(line + "\n")
            tracked.stdin.flush()
            return tracked.stdout.readline().strip()

        equal([ask(f"SET {name} 1"), ask("CLIENT TRACKING ON"), ask(f"GET {name}")], ["OK", "OK", "1"])
        cli("SET", name, 2)
        said = [ask("PING"), *(tracked.stdout.readline().strip() for _ in range(2))]
        equal(said, ["invalidate", name, "PONG"])
        tracked.stdin.close()


def big():
    """a value of 100 MB"""
    value = big_value()
    with tempfile.TemporaryDirectory() as place:
        file = pathlib.Path(place) / "value"
        file.write_bytes(value)
        with file.open("rb") as source:
            subprocess.run([*CLI, "-x", "SET", key("big")], stdin=source, check=True, timeout=LONG)
        done = subprocess.run([*CLI, "GET", key("big")], capture_output=True, timeout=LONG)
    # It ends its output with a line end.
    equal(done.stdout[:-1] == value, True)
    cli("UNLINK", key("big"))


FEATURES = [pipelines, transactions, scripts, messages, streams, scan, blocking]
if WORK["protocol"] == 3:
    FEATURES.append(tracking)
go_through([*FEATURES, big])
