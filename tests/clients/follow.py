"""Clients that find the master through the Sentinel-compatible port follow it, whoever it is."""

import subprocess
from contextlib import ExitStack

from hive import Hive, NODES, within
from programs import Program
from setting import Client

PORT = 26379
NAME = "mymaster"
CLIENTS = [
    Client("redis-py", "redis-py", 3),
    Client("redis-py RESP2", "redis-py", 2),
    Client("redis-py asyncio", "redis-py-asyncio", 3),
    Client("ioredis", "ioredis", 3),
    Client("node-redis", "node-redis", 3),
]
# A client writes again within so many seconds after the hives agree.
SOON = 15


def run(checks, hive, setting):
    """The hive of this part's own has no such port; each way to announce has another one."""
    hive.end()
    for announce in ("master", "proxy"):
        with announcing(setting, announce) as hive:
            with ExitStack() as stack:
                follow(checks, hive, setting, announce, stack)


def announcing(setting, announce):
    """A hive whose nodes have the port."""
    flags = [f"--sentinel-port={PORT}", f"--sentinel-announce={announce}"]
    return Hive(setting.binary, setting.server, setting.place, *flags)


def follow(checks, hive, setting, announce, stack):
    sentinels = [[host, PORT] for host, _ in hive.http]
    programs = []
    for client in CLIENTS:
        work = {"client": client.library, "protocol": client.protocol, "sentinels": sentinels}
        work |= {"name": NAME, "key": f"follow:{client.name}"}
        command = setting.program(f"sentinel/follow.{client.script}")
        programs.append(stack.enter_context(Program(client.name, command, work)))
    for program in programs:
        program.hear()
    told(checks, hive, setting, announce, hive.settle())
    hive.switchover()
    went_on(checks, programs, f"--sentinel-announce {announce}: goes on after a planned change")
    victim = hive.settle()
    hive.kill(victim)
    master = hive.settle([node for node in NODES if node != victim])
    went_on(checks, programs, f"--sentinel-announce {announce}: goes on after a killed node")
    told(checks, hive, setting, announce, master)
    for program in programs:
        report = program.stop()
        what = f"{program.name}, --sentinel-announce {announce}: reads through its replicas"
        checks.that(what, report["reads"] > 0, report)


def went_on(checks, programs, what):
    for program in programs:
        before = program.ask("progress")["done"]
        more = within(SOON, lambda: program.ask("progress")["done"] > before + 1)
        checks.that(f"{program.name}, {what}", more, f"not within {SOON} s")


def told(checks, hive, setting, announce, master):
    """redis-cli is told the master by every hive that lives."""
    host = hive.http[master - 1][0]
    expected = [host, "6379" if announce == "master" else str(hive.proxies[master - 1][1])]
    for address, _ in hive.http:
        said = within(SOON, lambda: address_told(setting, address, expected))
        if said is None and not alive(hive, address):
            continue
        what = f"redis-cli, --sentinel-announce {announce}: {address} names the master"
        checks.that(what, said == expected, f"{said}, not {expected}")


def address_told(setting, address, expected):
    words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]
    command = [setting.cli, "-h", address, "-p", str(PORT), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    said = done.stdout.split()
    return said if said == expected else None


def alive(hive, address):
    hosts = [host for host, _ in hive.http]
    return hive.status(hosts.index(address) + 1) is not None
