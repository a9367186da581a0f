"""The programs under test, each a process of its own that speaks lines of JSON."""

import json
import os
import queue
import subprocess
import threading

# What a program may take for an answer, in seconds.
PATIENCE = 60


def guarded(command):
    """The command such that it ends with this process, however this process ends."""
    return [os.environ["HIVE_BIN"], "dev", "--guard", str(os.getpid()), "--", *map(str, command)]


class Program:
    """Started with a description of its work as its argument; stopped with the `with` block.

    It writes `{"ready": true}` once it works, answers each line `report` with all it has done so far
    and `progress` with how much that is, and on `stop` ends its work, reports and exits.
    """

    def __init__(self, name, command, work):
        self.name = name
        self.process = subprocess.Popen(
            # Clients are on other machines: they shall not take the time of the servers here.
            guarded(["nice", "-n", "5", *command, json.dumps(work)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def listen(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.said.put(json.loads(line))
            else:
                print(f"# {self.name}: {line}", end="", flush=True)
        self.said.put(None)

    def hear(self):
        try:
            said = self.said.get(timeout=PATIENCE)
        except queue.Empty:
            raise TimeoutError(f"{self.name} said nothing for {PATIENCE} s") from None
        if said is None:
            raise RuntimeError(f"{self.name} ended with {self.process.wait()}")
        return said

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.hear()

    def report(self):
        return self.ask("report")

    def stop(self):
        return self.ask("stop")

    def pids(self):
        """This program and all it started."""
        found = [self.process.pid]
        for pid in found:
            for task in os.listdir(f"/proc/{pid}/task"):
                try:
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        found += map(int, children.read().split())
                except FileNotFoundError:
                    pass
        return found

    def connections(self, ports):
        """The TCP connections to these ports that it has: own port and remote port."""
        inodes = set()
        for pid in self.pids():
            for fd in os.listdir(f"/proc/{pid}/fd"):
                try:
                    link = os.readlink(f"/proc/{pid}/fd/{fd}")
                except FileNotFoundError:
                    continue
                if link.startswith("socket:["):
                    inodes.add(link[8:-1])
        found = set()
        for line in open("/proc/net/tcp").readlines()[1:]:
            words = line.split()
            near, far = (int(words[i].split(":")[1], 16) for i in (1, 2))
            if far in ports and words[3] == "01" and words[9] in inodes:
                found.add((near, far))
        return found

