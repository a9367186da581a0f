"""One line for each check, and how many passed."""

import contextlib


class Checks:
    def __init__(self):
        self.part = ""
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

    def summary(self, seconds):
        """Says what tests/run counts; the exit code."""
        result = "FAILED" if self.failed else "ok"
        counts = f"{self.passed} passed; {self.failed} failed; finished in {seconds:.1f} s"
        print(f"test result: {result}. {counts}", flush=True)
        return 1 if self.failed else 0
