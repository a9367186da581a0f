"""The two that are compared: how each is started, stopped and asked. Three nodes each."""

import json
import os
import signal
import urllib.request

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lab import HERE, NODES, SERVICE, Process, address

PORT = 6379
SENTINEL = 26379
NO_RETRY = Retry(NoBackoff(), 0)
# As a Deployment without disks has it: a Redis that comes back is empty.
COMMON = [
    "--port", str(PORT), "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "",
    "--appendonly", "no", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0",
]  # fmt: skip
# What redis-hive's deployment adds.
FENCE = [
    "--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "no", "--repl-backlog-ttl", "0",
    "--rdb-del-sync-files", "yes",
]  # fmt: skip


def direct(node, port=PORT, patience=1.0):
    return redis.Redis(
        address(node), port, socket_timeout=patience, socket_connect_timeout=0.3, retry=NO_RETRY
    )


def info(node):
    """INFO of a node's Redis, `None` if it does not answer."""
    with direct(node) as client:
        try:
            return client.info()
        except redis.RedisError:
            return None


def replicates(node, master):
    said = info(node)
    return (
        said is not None
        and said.get("master_host") == address(master)
        and said.get("master_link_status") == "up"
    )


class System:
    """Three nodes, each a Redis and a companion (a sidecar or a Sentinel)."""

    name = companion = ""

    def __init__(self, room):
        self.room = room
        self.redis = {}
        self.companions = {}

    def start(self):
        for node in NODES:
            self.start_node(node, first=True)

    def start_node(self, node, first=False):
        self.start_redis(node, first)
        self.start_companion(node)

    def start_redis(self, node, first=False):
        where = self.room.node(node, "redis", fresh=True)
        command = ["redis-server", *COMMON, "--dir", str(where), *self.redis_args(node, first)]
        self.redis[node] = Process(node, command, self.room.log(f"redis{node}"))

    def kill_redis(self, node):
        self.redis[node].kill()

    def kill_node(self, node):
        """Both in one instant."""
        self.redis[node].signal(signal.SIGKILL)
        self.companions[node].signal(signal.SIGKILL)
        self.redis[node].kill()
        self.companions[node].kill()

    def end(self):
        for process in [*self.redis.values(), *self.companions.values()]:
            process.kill()

    def healthy(self):
        """Everybody agrees on a master which the two others copy."""
        master = self.master(NODES)
        if master is None or self.redis[master].ended():
            return False
        if any(node != master and not replicates(node, master) for node in NODES):
            return False
        return all(self.ready(node) for node in NODES)

    def redis_args(self, node, first):
        raise NotImplementedError

    def start_companion(self, node):
        raise NotImplementedError

    def master(self, among):
        """The master by what all of these nodes say that live, if it says so itself."""
        said = {self.said_master(node) for node in among if not self.companions[node].ended()}
        if len(said) != 1:
            return None
        master = next(iter(said))
        answer = info(master) if master else None
        return master if answer and answer["role"] == "master" else None

    def said_master(self, node):
        raise NotImplementedError

    def ready(self, node):
        raise NotImplementedError

    def stop_steps(self, node):
        """A SIGTERM for the node as its deployment sends it: yields until everything has ended."""
        raise NotImplementedError

    def client(self):
        """What `writer.py` needs to reach it."""
        raise NotImplementedError


class Hive(System):
    name = "redis-hive"
    extra = []

    def redis_args(self, node, first):
        return FENCE

    def start_companion(self, node):
        command = [
            os.environ["HIVE_BIN"], "run", "--service", SERVICE, "--dns-server", f"{HERE}:53",
            "--advertise", address(node), "--log-format", "text", *self.extra,
        ]  # fmt: skip
        self.companions[node] = Process(node, command, self.room.log(f"hive{node}"))

    def said_master(self, node):
        try:
            with urllib.request.urlopen(f"http://{address(node)}:6391/status", timeout=0.5) as page:
                master = json.load(page)["master"]
        except (OSError, ValueError):
            return None
        hosts = {f"{address(other)}:{PORT}": other for other in NODES}
        return hosts.get(master)

    def ready(self, node):
        try:
            with urllib.request.urlopen(f"http://{address(node)}:6391/readyz", timeout=0.5) as page:
                return page.status == 200
        except OSError:
            return False

    def stop_steps(self, node):
        # Redis stops last: it is a native sidecar there.
        for process in (self.companions[node], self.redis[node]):
            process.signal(signal.SIGTERM)
            while not process.ended():
                yield

    def client(self):
        return {"proxies": [address(node) for node in NODES]}


