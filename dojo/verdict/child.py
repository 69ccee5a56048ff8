"""A pytest plugin for the process that `dojo test` starts: it can be asked where it is, and it cannot outlive its time.

KATA_STACK names the file for the stack, KATA_DEADLINE the time (seconds since the epoch) at which the run is over; it
is empty for a process that waits (dojo/verdict/waiting.py).
"""

import builtins
import contextlib
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn, TextIO

import pytest

from dojo.verdict import processes
from dojo.verdict.explain import NobodyThere

LARGEST_FILE = 1 << 29  # 512 MB: the output of a test is in a file that the parent cannot see on every system
GRACE = 5
DUMPS: list[TextIO] = []


def dump_when_asked(stack: str) -> None:
    """On a signal, write the stack of every thread into a file."""
    # The handler writes into the file until the process ends.
    file = open(stack, "w", encoding="utf-8")  # noqa: SIM115
    if hasattr(signal, "SIGUSR1"):
        # A signal and no timer: a timer is a thread, and a process with threads forks with a warning.
        faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
    else:
        DUMPS.append(file)


def limit(deadline: float) -> None:
    """The limits that hold even when the parent has been killed."""
    left = max(deadline - time.time(), 1)
    if not hasattr(signal, "SIGUSR1"):
        faulthandler.dump_traceback_later(left, file=DUMPS[-1])
        return
    import resource

    for what, value in (
        (resource.RLIMIT_CPU, int(left + GRACE) * (os.cpu_count() or 1)),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
    ):
        hard = resource.getrlimit(what)[1]
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    signal.signal(signal.SIGALRM, _wake_the_parent)
    signal.setitimer(signal.ITIMER_REAL, left + GRACE, 1)


def _wake_the_parent(*_: object) -> None:
    """Code under test may have stopped the parent, which then would wait for ever."""
    if hasattr(signal, "SIGCONT"):
        os.kill(os.getppid(), signal.SIGCONT)


def refuse(call: str) -> Callable[..., NoReturn]:
    def wait(*_: object, **__: object) -> NoReturn:
        raise NobodyThere(call)

    return wait


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Let calls that wait for input fail at once: nobody sees their question."""
    import pdb

    builtins.input = refuse("input()")
    pdb.set_trace = refuse("pdb.set_trace()")
    sys.breakpointhook = refuse("breakpoint()")


pytest_unconfigure = _wake_the_parent


if "KATA_STACK" in os.environ:
    processes.end_with_the_parent()
    # Taken out of the environment: what the tests start in turn shall not write into the same file.
    dump_when_asked(os.environ.pop("KATA_STACK"))
    if deadline := os.environ.pop("KATA_DEADLINE"):
        limit(float(deadline))
