"""The load of a Python library or of redis-cli; `load.mjs` does the same in JavaScript.

Its argument is JSON: `client`, `protocol`, `retries`, `addresses`, `sessions` (each a kind and its
pause in seconds) and `prefix`, with which all keys begin. What it says is described at `Program`.
"""

import asyncio
import concurrent.futures
import json
import sys

from adapters import ADAPTERS
from sessions import KINDS, Session


async def main():
    # One thread for each session that blocks one.
    executor = concurrent.futures.ThreadPoolExecutor(64)
    asyncio.get_running_loop().set_default_executor(executor)
    work = json.loads(sys.argv[1])
    sessions = [session(work, *each) for each in enumerate(work["sessions"])]
    running = [asyncio.create_task(KINDS[each.kind](each)) for each in sessions]
    for each in sessions:
        await each.ready.wait()
    say({"ready": True})
    answers = {"progress": progress, "report": report}
    while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) in answers:
        say(answers[line](sessions))
    for each in sessions:
        each.stopping = True
    await asyncio.gather(*running)
    say(report(sessions))


def session(work, index, kind_and_pause):
    addresses = work["addresses"]
    address = tuple(addresses[index % len(addresses)])
    adapter = ADAPTERS[work["client"]]

    def connect():
        return adapter(address, work["protocol"], work["retries"])

    kind, pause = kind_and_pause
    return Session(f"{work['prefix']}:{kind}:{index}", kind, pause, connect)


def progress(sessions):
    return {"done": [each.done for each in sessions]}


def report(sessions):
    return {"sessions": [each.report() for each in sessions]}


def say(words):
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
