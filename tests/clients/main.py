"""Runs the parts that are asked for, counts their checks, and fails if one of them does."""

import os
import signal
import sys
import time

import functions
import life
import queues
import sends
import steady
from checks import Checks
from hive import Hive
from setting import Setting

PARTS = {"connect": sends, "features": functions, "steady": steady, "life": life, "jobs": queues}


def main(place, *names):
    unknown = set(names) - set(PARTS)
    if unknown:
        sys.exit(f"tests/clients/run: no part {', '.join(unknown)}; there are: {' '.join(PARTS)}")
    # An end from outside is one like any other: everything that was started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    setting = Setting(place, int(os.environ.get("HIVE_CLIENTS_ROUNDS", "5")))
    checks = Checks()
    started = time.monotonic()
    for name in names or PARTS:
        begun = time.monotonic()
        checks.part = name
        with Hive(setting.binary, setting.server, place) as hive:
            with checks.one("the part ran to its end"):
                PARTS[name].run(checks, hive, setting)
        print(f"# {name} took {time.monotonic() - begun:.1f} s", flush=True)
    sys.exit(checks.summary(time.monotonic() - started))


if __name__ == "__main__":
    main(*sys.argv[1:])
