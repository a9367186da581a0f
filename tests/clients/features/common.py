"""How the features of a Python library are gone through."""

import json
import random
import sys
import time
import traceback

WORK = json.loads(sys.argv[1])
PREFIX = WORK["prefix"]
# What a blocking request or a message may take that is to come, in seconds.
SOON = 10
BIG = 100_000_000
# Counts a key up and gives the new value with the argument.
LUA = "return {redis.call('INCRBY', KEYS[1], 2), ARGV[1]}"


def key(name):
    return f"{PREFIX}:{name}"


def big_value():
    """Not compressible, not the same in any two places."""
    return random.Random(PREFIX).randbytes(BIG)


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"{str(found)[:200]} instead of {str(wanted)[:200]}")


def entries(reply):
    """The fields of all entries, whatever RESP version shaped the reply."""
    pairs = reply.items() if isinstance(reply, dict) else reply
    lists = (found for _, found in pairs)
    # RESP3 has one more list around them.
    flat = (each for found in lists for each in (found[0] if isinstance(found[0], list) else found))
    return [fields for _, fields in flat]


def within(condition):
    """Looks until it holds."""
    deadline = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {SOON} s")
        time.sleep(0.01)


class Skipped(Exception):
    """It cannot be tried here, and why."""


def go_through(features):
    """A line for each: a function whose docstring names it. Who started this counts them."""
    for feature in features:
        try:
            feature()
        except Skipped as why:
            print(f"SKIPPED {feature.__doc__}: {why}", flush=True)
        except Exception as error:
            words = f"{type(error).__name__}: {error}".replace("\n", " ")
            print(f"FAILED {feature.__doc__}: {words}", flush=True)
            traceback.print_exception(error)
        else:
            print(f"ok {feature.__doc__}", flush=True)
