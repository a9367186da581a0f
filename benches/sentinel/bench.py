"""redis-hive beside Redis Sentinel. `benches/README.md` tells how to run it and how to read it."""

import argparse
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import time

import hiredis
import redis

from lab import NODES, Lab, Room
from systems import SYSTEMS, direct, replicates

HERE = pathlib.Path(__file__).parent
BASE = 20_000
WRITERS = 6
CUT_OFF_WRITERS = 2
WARM_UP = 1.5
LONG_ENOUGH = 4.0
PARTITION = 6.0
NEW_POD = 3.0
LIMIT = 60.0


class Failed(Exception):
    """Something that had to happen did not."""


def wait(what, done, limit=LIMIT):
    end = time.monotonic() + limit
    while not done():
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {limit:.0f} s")
        time.sleep(0.05)


class Writers:
    """A process of clients, beside all nodes or on one, where they prefer what is there."""

    def __init__(self, system, prefix, node=0):
        spread = [number % len(NODES) for number in range(WRITERS)]
        starts = [NODES.index(node)] * CUT_OFF_WRITERS if node else spread
        order = {"prefix": prefix, "starts": starts, **system.client()}
        self.prefix = prefix
        self.log = system.room.log(f"{prefix}-writer")
        self.seen_at = system.room.path / f"{prefix}.json"
        inside = ["ip", "netns", "exec", f"n{node}"] if node else []
        with open(self.log, "ab") as log, open(self.seen_at, "wb") as out:
            self.child = subprocess.Popen(
                [*inside, sys.executable, str(HERE / "writer.py")],
                stdin=subprocess.PIPE, stdout=out, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.child.stdin.write(json.dumps(order).encode() + b"\n")
        self.child.stdin.flush()

    def stop(self):
        """What each of them saw; the moment of this call is the end."""
        self.ended = time.monotonic()
        self.child.stdin.close()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            raise Failed("the writers do not end") from None
        self.seen = json.loads(self.seen_at.read_text())

    def kill(self):
        self.child.kill()
        self.child.wait()

    def outage(self, fault):
        """The longest gap between two acknowledgements of any writer that was not over then."""
        worst = 0.0
        for one in self.seen:
            times = [at for at, _ in one["acked"] if at <= self.ended]
            times = [times[0] if times else fault, *times, self.ended]
            gaps = (end - start for start, end in zip(times, times[1:]) if end > fault)
            worst = max(worst, *gaps)
        return worst

    def errors(self):
        return sum(len(one["errors"]) for one in self.seen)

    def keys(self):
        return [
            f"{self.prefix}:{number}:{count}"
            for number, one in enumerate(self.seen)
            for _, count in one["acked"]
        ]


def missing(client, keys):
    absent = 0
    for start in range(0, len(keys), 1000):
        with client.pipeline(transaction=False) as pipe:
            for key in keys[start : start + 1000]:
                pipe.exists(key)
            absent += pipe.execute().count(0)
    return absent


def others(node):
    return [other for other in NODES if other != node]


def taken_over(system, struck):
    """The two others have a master and a copy of it."""
    left = others(struck)
    master = system.master(left)
    return master in left and all(replicates(node, master) for node in left if node != master)


def node_kill(system, lab, master):
    system.kill_node(master)
    wait("another master", lambda: taken_over(system, master))


def redis_kill(system, lab, master):
    system.kill_redis(master)
    wait("another master", lambda: taken_over(system, master))


def restart_empty(system, lab, master):
    system.kill_redis(master)
    system.start_redis(master)
    time.sleep(LONG_ENOUGH)
    wait("a healthy set", system.healthy)


def partition(system, lab, master):
    lab.cut(master)
    try:
        time.sleep(PARTITION)
        wait("another master", lambda: taken_over(system, master))
    finally:
        lab.heal(master)
    wait("a healthy set", system.healthy)


def rolling(system, lab, master, pause=NEW_POD):
    for node in [*others(master), master]:
        end = time.monotonic() + LIMIT
        for _ in system.stop_steps(node):
            if time.monotonic() > end:
                raise Failed(f"node {node} does not stop")
            time.sleep(0.02)
        time.sleep(pause)
        system.start_node(node)
        wait(f"node {node} in a healthy set", system.healthy)


def rolling_quick(system, lab, master):
    rolling(system, lab, master, pause=0)


FAULTS = {
    "node-kill": ("node killed (both SIGKILL)", node_kill),
    "redis-kill": ("Redis killed", redis_kill),
    "partition": ("silent partition of the master", partition),
    "rolling": ("rolling restart by SIGTERM, each back empty after 3 s", rolling),
    "rolling-quick": ("the same, each back at once", rolling_quick),
    "restart-empty": ("Redis killed, back empty at once", restart_empty),
}


def play(kind, fault, lab, keep):
    """One round with a set of its own: figures by name, and a note."""
    room = Room()
    system = kind(room)
    running, good, note = [], False, ""
    figures = {}
    try:
        system.start()
        wait("a healthy set at the start", system.healthy)
        master = system.master(NODES)
        fill(master)
        running.append(Writers(system, "far"))
        if fault == "partition":
            running.append(Writers(system, "near", master))
        time.sleep(WARM_UP)
        begun = time.monotonic()
        try:
            FAULTS[fault][1](system, lab, master)
        except Failed as failure:
            note = str(failure)
        time.sleep(max(1.0, LONG_ENOUGH - (time.monotonic() - begun)))
        for writers in running:
            writers.stop()
        living = [node for node in NODES if not system.companions[node].ended()]
        wait("one master in the end", lambda: system.master(living) is not None)
        figures = judge(running, begun, system.master(living))
        good = not note and figures["lost"] == 0
    except (Failed, redis.RedisError, OSError, ValueError, IndexError) as failure:
        note = f"{note} {type(failure).__name__}: {failure}".strip()
    finally:
        for writers in running:
            writers.kill()
        system.end()
        room.remove(None if good else keep)
    return figures, note


def fill(master):
    with direct(master, patience=10) as client:
        with client.pipeline(transaction=False) as pipe:
            for number in range(BASE):
                pipe.set(f"base:{number}", "x" * 100)
            pipe.execute()
        if client.wait(len(NODES) - 1, 10_000) != len(NODES) - 1:
            raise Failed("the copies do not follow")


def judge(running, begun, master):
    figures = {}
    with direct(master, patience=10) as client:
        for writers in running:
            part = "" if writers.prefix == "far" else "near "
            keys = writers.keys()
            figures[f"{part}outage"] = writers.outage(begun) * 1e3
            figures[f"{part}errors"] = writers.errors()
            figures[f"{part}lost"] = missing(client, keys)
            figures[f"{part}acked"] = len(keys)
        gone = missing(client, [f"base:{number}" for number in range(BASE)])
    figures["wiped"] = int(gone > BASE / 2)
    figures["base"] = gone
    return figures


def spread(samples):
    if not samples:
        return "-"
    low, high = min(samples), max(samples)
    return f"{statistics.median(samples):.0f} ({low:.0f}-{high:.0f})"


def table(results, faults, systems):
    print("\n### Side by side: median (min-max)\n")
    print("| fault | system | rounds | write outage, ms | errors | acknowledged | of these lost | data set wiped |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for fault in faults:
        parts = [("", FAULTS[fault][0])]
        if fault == "partition":
            parts.append(("near ", "the same, clients on the cut-off side"))
        for part, what in parts:
            for system in systems:
                rounds = results[fault, system]
                of = lambda name: spread([one[part + name] for one in rounds if part + name in one])
                wiped = sum(one["wiped"] for one in rounds)
                print(
                    f"| {what} | {SYSTEMS[system].name} | {len(rounds)} | {of('outage')} | "
                    f"{of('errors')} | {of('acked')} | {of('lost')} | {wiped} of {len(rounds)} |"
                )
    print()


def names(known):
    def parse(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name}: there are {', '.join(known)}")
        return chosen

    return parse


def arguments():
    parser = argparse.ArgumentParser(prog="benches/sentinel/run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each fault (10)")
    parser.add_argument("--only", type=names(FAULTS), default=list(FAULTS), help=", ".join(FAULTS))
    parser.add_argument("--systems", type=names(SYSTEMS), default=["hive", "sentinel"],
                        help=", ".join(SYSTEMS))  # fmt: skip
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent / "out",
                        help="where the logs of rounds with losses or trouble go")  # fmt: skip
    return parser.parse_args()


def main():
    chosen = arguments()
    # The first process of its namespace: without a handler nothing would end it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lab = Lab()
    python = sys.version.split()[0]
    print(f"- redis-py {redis.__version__}, hiredis {hiredis.__version__}, Python {python}", flush=True)
    results = {(fault, system): [] for fault in chosen.only for system in chosen.systems}
    trouble = []
    for number in range(1, chosen.rounds + 1):
        for fault in chosen.only:
            for system in chosen.systems:
                keep = chosen.out / f"sentinel-{fault}-{system}-{number}"
                figures, note = play(SYSTEMS[system], fault, lab, keep)
                said = ", ".join(f"{name} {value:.0f}" for name, value in figures.items())
                print(f"{number:3} {fault:14} {system:12} {said} {note}", file=sys.stderr, flush=True)
                if figures:
                    results[fault, system].append(figures)
                if note:
                    trouble.append(f"- {fault}, {SYSTEMS[system].name}, round {number}: {note}")
    table(results, chosen.only, chosen.systems)
    if trouble:
        print("Rounds with trouble:\n")
        print("\n".join(trouble))
        print()


if __name__ == "__main__":
    main()
