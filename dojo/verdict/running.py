"""Run a kata's tests in a process of their own, held to limits from outside, and come back with a verdict.

No exit code alone is believed: a verdict is green only when pytest ended by itself with code 0, its record is whole,
every test of the test file is in it, each passed or was skipped with a reason, and at least one passed.
"""

import ast
import contextlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.catalog import specification
from dojo.catalog.curriculum import Kata
from dojo.learner.standing import FAILED, GREEN, NONE, PASSED, RED, SKIPPED, UNTESTED, hash_of
from dojo.system import terminal

MEGABYTE = 1 << 20
PATIENCE = 0.05  # seconds between two looks at the child
LONGEST_DUMP = 2.0  # seconds that a child may take to say where it is
TAIL = 100_000  # bytes of pytest's own output that are kept


@dataclass(frozen=True)
class Limits:
    """Seconds for the whole run, megabytes of memory of all its processes, megabytes of output."""

    seconds: float = 120.0
    memory: int = 4096
    output: int = 10


@dataclass
class Verdict:
    """What a run showed. `why` tells, in lines, why there is no verdict, or why it is red though no test failed."""

    kata: Kata
    outcome: str = NONE
    why: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    clauses: dict[str, str] = field(default_factory=dict)
    borrowed: tuple[str, ...] = ()
    seconds: float = 0.0
    output: str = ""
    source: str = ""
    tests: str = ""

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["outcome"] == FAILED]

    def as_progress(self) -> dict[str, Any]:
        """What of it is remembered."""
        names = ("outcome", "why", "clauses", "source", "tests", "seconds")
        return {name: getattr(self, name) for name in names} | {"borrowed": list(self.borrowed), "at": time.time()}


