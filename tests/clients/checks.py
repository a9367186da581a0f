"""One line for each check, and how many passed."""

import contextlib
import threading
import time


class Checks:
    def __init__(self, part):
        self.part = part
        self.passed = 0
        self.failed = 0

    def that(self, what, fits, why=""):
        """Passed if `fits`; `why` is told if not."""
        if fits:
            self.passed += 1
            print(f"ok {self.part}: {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED {self.part}: {what}: {why}", flush=True)

    @contextlib.contextmanager
    def one(self, what):
        """Passed if the block raises nothing."""
        try:
            yield
        except Exception as error:
            self.that(what, False, f"{type(error).__name__}: {error}")
        else:
            self.that(what, True)


class Metronome:
    """Notes the longest time in which a thread that only sleeps was not run."""

    PACE = 0.01

    def __init__(self):
        self.longest = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            started = time.monotonic()
            time.sleep(self.PACE)
            self.longest = max(self.longest, time.monotonic() - started - self.PACE)

    def take(self):
        """The longest since the last call, in seconds."""
        longest, self.longest = self.longest, 0
        return longest
