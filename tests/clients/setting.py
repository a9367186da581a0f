"""Where everything is, and the clients that are tested."""

import os
import pathlib
import shutil
import sys
from dataclasses import dataclass

HERE = pathlib.Path(__file__).parent


@dataclass(frozen=True)
class Client:
    name: str
    library: str
    protocol: int

    @property
    def script(self):
        return "mjs" if self.library in ("ioredis", "node-redis") else "py"


CLIENTS = [
    Client("redis-py", "redis-py", 3),
    Client("redis-py RESP2", "redis-py", 2),
    Client("redis-py asyncio", "redis-py-asyncio", 3),
    Client("ioredis", "ioredis", 3),
    Client("ioredis RESP2", "ioredis", 2),
    Client("node-redis", "node-redis", 3),
    Client("node-redis RESP2", "node-redis", 2),
    Client("redis-cli", "redis-cli", 2),
    Client("redis-cli -3", "redis-cli", 3),
]


class Setting:
    def __init__(self, place, rounds):
        self.place = pathlib.Path(place)
        self.rounds = rounds
        self.kills = max(1, rounds // 4)
        self.binary = os.environ["HIVE_BIN"]
        self.server = os.environ["HIVE_TEST_REDIS_SERVER"]
        self.cli = shutil.which("redis-cli") or shutil.which("valkey-cli")

    def program(self, script):
        """The command that runs one of the scripts here."""
        if script.endswith(".py"):
            return [sys.executable, HERE / script]
        # The packages are found by the path given here, not by the one it leads to.
        links = ["--preserve-symlinks", "--preserve-symlinks-main"]
        return ["node", *links, self.place / "node" / "clients" / script]
