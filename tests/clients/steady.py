"""Retries are off, masters change as planned: no session of any library sees anything of it."""

from contextlib import ExitStack

from loads import progress, start, summary, wrongs
from setting import CLIENTS

# Kind and pause in seconds; one after another on the three hives. The busy ones are nearly always in
# the middle of a request when the master changes, the last one is nearly always idle.
SESSIONS = [
    ("single", 0.005),
    ("single", 0.06),
    ("pipeline", 0.06),
    ("multi", 0.06),
    ("script", 0.06),
    ("multi", 0.06),
    ("queue", 0.06),
    ("group", 0.06),
    ("single", 0.7),
]


def run(checks, hive, setting):
    with ExitStack() as stack:
        loads = start(stack, setting, CLIENTS, hive.proxies, SESSIONS, retries=False)
        ports = {port for _, port in hive.proxies}
        before = [load.connections(ports) for load in loads]
        for _ in range(setting.rounds):
            hive.switchover()
            progress(loads)
        after = [load.connections(ports) for load in loads]
        reports = [load.stop() for load in loads]
    for load, report, old, new in zip(loads, reports, before, after):
        errors = sum(each["errors"] for each in report["sessions"])
        said = {words for each in report["sessions"] for words in each["said"]}
        checks.that(f"{load.name}: no error", errors == 0, f"{errors} errors, such as {said}")
        lost = len(old - new)
        why = f"{lost} of {len(old)} were cut"
        checks.that(f"{load.name}: the same connections all the time", lost == 0, why)
        wrong = wrongs(hive, report)
        checks.that(f"{load.name}: nothing lost, nothing done twice", not wrong, wrong[:5])
        print(f"# {load.name}: {summary(report)}", flush=True)
