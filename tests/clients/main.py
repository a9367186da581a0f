"""Runs the parts that are asked for, counts their checks, and fails if one of them does."""

import os
import signal
import sys
import time

import follow
import functions
import life
import queues
import sends
import steady
from checks import Checks, Metronome
from hive import Hive
from setting import Setting

PARTS = {
    "connect": sends,
    "features": functions,
    "steady": steady,
    "life": life,
    "jobs": queues,
    "sentinel": follow,
}
# A machine that does not run a thread for so long, in seconds, proves nothing about 50 ms.
STALL = 0.3


def main(place, *names):
    unknown = set(names) - set(PARTS)
    if unknown:
        sys.exit(f"tests/clients/run: no part {', '.join(unknown)}; there are: {' '.join(PARTS)}")
    # An end from outside is one like any other: everything that was started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    setting = Setting(place, int(os.environ.get("HIVE_CLIENTS_ROUNDS", "5")))
    metronome = Metronome()
    started = time.monotonic()
    done = [run(name, setting, metronome) for name in names or PARTS]
    passed, failed = (sum(getattr(checks, what) for checks in done) for what in ("passed", "failed"))
    result = "FAILED" if failed else "ok"
    counts = f"{passed} passed; {failed} failed; finished in {time.monotonic() - started:.1f} s"
    # tests/run counts by this line.
    print(f"test result: {result}. {counts}", flush=True)
    sys.exit(1 if failed else 0)


def run(name, setting, metronome):
    """A part with a hive of its own; once more if it failed while the machine stood still."""
    metronome.take()
    checks = run_once(name, setting)
    stall = metronome.take()
    if not checks.failed or stall < STALL:
        return checks
    print(f"# {name} again: THE MACHINE STOOD STILL FOR {stall:.1f} s", flush=True)
    return run_once(name, setting)


def run_once(name, setting):
    checks = Checks(name)
    started = time.monotonic()
    with checks.one("the part ran to its end"):
        with Hive(setting.binary, setting.server, setting.place) as hive:
            PARTS[name].run(checks, hive, setting)
    print(f"# {name} took {time.monotonic() - started:.1f} s", flush=True)
    return checks


if __name__ == "__main__":
    main(*sys.argv[1:])
