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
        connected = [load.connections(ports) for load in loads]
        cut = [0] * len(loads)
        for turn in range(setting.rounds):
            hive.switchover()
            progress(loads)
            now = [load.connections(ports) for load in loads]
            lost = [len(old - new) for old, new in zip(connected, now)]
            if any(lost):
                print(f"# planned change {turn + 1}: {sum(lost)} sessions were cut", flush=True)
            cut = [before + more for before, more in zip(cut, lost)]
            connected = now
        reports = [load.stop() for load in loads]
    for load, report, lost in zip(loads, reports, cut):
        errors = sum(each["errors"] for each in report["sessions"])
        said = {words for each in report["sessions"] for words in each["said"]}
        checks.that(f"{load.name}: no error", errors == 0, f"{errors} errors, such as {said}")
        checks.that(f"{load.name}: the same connections all the time", lost == 0, f"{lost} were cut")
        wrong = wrongs(hive, report)
        checks.that(f"{load.name}: nothing lost, nothing done twice", not wrong, wrong[:5])
        print(f"# {load.name}: {summary(report)}", flush=True)
