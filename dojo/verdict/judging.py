"""What a run proves: green, red or nothing.

No exit code alone is believed. A kata is green only when every test of its core is in a whole record, each passed or
was skipped by the test itself with a reason, at least one passed, and pytest ended by itself.
"""

import contextlib
import re
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dojo import ROOT
from dojo.catalog import specification
from dojo.catalog.curriculum import Kata
from dojo.learner.standing import FAILED, GREEN, NONE, PASSED, RED, SKIPPED, UNTESTED
from dojo.verdict.record import Record
from dojo.verdict.supervision import Ended

ENDED_BY_ITSELF = (0, 1)  # pytest's exit codes for a run whose tests passed, and one with failed tests


@dataclass(frozen=True)
class Evidence:
    """All that is left of a run: the kata's tests with their clauses, the record, the end, output and stack.

    reasons: for which its tests may be skipped.
    """

    kata: Kata
    expected: Mapping[str, str]
    record: Record
    ended: Ended
    output: str = ""
    stack: str = ""
    reasons: Sequence[str] = ()

    def tests_of(self, clauses: Collection[str]) -> list[str]:
        return [test for test, clause in self.expected.items() if clause in clauses]


def judge(evidence: Evidence, clauses: Collection[str]) -> tuple[str, list[str]]:
    """The outcome for some clauses, and the lines that explain it where the tests do not."""
    if stopped := why_stopped(evidence):
        return NONE, stopped
    return judge_record(evidence, clauses)


def judge_record(evidence: Evidence, clauses: Collection[str]) -> tuple[str, list[str]]:
    """The outcome for some clauses by the records of their tests alone."""
    record, wanted = evidence.record, evidence.tests_of(clauses)
    found = [test for test in record.tests if test.name in wanted]
    if any(test.outcome == FAILED for test in found):
        return RED, []
    if missing := [name for name in wanted if name not in record.names]:
        lines = [f"{len(missing)} of {len(wanted)} tests have no outcome: {', '.join(missing[:5])}"]
        return NONE, [*lines, *last_words(evidence.output)]
    skipped = [test for test in found if test.outcome == SKIPPED]
    if unknown := [test.name for test in skipped if not any(reason in test.why for reason in evidence.reasons)]:
        return RED, [f"skipped for a reason that the tests do not know: {', '.join(unknown[:5])}"]
    if not any(test.outcome == PASSED for test in found):
        return RED, ["every test was skipped, so nothing is proved"]
    return GREEN, []


def why_stopped(evidence: Evidence) -> list[str]:
    """Why the run came to no end of its own, in lines; empty where it did."""
    ended, output = evidence.ended, evidence.output
    if not evidence.record.begun:
        how = ended.over or name_of_exit(ended.code)
        return [f"pytest could not start: {how}", *last_words(output, 3), "`dojo doctor` looks for the cause."]
    where = place(evidence)
    if ended.over:
        return [ended.over, *where, *slowest(evidence.record)]
    if ended.code < 0 or ended.code >= 128:
        hints = ["Did the system run out of memory?"] if ended.code == -9 else []
        return [f"the run crashed: {name_of_exit(ended.code)}", *where, *hints]
    if "unexpected SystemExit" in output:
        return ["your code called sys.exit(), which ends the whole run", *where]
    if not evidence.record.whole:
        text = f"the run ended with code {ended.code} before its last test: is os._exit() or sys.exit() called?"
        return [text, *where]
    if ended.code not in ENDED_BY_ITSELF:
        recorded = len(evidence.record.names)
        line = f"pytest ended with code {ended.code} after {recorded} of {len(evidence.expected)} tests"
        return [line, *last_words(output)]
    return []


def marks_of(evidence: Evidence) -> dict[str, str]:
    """Each clause with its mark, in the order of the specification.

    While the record is not whole, a clause counts as passed only when each of its tests has ended.
    """
    outcomes: dict[str, set[str]] = {}
    for test in evidence.record.tests:
        outcomes.setdefault(test.clause, set()).add(test.outcome)
    order = (FAILED, PASSED, SKIPPED)
    marks = {
        slug: next((mark for mark in order if mark in outcomes.get(slug, ())), UNTESTED)
        for slug in specification.clauses(evidence.kata.address)
    }
    if not evidence.record.whole:
        ended = evidence.record.names - {evidence.record.started}
        for slug in {clause for test, clause in evidence.expected.items() if test not in ended}:
            if marks.get(slug) == PASSED:
                marks[slug] = UNTESTED
    return marks


def place(evidence: Evidence) -> list[str]:
    """Where a run was when it stopped: the test, and the innermost line of the kata on the stack."""
    record, kata = evidence.record, evidence.kata
    if record.started:
        seconds = time.time() - record.started_at
        spent = f", {seconds:.0f} s of them in this test" if evidence.ended.over and seconds >= 1 else ""
        lines = [f"It was in {record.started}{spent}."]
    else:
        lines = ["The tests had not begun: files were being loaded."]
    _, dumped, below = (evidence.stack or evidence.output).rpartition("Current thread")
    frames = re.findall(r'File "([^"]+)", line (\d+),? in (\S+)', below)
    for file, line, function in frames if dumped else reversed(frames):  # a traceback runs the other way
        with contextlib.suppress(OSError, ValueError):
            if Path(file).resolve() == kata.stub.resolve():
                code = _line(kata.stub, int(line))
                where = f"{kata.stub.relative_to(ROOT).as_posix()}:{line}"
                return [*lines, f"your line: {where} {function}  {code}".rstrip()]
    return lines


def slowest(record: Record) -> list[str]:
    """The tests that took longest before a run was stopped."""
    slow = sorted((test for test in record.tests if test.seconds >= 1), key=lambda test: -test.seconds)[:3]
    return [f"Before it: {', '.join(f'{test.id} {test.seconds:.0f} s' for test in slow)}."] if slow else []


def name_of_exit(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with code {code if code < 1 << 31 else hex(code)}"


def last_words(output: str, most: int = 8) -> list[str]:
    """The errors in pytest's own output, or its end, where nothing better is known."""
    lines = [line for line in output.splitlines() if line.strip()]
    return [line for line in lines if line.startswith("E  ")][-most:] or lines[-most:]


def _line(path: Path, number: int) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[number - 1].strip() if number <= len(lines) else ""
