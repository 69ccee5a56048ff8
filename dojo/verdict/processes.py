"""The processes of a run, also those that it has set free: which they are, what they hold, and how they are ended."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

SET_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG
SET_CHILD_SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER
ROUNDS = 10_000  # tries to end processes that make others meanwhile
PARENT = "KATA_PARENT"
NAMELESS = ("/memfd:", "/dev/shm/")  # the beginnings of the links of open files in memory

_ours: set[int] = set()  # the runs' own processes that have not been ended yet
_changing = threading.Lock()  # held while one is started or others are looked for


def started(start: Callable[[], "subprocess.Popen[bytes]"]) -> "subprocess.Popen[bytes]":
    """Start a run's process. On Linux, what it sets free becomes a child of this process and of no other."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1)
    with _changing:
        process = start()
        _ours.add(process.pid)
    return process


def with_parent() -> dict[str, str]:
    """What a child's environment says, so that it can tell whether its parent is still there."""
    return {PARENT: str(os.getpid())}


def end_with_the_parent() -> None:
    """On Linux, be killed when the parent dies, even if that was killed itself, or has been already."""
    parent = os.environ.pop(PARENT, "")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGKILL)
        if parent and os.getppid() != int(parent):
            os._exit(0)


def of_run(pid: int) -> "list[psutil.Process]":
    """A run's process with all below it, and what runs have set free with all below that."""
    import psutil

    found: dict[int, psutil.Process] = {}
    with _changing:
        roots = [pid, *_set_free()]
    for root in roots:
        with contextlib.suppress(psutil.Error):
            found[root] = psutil.Process(root)
            found |= {one.pid: one for one in found[root].children(recursive=True)}
    return list(found.values())


def memory(processes: "Sequence[psutil.Process]", limit: int) -> int:
    """The bytes that processes hold, with files in memory.

    What processes share is counted once, which takes long, when the sum would be more than the limit.
    """
    import psutil

    def total(name: str) -> int:
        used = 0
        for one in processes:
            with contextlib.suppress(psutil.Error):
                about = one.memory_info() if name == "rss" else one.memory_full_info()
                used += getattr(about, name, about.rss)
        return used

    files: dict[tuple[int, int], int] = {}
    for one in processes:
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{one.pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(entry.path).startswith(NAMELESS):
                        about = os.stat(entry.path)
                        files[about.st_dev, about.st_ino] = about.st_blocks * 512
    used = total("rss") + sum(files.values())
    return used if used <= limit else min(used, total("pss") + sum(files.values()))


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a run's process and all that it started, whether or not it is still its parent."""
    import psutil

    family = []
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(process.pid)
        family = [*parent.children(recursive=True), parent]
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own: this finds orphans too
    _kill(family)
    process.wait()
    psutil.wait_procs(family, timeout=2)
    with _changing:
        _ours.discard(process.pid)
        for _ in range(ROUNDS):  # what those have started is set free in turn
            free = _set_free()
            if not free:
                return
            for pid in free:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            for pid in free:
                with contextlib.suppress(OSError):
                    os.waitpid(pid, 0)


def end_marked(folder: Path) -> None:
    """End what a run left behind whose dojo was killed: it carries the run's folder in its environment."""
    mark = os.fsencode(folder)
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environment.read_bytes():
                os.kill(int(environment.parent.name), signal.SIGKILL)


def _kill(processes: "Sequence[psutil.Process]") -> None:
    import psutil

    for one in processes:
        with contextlib.suppress(psutil.Error):
            one.kill()


def _set_free() -> list[int]:
    """The children of this process that runs have set free: runs have sessions of their own, and all below them too.

    Read where it is quick: a process that forks and ends again and again is gone before a list of all is made.
    """
    if sys.platform != "linux":
        return []
    import psutil

    lists = [*Path("/proc/self/task").glob("*/children")]
    pids = [int(pid) for one in lists for pid in _text(one).split()]
    found = []
    for pid in pids if lists else [child.pid for child in psutil.Process().children()]:
        with contextlib.suppress(OSError):
            if pid not in _ours and os.getsid(pid) != os.getsid(0):
                found.append(pid)
    return found


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii")
    return ""
