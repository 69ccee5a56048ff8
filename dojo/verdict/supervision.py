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
from typing import IO, Any

from dojo import ROOT
from dojo.system import terminal, vocabulary
from dojo.system.files import read_regular
from dojo.verdict import processes
from dojo.verdict.command import Request, environment, supervised

MEGABYTE = 1 << 20
PATIENCE = 0.05  # seconds between two looks at the child
LIMITS_EVERY = 4  # looks
FOLDERS = "dojo-run-"  # how the names of runs' folders begin; the process id of their dojo follows
LONGEST_DUMP = 2.0  # seconds that a child may take to say where it is
TAIL = 100_000  # bytes of pytest's own output that are kept
MOST_FILES = 10_000  # of a run's folder that are counted at a look


@dataclass(frozen=True)
class Limits:
    """Seconds for the whole run, megabytes of memory of all its processes, of output, and of files in its folder."""

    seconds: float = 120.0
    memory: int = 4096
    output: int = 10
    files: int = 1024


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

    record and output stay open here: what the code under test does to their paths changes nothing.
    waits: it has loaded what depends on no kata, and begins when it is told to.
    """

    request: Request
    process: subprocess.Popen[bytes]
    folder: Path
    secret: str
    record: IO[bytes]
    output: IO[bytes]
    waits: bool

    def recorded(self) -> bytes:
        """The record so far."""
        self.record.seek(0)
        return self.record.read(2 * Limits.output * MEGABYTE)

    def output_until_now(self) -> str:
        """The end of what pytest has printed."""
        self.output.seek(max(self.output.seek(0, os.SEEK_END) - TAIL, 0))
        return self.output.read(TAIL).decode("utf-8", errors="replace")

    def stack(self) -> str:
        """What the process has written about where it is."""
        with contextlib.suppress(OSError):
            return read_regular(self.folder / "stack").decode("utf-8", errors="replace")
        return ""

    def begin(self, limits: Limits) -> None:
        """Let a waiting process begin; a process that does not wait has begun."""
        if self.waits and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.write(f"{time.time() + limits.seconds}\n".encode())
                self.process.stdin.close()

    def close(self) -> None:
        processes.end(self.process)
        self.record.close()
        self.output.close()
        for folder in self.folder.parent.glob(f"{self.folder.name}*"):  # code under test may have renamed it
            _remove(folder)


def prepare(request: Request, limits: Limits, waits: bool = False) -> Prepared:
    """Start the process that tests a kata. Raises OSError where there is no room for its files."""
    _sweep()
    folder, secret = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-")), secrets.token_hex()
    try:
        record, output = (open(folder / name, "w+b", buffering=0) for name in ("record", "output"))  # noqa: SIM115
        record.write(secret.encode())
        (folder / "tmp").mkdir()
        variables = environment(
            COLUMNS=str(terminal.columns() - 1),
            KATA_RECORD=str(folder / "record"),
            **processes.with_parent(),
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
        process = processes.started(
            lambda: subprocess.Popen(
                supervised(request, folder, waits),
                cwd=ROOT,
                env=variables,
                stdin=subprocess.PIPE if waits else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **apart,
            )
        )
    except BaseException:
        _remove(folder)
        raise
    return Prepared(request, process, folder, secret, record, output, waits)


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
                over = _over(prepared, limits, time.monotonic() - begun)
        if over and process.poll() is None:
            _ask_where(process, prepared.folder / "stack")
        return Ended(process.poll() or 0, over, time.monotonic() - begun)
    finally:
        processes.end(process)


def _sweep() -> None:
    """Remove what runs have left whose dojo was killed before it could."""
    import psutil

    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*-*"):
        owner = folder.name.removeprefix(FOLDERS).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            processes.end_marked(folder)
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, whatever the code under test has done to it: shut it, or put thousands into each other."""
    with contextlib.suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    number = 0
    with contextlib.suppress(OSError):
        while entries := list(os.scandir(folder)):
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry)
                    continue
                os.chmod(entry, 0o700)
                for name in os.listdir(entry):  # brought up one by one, so that no path is long
                    number += 1
                    inner = os.path.join(entry.path, name)
                    if not os.path.islink(inner):
                        os.chmod(inner, 0o700)
                    os.rename(inner, folder / f"{number}~")
                os.rmdir(entry)
        folder.rmdir()


def _over(prepared: Prepared, limits: Limits, seconds: float) -> str:
    """What a run has gone over, in a sentence; empty while it keeps to its limits."""
    if seconds > limits.seconds:
        return f"stopped after {limits.seconds:g} seconds; --time-limit allows more"
    used = processes.memory(processes.of_run(prepared.process.pid), limits.memory * MEGABYTE)
    if used > limits.memory * MEGABYTE:
        return f"stopped at {terminal.number(used // MEGABYTE)} MB of memory: more than --memory-limit {limits.memory}"
    if _printed(prepared) > limits.output * MEGABYTE:
        return f"stopped because your code printed more than {limits.output} MB"
    if _written(prepared.folder) > limits.files * MEGABYTE:
        return f"stopped because your code wrote more than {limits.files} MB of temporary files"
    return ""


def _printed(prepared: Prepared) -> int:
    """The bytes of output so far: pytest's own, and, where the system shows it, what it has caught of the current test.

    Elsewhere than on Linux, what a test prints is held by the limit on the size of a file (dojo/verdict/child.py).
    """
    pid = prepared.process.pid
    sizes = [os.fstat(file.fileno()).st_size for file in (prepared.record, prepared.output)]
    for path in (f"/proc/{pid}/fd/1", f"/proc/{pid}/fd/2"):
        with contextlib.suppress(OSError):
            sizes.append(os.stat(path).st_size)
    return max(sizes)


def _written(folder: Path) -> int:
    """The bytes of the files in a folder, as far as they can be counted in a moment."""
    size, seen, waiting = 0, 0, [str(folder)]
    while waiting and seen < MOST_FILES:
        with contextlib.suppress(OSError):
            for entry in os.scandir(waiting.pop()):
                seen += 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    size += entry.stat(follow_symlinks=False).st_size
    return size


def _ask_where(process: subprocess.Popen[bytes], stack: Path) -> None:
    """Have the child write its stack, and wait until it has."""
    if hasattr(signal, "SIGUSR1") and os.path.lexists(stack):
        with contextlib.suppress(OSError):
            process.send_signal(signal.SIGUSR1)
    end, size = time.monotonic() + LONGEST_DUMP, -1
    while time.monotonic() < end and process.poll() is None:
        time.sleep(2 * PATIENCE)
        now = stack.lstat().st_size if os.path.lexists(stack) else 0
        if now == size != 0:
            return
        size = now
