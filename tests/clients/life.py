"""Retries are as they come, masters change and nodes are killed: every client goes on."""

from contextlib import ExitStack

from hive import NODES
from loads import SOON, progress, start
from setting import CLIENTS

SESSIONS = [("life", 0.02)] * 4


def run(checks, hive, setting):
    with ExitStack() as stack:
        loads = start(stack, setting, CLIENTS, [hive.endpoint], SESSIONS, retries=True)
        for _ in range(setting.rounds):
            hive.switchover()
            progress(loads)
        for load in loads:
            errors, lost = account(load)
            what = f"{load.name}: no acknowledged write lost in {setting.rounds} planned changes"
            checks.that(what, lost == 0, f"{lost} lost")
            print(f"# {load.name}: {errors} errors in the planned changes", flush=True)
        backs = [kill(hive, loads) for _ in range(setting.kills)]
        for load, times in zip(loads, zip(*backs)):
            what = f"{load.name}: works again after each of {setting.kills} kills"
            checks.that(what, None not in times, f"not within {SOON} s: {times}")
            errors, lost = account(load)
            longest = max((seconds for seconds in times if seconds), default=0)
            counts = f"{errors} errors and {lost} acknowledged writes lost in all"
            print(f"# {load.name}: {counts}, back after {longest:.1f} s at most", flush=True)
        for load in loads:
            load.stop()


def kill(hive, loads):
    """The master's node dies and comes back empty; for each load how soon all its sessions went on."""
    victim = hive.settle()
    hive.kill(victim)
    times = progress(loads)
    hive.settle([node for node in NODES if node != victim])
    hive.revive(victim)
    hive.settle()
    return times


def account(load):
    sessions = load.ask("report")["sessions"]
    return [sum(each[what] for each in sessions) for what in ("errors", "lost")]
