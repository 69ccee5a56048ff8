"""Start the process that tests a kata, hold it to limits from outside, and end it with all that it started."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.system import terminal, vocabulary
from dojo.verdict.command import Request, environment, supervised

MEGABYTE = 1 << 20
PATIENCE = 0.05  # seconds between two looks at the child
LIMITS_EVERY = 4  # looks
FOLDERS = "dojo-run-"  # how the names of runs' folders begin; the process id of their dojo follows
LONGEST_DUMP = 2.0  # seconds that a child may take to say where it is


@dataclass(frozen=True)
class Limits:
    """Seconds for the whole run, megabytes of memory of all its processes, megabytes of output."""

    seconds: float = 120.0
    memory: int = 4096
    output: int = 10


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, the limit that it went over in a sentence, and how long it ran."""

    code: int
    over: str
    seconds: float


class Cancelled(Exception):
    """Somebody asked to end the run before it came to a verdict."""


@dataclass
class Prepared:
    """A process that tests a kata, and the folder with its record, output and stack. `close` ends it and removes all.

    waits: it has loaded what depends on no kata, and begins when it is told to.
    """

    request: Request
    process: subprocess.Popen[bytes]
    folder: Path
    secret: str
    waits: bool

    @property
    def record(self) -> Path:
        return self.folder / "record"

    def begin(self, limits: Limits) -> None:
        """Let a waiting process begin; a process that does not wait has begun."""
        if self.waits and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.write(f"{time.time() + limits.seconds}\n".encode())
                self.process.stdin.close()

    def close(self) -> None:
        end_tree(self.process)
        _end_strays(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def prepare(request: Request, limits: Limits, waits: bool = False) -> Prepared:
    """Start the process that tests a kata. Raises OSError where there is no room for its files."""
    _sweep()
    folder, secret = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-")), secrets.token_hex()
    try:
        (folder / "record").write_text(secret, encoding="utf-8")
        (folder / "tmp").mkdir()
        variables = environment(
            COLUMNS=str(terminal.columns() - 1),
            KATA_RECORD=str(folder / "record"),
            KATA_STACK=str(folder / "stack"),
            KATA_DEADLINE="" if waits else str(time.time() + limits.seconds),
            # What tests write goes to the run's own folder, and ends with it.
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder / "tmp")),
            HYPOTHESIS_STORAGE_DIRECTORY=str(folder / "hypothesis"),
            TIKTOKEN_CACHE_DIR=str(vocabulary.folder() or ""),
        )
        apart: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
        with open(folder / "output", "wb") as output:
            process = subprocess.Popen(
                supervised(request, folder, waits),
                cwd=ROOT,
                env=variables,
                stdin=subprocess.PIPE if waits else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **apart,
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Prepared(request, process, folder, secret, waits)


def supervise(
    prepared: Prepared, limits: Limits, look: Callable[[], None], cancelled: Callable[[], bool] = lambda: False
) -> Ended:
    """Let the child run until it ends or goes over a limit; `look` is called again and again meanwhile.

    Raises Cancelled. Whatever ends this function ends every process of the run first.
    """
    begun, process = time.monotonic(), prepared.process
    prepared.begin(limits)
    try:
        over, looks = "", 0
        while process.poll() is None and not over:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            if cancelled():
                raise Cancelled
            look()
            looks += 1
            if looks % LIMITS_EVERY == 0:
                over = _over(process.pid, prepared.folder, limits, time.monotonic() - begun)
        if over and process.poll() is None:
            _ask_where(process, prepared.folder / "stack")
        return Ended(process.poll() or 0, over, time.monotonic() - begun)
    finally:
        end_tree(process)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, whether or not it is still its parent."""
    import psutil

    family = []
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(process.pid)
        family = [*parent.children(recursive=True), parent]
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # the child leads a group of its own: this finds orphans too
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    process.wait()
    psutil.wait_procs(family, timeout=2)


def _end_strays(folder: Path) -> None:
    """End what a run started and set free: it carries the run's folder in its environment."""
    import psutil

    if not Path("/proc/self/environ").exists():
        return
    mark = os.fsencode(folder)
    for _ in range(5):
        strays = []
        for pid in psutil.pids():
            with contextlib.suppress(OSError):
                if mark in Path(f"/proc/{pid}/environ").read_bytes():
                    strays.append(pid)
        for pid in strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not strays:
            return
        time.sleep(PATIENCE)


def _sweep() -> None:
    """Remove the folders of runs whose dojo was killed before it could."""
    import psutil

    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*-*"):
        owner = folder.name.removeprefix(FOLDERS).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _over(pid: int, folder: Path, limits: Limits, seconds: float) -> str:
    """What a run has gone over, in a sentence; empty while it keeps to its limits."""
    import psutil

    if seconds > limits.seconds:
        return f"stopped after {limits.seconds:g} seconds; --time-limit allows more"
    used = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for member in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                used += member.memory_info().rss
    if used > limits.memory * MEGABYTE:
        return f"stopped at {used // MEGABYTE} MB of memory: more than --memory-limit {limits.memory}"
    if _printed(pid, folder) > limits.output * MEGABYTE:
        return f"stopped because your code printed more than {limits.output} MB"
    return ""


def _printed(pid: int, folder: Path) -> int:
    """The bytes of output so far: pytest's own, and, where the system shows it, what it has caught of the current test.

    Elsewhere than on Linux, what a test prints is held by the limit on the size of a file (dojo/verdict/child.py).
    """
    sizes = [0]
    for path in (folder / "output", f"/proc/{pid}/fd/1", f"/proc/{pid}/fd/2"):
        with contextlib.suppress(OSError):
            sizes.append(os.stat(path).st_size)
    return max(sizes)


def _ask_where(process: subprocess.Popen[bytes], stack: Path) -> None:
    """Have the child write its stack, and wait until it has."""
    if hasattr(signal, "SIGUSR1") and stack.exists():
        with contextlib.suppress(OSError):
            process.send_signal(signal.SIGUSR1)
    end, size = time.monotonic() + LONGEST_DUMP, -1
    while time.monotonic() < end and process.poll() is None:
        time.sleep(2 * PATIENCE)
        now = stack.stat().st_size if stack.exists() else 0
        if now == size != 0:
            return
        size = now