def expected_tests(kata: Kata) -> dict[str, str]:
    """The tests of a kata with their clauses, in the order of the file, by its syntax tree.

    Raises OSError, SyntaxError or ValueError (a null byte).
    """
    tree = ast.parse(kata.tests.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tests = [node for node in tree.body if isinstance(node, functions) and node.name.startswith("test_")]
    return {node.name: next(filter(None, map(_clause, node.decorator_list)), "") for node in tests}


def _clause(decorator: ast.expr) -> str:
    """The slug in `@clause("slug")` or `@pytest.mark.clause("slug")`; empty for any other decorator."""
    match decorator:
        case ast.Call(func=ast.Name(id="clause") | ast.Attribute(attr="clause"), args=[ast.Constant(value=str(slug))]):
            return slug
    return ""


def command(kata: Kata, borrowed: tuple[str, ...], solutions: bool, *more: str) -> list[str]:
    """The command line that tests a kata."""
    words = [sys.executable, "-m", "pytest", kata.tests.relative_to(ROOT).as_posix(), "-p", "no:randomly", *more]
    if borrowed:
        words += ["--borrow", ",".join(borrowed)]
    return [*words, "--solutions"] if solutions else words


def environment(**more: str) -> dict[str, str]:
    """The child's environment: ours, less what could make pytest leave tests out.

    The tensors of tests are small, and torch's threads wait for each other longer than they work.
    """
    own = {name: value for name, value in os.environ.items() if name not in ("PYTEST_ADDOPTS", "KATA_ROOMS")}
    return {"OMP_NUM_THREADS": "1"} | own | {"PYTHONIOENCODING": "utf-8:replace"} | more


def run(
    kata: Kata,
    borrowed: tuple[str, ...] = (),
    *,
    solutions: bool = False,
    verbose: bool = False,
    limits: Limits | None = None,
    seen: Callable[[int, int], None] = lambda done, of: None,
) -> Verdict:
    """Test a kata. `seen` is told from time to time how many tests of how many have their outcome.

    Whatever ends this function (KeyboardInterrupt among it) ends every process of the run first.
    """
    for package in ("psutil", "pytest"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    verdict = Verdict(kata, borrowed=borrowed, source=hash_of(kata.stub), tests=hash_of(kata.tests))
    try:
        expected = expected_tests(kata)
    except (OSError, SyntaxError, ValueError) as error:
        verdict.why = [f"{kata.tests.relative_to(ROOT).as_posix()} cannot be read: {error}", "`dojo doctor` tells more"]
        return verdict
    secret = secrets.token_hex()
    try:
        folder = Path(tempfile.mkdtemp(prefix="dojo-"))
        (folder / "record").write_text(secret, encoding="utf-8")
    except OSError as error:
        verdict.why = [f"there is no room for temporary files: {error.strerror or error}"]
        return verdict

    def look() -> None:
        seen(len({record["test"] for record in read_records(folder / "record", secret)[1]}), len(expected))

    try:
        ended, over = _supervise(verdict, solutions, verbose, limits or Limits(), folder, look)
        started, verdict.records, whole = read_records(folder / "record", secret)
        verdict.output = _tail(folder / "output")
        stack = _tail(folder / "stack")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    verdict.clauses = clauses_of(kata, verdict.records)
    if not whole:
        recorded = {record["test"] for record in verdict.records} - {started}
        for open_ in {clause for test, clause in expected.items() if test not in recorded}:
            if verdict.clauses.get(open_) == PASSED:
                verdict.clauses[open_] = UNTESTED
    verdict.outcome, verdict.why = judge(expected, verdict, ended, over, whole, started, stack)
    return verdict


def judge(
    expected: Iterable[str], verdict: Verdict, ended: int, over: str, whole: bool, started: str, stack: str
) -> tuple[str, list[str]]:
    """The outcome of a run and the lines that explain it where the tests do not."""
    kata, records = verdict.kata, verdict.records
    recorded = {record["test"] for record in records}
    missing = [name for name in expected if name not in recorded]
    where = place(kata, stack or verdict.output, started)
    if over:
        return NONE, [over, *where]
    if ended < 0 or ended >= 128:
        hints = ["did the system run out of memory?"] if ended == -9 else []
        return NONE, [f"the run crashed: {name_of_exit(ended)}", *where, *hints]
    if "unexpected SystemExit" in verdict.output:
        return NONE, ["your code called sys.exit(), which ends the whole run", *where]
    if not whole:
        text = f"the run ended with code {ended} before its last test: does something call os._exit() or sys.exit()?"
        return NONE, [text, *where]
    if any(record["outcome"] == FAILED for record in records):
        return RED, []
    if missing or ended != 0:
        lines = [f"pytest ended with code {ended} after {len(recorded)} of {len(recorded) + len(missing)} tests"]
        lines += [f"without an outcome: {', '.join(missing[:5])}"] if missing else []
        return NONE, [*lines, *last_words(verdict.output)]
    if unreasoned := [r["test"] for r in records if r["outcome"] == SKIPPED and not any(r["told"])]:
        return RED, [f"skipped without a reason: {', '.join(unreasoned[:5])}"]
    if not any(record["outcome"] == PASSED for record in records):
        return RED, ["every test was skipped, so nothing is proved"]
    return GREEN, []


def clauses_of(kata: Kata, records: list[dict[str, Any]]) -> dict[str, str]:
    """Each clause with its mark, in the order of the specification."""
    outcomes: dict[str, set[str]] = {}
    for record in records:
        outcomes.setdefault(record["clause"] or "", set()).add(record["outcome"])
    order = (FAILED, PASSED, SKIPPED)
    return {
        slug: next((mark for mark in order if mark in outcomes.get(slug, ())), UNTESTED)
        for slug in specification.clauses(kata.address)
    }


def read_records(path: Path, secret: str) -> tuple[str, list[dict[str, Any]], bool]:
    """The test that started last, the outcomes so far, and whether the record is whole. A half line is no record."""
    started, whole = "", False
    found: list[dict[str, Any]] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return started, found, whole
    for record in map(_json, lines):
        if not isinstance(record, dict) or record.pop("secret", "") != secret:
            continue  # a half line, or one that the code under test wrote
        match record:
            case {"record": "start", "test": str(started)}:
                whole = False
            case {"record": "test", "test": str(), "outcome": str(), "told": list()}:
                record.setdefault("clause", None)
                found.append(record)
            case {"record": "end"}:
                whole = True
    return started, found, whole


def place(kata: Kata, stack: str, started: str) -> list[str]:
    """Where a run was when it stopped: the test, and the innermost line of the kata on the stack."""
    lines = [f"it was in the test {started}"] if started else ["it had not begun with the tests: it was loading files"]
    _, dumped, below = stack.rpartition("Current thread")
    frames = re.findall(r'File "([^"]+)", line (\d+),? in (\S+)', below)
    for file, line, function in frames if dumped else reversed(frames):  # a traceback runs the other way
        with contextlib.suppress(OSError, ValueError):
            if Path(file).resolve() == kata.stub.resolve():
                code = _line(kata.stub, int(line))
                return [
                    *lines,
                    f"your line: {kata.stub.relative_to(ROOT).as_posix()}:{line} {function}  {code}".rstrip(),
                ]
    return lines


def name_of_exit(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with code {code if code < 1 << 31 else hex(code)}"


def last_words(output: str, most: int = 8) -> list[str]:
    """The end of pytest's own output, where nothing better is known."""
    return [line for line in output.splitlines() if line.strip()][-most:]


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


def _supervise(
    verdict: Verdict, solutions: bool, verbose: bool, limits: Limits, folder: Path, look: Callable[[], None]
) -> tuple[int, str]:
    """Start the child and watch it until it ends or goes over a limit. Returns its exit code and what it went over."""
    begun = time.monotonic()
    more = ["-p", "dojo.verdict.child", "-p", "dojo.verdict.recording", "--color=no", f"--basetemp={folder / 'tmp'}"]
    more += ["-vv"] if verbose else ["-q", "--show-capture=no"]  # twice, because pyproject.toml has one -q
    variables = environment(
        COLUMNS=str(terminal.columns() - 1),
        KATA_RECORD=str(folder / "record"),
        KATA_STACK=str(folder / "stack"),
        KATA_DEADLINE=str(time.time() + limits.seconds),
    )
    apart: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
    with open(folder / "output", "wb") as output:
        process = subprocess.Popen(
            command(verdict.kata, verdict.borrowed, solutions, *more),
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **apart,
        )
    try:
        over, looks = "", 0
        while process.poll() is None and not over:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            looks += 1
            if looks % 4 == 0:
                look()
                over = _over(process.pid, folder, limits, time.monotonic() - begun)
        if over and process.poll() is None:
            _ask_where(process, folder / "stack")
        verdict.seconds = time.monotonic() - begun
        return (process.poll() or 0, over)
    finally:
        end_tree(process)


def _over(pid: int, folder: Path, limits: Limits, seconds: float) -> str:
    """What a run has gone over, in a sentence; empty while it keeps to its limits."""
    import psutil

    if seconds > limits.seconds:
        return f"stopped after {limits.seconds:g} seconds. Does a loop never end? `--time-limit` gives more time."
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


def _tail(path: Path) -> str:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - TAIL, 0))
        return file.read().decode("utf-8", errors="replace")
    return ""


def _line(path: Path, number: int) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[number - 1].strip() if number <= len(lines) else ""


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
