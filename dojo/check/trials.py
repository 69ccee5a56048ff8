"""Trials: one kata's tests, run under many rooms, in a few processes that import torch once.

A trial that runs too long or takes too much memory is ended from outside, and its process is replaced: a drawn mutant
may loop for ever.
"""

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any

import psutil

from dojo import ROOT

# In seconds of the processor, as a busy machine is no fault of a trial. One that waits is ended after PATIENCE as many.
TIME_LIMIT = 60.0
BRIEF_LIMIT = 20.0  # of a drawn mutant: one that loops for ever is dead, and should not be waited for
PATIENCE = 5
MEMORY_LIMIT = 4 * 2**30
# Most of a trial's time is pytest's own, so it loads little: two of these collect garbage at the end of every run, and
# rewriting asserts, which is left out as well, serves messages that nobody reads here.
LEFT_OUT = (
    "cacheprovider", "debugging", "doctest", "faulthandler", "junitxml", "legacypath", "logging", "pastebin",
    "randomly", "setuponly", "setupplan", "stepwise", "threadexception", "unittest", "unraisableexception", "xdist",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A kata's tests under some rooms, without a diagnosis; `brief` stops at the first failure.

    Of the tests marked slow, only those of the clause `breaks` run, where one is named; brief, they come last. `alone`:
    no tests run but those of that clause. `only`: no tests run but these.
    """

    address: str
    rooms: dict[str, str]
    brief: bool = False
    breaks: str = ""
    alone: bool = False
    only: list[str] = field(default_factory=list)


@dataclass
class Result:
    """The result of a trial: outcomes and clauses by test, or why there was no verdict.

    `seconds` has how long each test took that is not marked slow.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    clauses: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    ended: str = ""

    @property
    def failed(self) -> list[str]:
        return [test for test, outcome in self.outcomes.items() if outcome == "failed"]

    @property
    def red(self) -> bool:
        return bool(self.failed or self.ended)


def run(trials: Sequence[Trial], tell: Callable[[int], None] = lambda done: None) -> list[Result]:
    """The results of the trials, in their order; as many processes as there are cores."""
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(trials)):
        todo.put(index)
    results: list[Result] = [Result(ended="not run") for _ in trials]
    done = [0]

    def work() -> None:
        worker = IDLE.pop() if IDLE else Worker()
        with contextlib.suppress(queue.Empty):
            while True:
                index = todo.get_nowait()
                results[index] = worker.run(trials[index])
                done[0] += 1
                tell(done[0])
        IDLE.append(worker)

    threads = [threading.Thread(target=work) for _ in range(min(os.cpu_count() or 1, len(trials)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Worker:
    """A process that runs trials one after the other, watched from here."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.warm = False  # the first trial of a process imports torch

    def run(self, trial: Trial) -> Result:
        if self.process is None:
            environment = os.environ | {"KATA_PROFILE": "matrix", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dojo.check.trials"],
                cwd=ROOT, env=environment, text=True, encoding="utf-8", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write(json.dumps(asdict(trial)) + "\n")
            self.process.stdin.flush()
        line, why = self.answer(BRIEF_LIMIT if trial.brief and self.warm else TIME_LIMIT)
        self.warm = bool(line)
        if line:
            return Result(**json.loads(line))
        self.end()
        return Result(ended=why)

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None

    def answer(self, limit: float) -> tuple[str, str]:
        """The next line of the process, or why there was none."""
        assert self.process is not None
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        reader = threading.Thread(target=lambda stream: lines.put(stream.readline()), args=(self.process.stdout,))
        reader.daemon = True
        reader.start()
        before = self.spent()
        until = time.monotonic() + PATIENCE * limit
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=0.2)
                return line, "" if line else "the process ended"
            if self.memory() > MEMORY_LIMIT:
                return "", "out of memory"
            if self.spent() - before > limit:
                return "", f"no verdict within {limit:.0f} s of the processor"
        return "", f"no verdict within {PATIENCE * limit:.0f} s"

    def spent(self) -> float:
        """The seconds of the processor that the process and its children have had."""
        assert self.process is not None
        with contextlib.suppress(psutil.Error):
            return float(sum(psutil.Process(self.process.pid).cpu_times()[:4]))
        return 0.0

    def memory(self) -> int:
        assert self.process is not None
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self.process.pid).memory_info().rss)
        return 0


IDLE: list[Worker] = []  # kept from one run to the next: a process spends three seconds on importing torch


@atexit.register
def end_idle() -> None:
    while IDLE:
        IDLE.pop().end()


class Recorder:
    """A pytest plugin that keeps each test's outcome and clause."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.result = trial, Result()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.trial.only:
            items[:] = [item for item in items if item.nodeid.partition("::")[2] in self.trial.only]
            return
        own = [item for item in items if item.get_closest_marker("clause").args == (self.trial.breaks,)]
        if self.trial.alone:
            items[:] = own
        slow = [item for item in items if item.get_closest_marker("slow")]
        wanted = [item for item in slow if item in own] if self.trial.breaks else slow
        if self.trial.brief or len(wanted) < len(slow):
            items[:] = [item for item in items if item not in slow] + wanted

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when != "call" and report.passed:
            return
        test, properties = report.nodeid.partition("::")[2], dict(report.user_properties)
        self.result.outcomes[test] = report.outcome
        self.result.clauses[test] = properties.get("clause", "")
        if "slow" not in report.keywords:
            self.result.seconds[test] = report.duration

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.result.ended = f"not collected: {report.longrepr}"


def attempt(trial: Trial) -> Result:
    """Run a trial in this process, with a fresh load of the katas and of their test."""
    import pytest

    from dojo.catalog.curriculum import find
    from dojo.serving.finder import ROOMS, forget

    forget()
    for name in [name for name in sys.modules if name.startswith("tests.") and name != "tests.support"]:
        del sys.modules[name]
    os.environ[ROOMS] = json.dumps(trial.rooms)
    os.environ["KATA_BRIEF"] = "1"
    recorder = Recorder(trial)
    options = ["--further", "--tb=no", "--assert=plain", *(word for name in LEFT_OUT for word in ("-p", f"no:{name}"))]
    options += ["-x"] if trial.brief else []
    pytest.main([str(find(trial.address).tests), *options], plugins=[recorder])
    return recorder.result


def serve_trials(stdin: IO[str], answer: IO[str]) -> None:
    """Answer each line of JSON, a trial, with a line of JSON, its result."""
    for line in stdin:
        print(json.dumps(asdict(attempt(Trial(**json.loads(line))))), file=answer, flush=True)


if __name__ == "__main__":
    # Whatever a test or pytest prints must not mix with the answers.
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # a mutant may write files by wrong names
        serve_trials(sys.stdin, own)
