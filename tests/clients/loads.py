"""The loads of all clients at once, and what their reports must say."""

import time

import redis

from programs import Program

# Every session does something within so many seconds, whatever happened before.
SOON = 10


def progress(loads, limit=SOON):
    """For each load the seconds until all its sessions went on; None if one did not in time."""
    started = time.monotonic()
    before = [load.ask("progress")["done"] for load in loads]
    took = [None] * len(loads)
    while None in took and time.monotonic() - started < limit:
        for index, load in enumerate(loads):
            now = load.ask("progress")["done"]
            # One request may have been on its way.
            if took[index] is None and all(new > old + 1 for new, old in zip(now, before[index])):
                took[index] = time.monotonic() - started
        time.sleep(0.05)
    return took


def start(stack, setting, clients, addresses, sessions, retries):
    """A load for each client; all of them work when this returns."""
    loads = []
    for client in clients:
        work = {
            "client": client.library,
            "protocol": client.protocol,
            "retries": retries,
            "addresses": addresses,
            "sessions": sessions,
            "prefix": client.name.replace(" ", "-"),
        }
        command = setting.program(f"load/load.{client.script}")
        loads.append(stack.enter_context(Program(client.name, command, work)))
    for load in loads:
        load.hear()
    return loads


def wrongs(hive, report):
    """What is not as it must be, with the master's data at hand."""
    found = []
    server = redis.Redis(*hive.endpoint)
    for session in report["sessions"]:
        found += [f"{session['name']}: {what}" for what in session["wrong"]]
        for key, (acknowledged, unknown) in session["counters"].items():
            value = int(server.get(key) or 0)
            if not acknowledged <= value <= acknowledged + unknown:
                found.append(f"{key} is {value}: {acknowledged} acknowledged, {unknown} unknown")
        if "took" in session:
            found += queue_wrongs(session)
    return found


def queue_wrongs(session):
    """Every number that was put in for certain came out, and none twice or before an older one."""
    took, name = session["took"], session["name"]
    sure = set(range(1, session["last"] + 1)) - set(session["unknown"])
    lost, twice = sure - set(took), len(took) - len(set(took))
    found = []
    # What an error took away may be a number that was on its way.
    if len(lost) > session["errors"]:
        found.append(f"{name}: {len(lost)} lost")
    if twice:
        found.append(f"{name}: {twice} came twice")
    if took != sorted(took):
        found.append(f"{name}: out of order")
    return found


def summary(report):
    sessions = report["sessions"]
    done, errors = (sum(each[what] for each in sessions) for what in ("done", "errors"))
    return f"{len(sessions)} sessions, {done} requests or batches, {errors} errors"
