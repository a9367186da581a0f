"""A hive of three nodes on this machine: started, changed, killed, and cleaned away."""

import json
import os
import pathlib
import queue
import shutil
import socket
import subprocess
import threading
import time
import urllib.request

from programs import guarded

NODES = (1, 2, 3)
# The longest wait, in seconds, for anything that should take one or two.
SOON = 30
LOOK = 0.02


def within(limit, condition):
    """What `condition` gives as soon as it gives something; None if it does not in time."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        if time.monotonic() > deadline:
            return None
        time.sleep(LOOK)
    return found


class Hive:
    """`redis-hive dev`, which ends with the `with` block, or with this process."""

    def __init__(self, binary, server, directory, *hive_args):
        self.binary = binary
        self.port = free_ports()
        # `dev` takes the server that comes first in PATH.
        tools = pathlib.Path(directory) / "server"
        shutil.rmtree(tools, ignore_errors=True)
        tools.mkdir(parents=True)
        (tools / "redis-server").symlink_to(server)
        dev = [binary, "dev", "--nodes", str(len(NODES)), "--base-port", str(self.port)]
        self.dev = subprocess.Popen(
            guarded([*dev, *(f"--hive-arg={arg}" for arg in hive_args)]),
            env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()
        try:
            self.proxies = self.addresses("every hive takes writes too")
            self.http = self.addresses("every hive tells its status")
            self.settle()
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.dev.terminate()
        try:
            self.dev.wait(10)
        except subprocess.TimeoutExpired:
            self.dev.kill()
            self.dev.wait()

    @property
    def endpoint(self):
        """What a Service is in a cluster: leads to one of the hives that live."""
        return ("127.0.0.1", self.port)

    def listen(self):
        for line in self.dev.stdout:
            self.said.put(line.strip())
        self.said.put(None)

    def hear(self, words):
        """Waits until `dev` says a line with these words."""
        deadline = time.monotonic() + SOON
        while True:
            try:
                line = self.said.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"dev never said: {words}") from None
            if line is None:
                raise RuntimeError(f"dev ended and never said: {words}")
            if words in line:
                return line

    def addresses(self, words):
        pairs = self.hear(words).split(": ", 1)[1].split()
        return [(host, int(port)) for host, port in (pair.rsplit(":", 1) for pair in pairs)]

    def status(self, node):
        host, port = self.http[node - 1]
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/status", timeout=1) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def agreed(self, nodes=NODES):
        """The master's node, if these hives agree on it, one leads, and all copies are current."""
        found = [self.status(node) for node in nodes]
        if not all(status and status["master"] and status["redis"]["current"] for status in found):
            return None
        views = {(status["epoch"], status["leader"], status["master"]) for status in found}
        roles = sorted(status["role"] for status in found)
        if len(views) != 1 or roles != ["follower"] * (len(nodes) - 1) + ["leader"]:
            return None
        master = views.pop()[2].rsplit(":", 1)[0]
        hosts = [host for host, _ in self.http]
        return hosts.index(master) + 1

    def settle(self, nodes=NODES):
        """Waits until all is well, and names the master's node."""
        master = within(SOON, lambda: self.agreed(nodes))
        if master is None:
            raise TimeoutError(f"the hives do not agree: {[self.status(n) for n in nodes]}")
        return master

    def switchover(self):
        """A planned change of master, and what follows it; names the new master's node.

        A change that the hives refuse or undo, as they do when a Redis does not answer in time, is
        asked for again.
        """
        before = self.settle()
        said = within(SOON, lambda: self.ask_for_another(before))
        after = self.settle()
        if after == before:
            raise RuntimeError(f"node {before} is the master as before: {said}")
        return after

    def ask_for_another(self, master):
        host, port = self.http[master - 1]
        asked = [self.binary, "switchover", "--http", f"{host}:{port}"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=SOON)
        if done.returncode != 0:
            print(f"# {done.stdout}{done.stderr}".strip(), flush=True)
            self.settle()
        return done.returncode == 0

    def kill(self, node):
        """SIGKILL to the node's hive and Redis at once."""
        self.order(f"kill {node}", f"killed node {node}")

    def revive(self, node):
        """Starts both again; the Redis is empty."""
        self.order(f"revive {node}", f"empty, node {node}")

    def order(self, line, answer):
        self.dev.stdin.write(line + "\n")
        self.dev.stdin.flush()
        self.hear(answer)


def free_ports():
    """The first of two ports in a row on which nobody listens."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
                return port
            except (OSError, OverflowError):
                continue