class HiveWithQuorum(Hive):
    name = "redis-hive --quorum 2"
    extra = ["--quorum", "2"]


class Sentinel(System):
    name = "Sentinel"

    def redis_args(self, node, first):
        announce = ["--replica-announce-ip", address(node)]
        # As the usual entry points do: ask the Sentinels, else begin as the first master.
        master = 1 if first else self.named_master()
        return announce if master == node else [*announce, "--replicaof", address(master), str(PORT)]

    def named_master(self):
        for node in NODES:
            named = self.said_master(node)
            if named:
                return named
        return 1

    def start_companion(self, node):
        where = self.room.node(node, "sentinel")
        config = where / "sentinel.conf"
        # Kept when it comes back: a Sentinel that forgets itself is counted as one more.
        if not config.exists():
            config.write_text(
                f"port {SENTINEL}\nbind 0.0.0.0\nprotected-mode no\ndir {where}\n"
                f"sentinel announce-ip {address(node)}\n"
                f"sentinel monitor mymaster {address(1)} {PORT} 2\n"
                "sentinel down-after-milliseconds mymaster 1000\n"
            )
        command = ["redis-server", str(config), "--sentinel"]
        self.companions[node] = Process(node, command, self.room.log(f"sentinel{node}"))

    def ask(self, node, *words):
        with direct(node, SENTINEL, 0.5) as client:
            try:
                return client.execute_command("SENTINEL", *words)
            except redis.RedisError:
                return None

    def said_master(self, node):
        said = self.ask(node, "GET-MASTER-ADDR-BY-NAME", "mymaster")
        hosts = {address(other).encode(): other for other in NODES}
        return hosts.get(said[0]) if said else None

    def ready(self, node):
        if self.ask(node, "CKQUORUM", "mymaster") is None:
            return False
        others = self.ask(node, "SENTINELS", "mymaster") or []
        copies = self.ask(node, "REPLICAS", "mymaster") or []
        fine = [copy for copy in copies if flags(copy) == {"slave"}]
        return len([other for other in others if flags(other) == {"sentinel"}]) == 2 and len(fine) == 2

    def stop_steps(self, node):
        # Both containers of a pod get it in the same moment.
        both = (self.redis[node], self.companions[node])
        for process in both:
            process.signal(signal.SIGTERM)
        while not all(process.ended() for process in both):
            yield

    def client(self):
        return {"sentinels": [[address(node), SENTINEL] for node in NODES]}


class SentinelWithPreStop(Sentinel):
    """A preStop hook stops the master's writes, hands it over and waits until the others name another
    one, as that of the widely used chart does."""

    name = "Sentinel with preStop"

    def stop_steps(self, node):
        if self.said_master(node) == node:
            with direct(node) as client:
                client.execute_command("CLIENT", "PAUSE", 22_000, "WRITE")
            self.ask(node, "FAILOVER", "mymaster")
            for _ in range(400):
                others = [self.said_master(other) for other in NODES if other != node]
                if all(named and named != node for named in others):
                    break
                yield
        yield from super().stop_steps(node)


def flags(entry):
    fields = dict(entry) if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2]))
    said = fields.get("flags", fields.get(b"flags", ""))
    return set(said.decode().split(",") if isinstance(said, bytes) else str(said).split(","))


SYSTEMS = {
    "hive": Hive,
    "sentinel": Sentinel,
    "hive-quorum": HiveWithQuorum,
    "sentinel-prestop": SentinelWithPreStop,
}
