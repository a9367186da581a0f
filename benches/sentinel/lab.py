"""A small network: three nodes with an address of their own, a switch, and this process beside it."""

import os
import pathlib
import shutil
import signal
import socketserver
import struct
import subprocess
import tempfile
import threading

NODES = (1, 2, 3)
HERE = "10.77.0.254"
SERVICE = "redis-peers.bench.svc.cluster.local"


def address(node):
    return f"10.77.0.{node}"


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Lab:
    """Lives in the namespaces that `run` made, and goes with them."""

    def __init__(self):
        # For the names of network namespaces, which are mounts, and for the rooms: none of the
        # machine's are seen here, and nothing stays behind however this ends.
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
        ip("link", "set", "lo", "up")
        # A fixed address: that of a bridge changes with its ports otherwise.
        ip("link", "add", "br0", "address", "02:00:00:00:00:fe", "type", "bridge")
        ip("address", "add", f"{HERE}/24", "dev", "br0")
        ip("link", "set", "br0", "up")
        for node in NODES:
            ip("netns", "add", f"n{node}")
            ip("link", "add", f"p{node}", "type", "veth", "peer", "name", "eth0", "netns", f"n{node}")
            ip("link", "set", f"p{node}", "master", "br0", "up")
            ip("-n", f"n{node}", "address", "add", f"{address(node)}/24", "dev", "eth0")
            ip("-n", f"n{node}", "link", "set", "eth0", "up")
            ip("-n", f"n{node}", "link", "set", "lo", "up")
        threading.Thread(target=Dns().serve_forever, daemon=True).start()

    def cut(self, node):
        """Nothing reaches the node or leaves it any more, and nobody is told."""
        ip("link", "set", f"p{node}", "nomaster")

    def heal(self, node):
        ip("link", "set", f"p{node}", "master", "br0")


class Dns(socketserver.UDPServer):
    """Lists all three nodes under the name of the headless Service, whether they live or not."""

    def __init__(self):
        super().__init__((HERE, 53), DnsAnswer)


class DnsAnswer(socketserver.BaseRequestHandler):
    def handle(self):
        question, socket = self.request
        end = question.index(b"\0", 12) + 5
        kind = struct.unpack("!H", question[end - 4 : end - 2])[0]
        addresses = [address(node) for node in NODES] if kind == 1 else []
        head = question[:2] + struct.pack("!HHHHH", 0x8580, 1, len(addresses), 0, 0)
        records = b"".join(
            struct.pack("!HHHIH4B", 0xC00C, 1, 1, 5, 4, *map(int, each.split(".")))
            for each in addresses
        )
        socket.sendto(head + question[12:end] + records, self.client_address)


class Process:
    """A child on a node, or beside them with node 0; its output goes to a file."""

    def __init__(self, node, command, log):
        inside = ["ip", "netns", "exec", f"n{node}"] if node else []
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                [*inside, *command], stdout=out, stderr=out, start_new_session=True
            )

    def signal(self, number):
        if self.child.poll() is None:
            os.kill(self.child.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait()

    def ended(self):
        return self.child.poll() is not None


class Room:
    """A directory for one round; its logs are kept when told so."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="hive-bench-", dir="/run"))

    def node(self, node, what, fresh=False):
        path = self.path / f"{what}{node}"
        if fresh:
            shutil.rmtree(path, ignore_errors=True)
        path.mkdir(exist_ok=True)
        return path

    def log(self, name):
        return self.path / f"{name}.log"

    def remove(self, keep=None):
        if keep:
            shutil.rmtree(keep, ignore_errors=True)
            keep.mkdir(parents=True)
            for log in [*self.path.glob("*.log"), *self.path.glob("*.json")]:
                shutil.copy(log, keep)
        shutil.rmtree(self.path, ignore_errors=True)
