"""Each library does everything that people use it for, once, through a hive at rest."""

import json
import subprocess
import time

import redis

from programs import guarded
from setting import CLIENTS

KEYS = 10_000
SCRIPTS = {
    "redis-py": "redis_py.py",
    "redis-py-asyncio": "redis_py_asyncio.py",
    "ioredis": "ioredis.mjs",
    "node-redis": "node_redis.mjs",
    "redis-cli": "redis_cli.py",
}
# What all features of one library may take, in seconds.
PATIENCE = 120


def run(checks, hive, setting):
    fill(hive)
    # One after another: values of 100 MB for several at once would fill the replication buffers.
    for client in CLIENTS:
        host, port = hive.endpoint
        work = {"host": host, "port": port, "protocol": client.protocol, "keys": KEYS}
        work |= {"prefix": client.name.replace(" ", "-"), "cli": setting.cli}
        command = [*setting.program(f"features/{SCRIPTS[client.library]}"), json.dumps(work)]
        hive.settle()
        started = time.monotonic()
        judge(checks, client, command)
        print(f"# {client.name} took {time.monotonic() - started:.1f} s", flush=True)


def fill(hive):
    """What is iterated over."""
    with redis.Redis(*hive.endpoint).pipeline(transaction=False) as pipeline:
        for number in range(KEYS):
            pipeline.set(f"scanned:{number}", number)
        pipeline.execute()


def judge(checks, client, command):
    """Takes the lines `ok WHAT` and `FAILED WHAT: WHY` for checks; the rest is shown if it fails."""
    try:
        done = subprocess.run(guarded(command), capture_output=True, text=True, timeout=PATIENCE)
        output, code = done.stdout, done.returncode
        errors = done.stderr
    except subprocess.TimeoutExpired as late:
        output, code, errors = (late.stdout or b"").decode(), "none", f"not done in {PATIENCE} s"
    for line in output.splitlines():
        verdict, _, what = line.partition(" ")
        if verdict == "ok":
            checks.that(f"{client.name}: {what}", True)
        elif verdict == "FAILED":
            what, _, why = what.partition(": ")
            checks.that(f"{client.name}: {what}", False, why)
        elif verdict == "SKIPPED":
            print(f"SKIPPED {checks.part}: {client.name}: {what}", flush=True)
    checks.that(f"{client.name}: went through all", code == 0, f"code {code}: {errors[-2000:]}")
