"""What each library sends at connect: the tables of docs/clients.md, row by row."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

from recorder import Recorder
from setting import CLIENTS, HERE

DOCUMENT = HERE.parent.parent / "docs" / "clients.md"
# Programs that start at once.
AT_ONCE = 3
OPTIONS = {"name": "me", "user": "default", "password": "secret", "database": 2}


def run(checks, hive, setting):
    for table, options in (("connect", {}), ("options", OPTIONS)):
        found = list(rows(table))
        checks.that(f"the table `{table}` has all clients", len(found) == len(CLIENTS), found)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            all_sent = pool.map(lambda row: record(hive, setting, row[0], options), found)
        for (client, expected), sent in zip(found, all_sent):
            # The last is the application's own.
            fits = sent[:-1] == expected and sent[-1:] in (["PING"], ["ping"])
            checks.that(f"{client} sends what the table `{table}` says", fits, sent)


def rows(table):
    """The clients of a table, each with its requests."""
    text = DOCUMENT.read_text().split(f"<!-- checked: {table} -->\n", 1)[1].split("\n\n", 1)[0]
    for line in text.splitlines()[2:]:
        client, sends = (cell.strip() for cell in line.strip("|").split("|"))
        yield client.replace("`", ""), re.findall(r"`([^`]*)`", sends)


def record(hive, setting, client, options):
    """Everything that the client sends until it has the answer to a PING."""
    with Recorder(hive.endpoint) as recorder:
        command = program(setting, client, recorder.port, options)
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        return [" ".join(request) for session in recorder.sessions for request in session]


def program(setting, client, port, options):
    """The command that connects as the row of this client says, and sends a PING."""
    name, _, variant = client.partition(", ")
    library = name.split()[0]
    if library == "redis-cli":
        chosen = ["--user", "default", "--pass", "secret", "-n", "2"] if options else []
        return [setting.cli, *client.split()[1:], "-p", str(port), *chosen, "PING"]
    work = {
        "client": "redis-py-asyncio" if variant == "asyncio" else library,
        "protocol": 2 if variant.endswith("2") else None,
        "port": port,
        "options": options,
    }
    script = "ping.mjs" if library in ("ioredis", "node-redis") else "ping.py"
    return [*setting.program(f"connect/{script}"), json.dumps(work)]
