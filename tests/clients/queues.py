"""BullMQ and RQ work through planned changes: no job is lost and none is done twice."""

import contextlib
import os
import subprocess
import sys
from contextlib import ExitStack

from loads import progress
from programs import Program, guarded
from setting import HERE

# RQ's way to do it, and the one without a process for each job.
RQ_WORKERS = ["rq.Worker", "rq.SimpleWorker"]


def run(checks, hive, setting):
    host, port = hive.endpoint
    with ExitStack() as stack:
        record = setting.place / "rq-done"
        record.write_text("")
        for kind in RQ_WORKERS:
            stack.enter_context(rq_worker(setting, kind, port))
        work = {"host": host, "port": port, "record": str(record)}
        programs = [
            Program("BullMQ", setting.program("jobs/bullmq.mjs"), work),
            Program("RQ", setting.program("jobs/rq_producer.py"), work),
        ]
        for program in programs:
            stack.enter_context(program).hear()
        for _ in range(setting.rounds):
            hive.switchover()
            progress(programs)
        for program in programs:
            (session,) = program.stop()["sessions"]
            judge(checks, program.name, session)


@contextlib.contextmanager
def rq_worker(setting, kind, port):
    """A worker that ends with the block."""
    log = setting.place / f"{kind}.log"
    address = f"redis://127.0.0.1:{port}"
    command = [sys.executable, "-m", "rq.cli", "worker", "-w", kind, "--url", address, "jobs"]
    with log.open("w") as output:
        worker = subprocess.Popen(
            guarded(command),
            env={**os.environ, "PYTHONPATH": str(HERE / "jobs")},
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        # A job of its own would outlive it: first they are asked to end.
        worker.terminate()
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def judge(checks, name, session):
    took = session["took"]
    sure = set(range(1, session["last"] + 1)) - set(session["unknown"])
    lost = sorted(sure - set(took))
    twice = sorted({number for number in took if took.count(number) > 1})
    checks.that(f"{name}: none of {session['last']} jobs lost", not lost, f"{lost[:10]} are")
    checks.that(f"{name}: none done twice", not twice, f"{twice[:10]} were")
    said = f": {session['said']}" if session["said"] else ""
    print(f"# {name}: {len(took)} jobs done, {session['errors']} errors{said}", flush=True)
