"""Test a kata in a process of its own, and come back with a verdict."""

import importlib.util
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from dojo import ROOT
from dojo.catalog import specification
from dojo.catalog.curriculum import Kata
from dojo.learner.standing import FAILED, GREEN, NONE, RED, UNTESTED, hash_of
from dojo.verdict.command import CORE, FURTHER, OFFER, Request, expected_tests, skip_reasons
from dojo.verdict.diagnosis import Named
from dojo.verdict.judging import Evidence, judge, judge_record, marks_of
from dojo.verdict.record import Outcome, Record, read
from dojo.verdict.supervision import Ended, Limits, Prepared, prepare, supervise


@dataclass
class Verdict:
    """What a run showed. `outcome` is that of the core, or of everything where everything was asked for.

    why: in lines, why there is no verdict, or why it is red though no test failed. complete: whether the further
    clauses hold as well; None where that was not tested. named: the known mistakes; None until they were looked for.
    begun: whether the tests were loaded; where they were not, nothing is known about the kata.
    clause: the only one that was tested; empty for all.
    """

    kata: Kata
    tiers: str = CORE
    outcome: str = NONE
    begun: bool = False
    why: list[str] = field(default_factory=list)
    tests: list[Outcome] = field(default_factory=list)
    clauses: dict[str, str] = field(default_factory=dict)
    clause: str = ""
    complete: bool | None = None
    named: Named | None = None
    borrowed: tuple[str, ...] = ()
    seconds: float = 0.0
    output: str = ""
    source: str = ""
    tests_hash: str = ""

    @property
    def wanted(self) -> dict[str, str]:
        """The marks of the clauses that decide the outcome."""
        return self.core | self.further if self.tiers == FURTHER else self.core

    @property
    def core(self) -> dict[str, str]:
        """The marks of the core's clauses, or of the one that was tested."""
        slugs = [self.clause] if self.clause else specification.core_clauses(self.kata.address)
        return {slug: self.clauses.get(slug, UNTESTED) for slug in slugs}

    @property
    def further(self) -> dict[str, str]:
        """The marks of the further clauses."""
        slugs = [] if self.clause else specification.further_clauses(self.kata.address)
        return {slug: self.clauses.get(slug, UNTESTED) for slug in slugs}

    @property
    def failures(self) -> list[Outcome]:
        """The failed tests of the clauses that decide, in the order of the specification."""
        order = list(self.clauses)
        aside = {} if self.tiers == FURTHER else self.further
        failed = [test for test in self.tests if test.outcome == FAILED and test.clause not in aside]
        return sorted(failed, key=lambda test: order.index(test.clause) if test.clause in order else len(order))

    def as_progress(self) -> dict[str, Any]:
        """The part of the verdict that is kept."""
        names = ("outcome", "why", "clauses", "complete", "source", "seconds")
        more = {"tests": self.tests_hash, "borrowed": list(self.borrowed), "at": time.time()}
        return {name: getattr(self, name) for name in names} | more


class Watcher:
    """Is notified while a run goes on. Override the methods that you need."""

    def counted(self, done: int, of: int) -> None:
        """So many tests of how many have their outcome."""

    def marked(self, record: Record) -> None:
        """The record so far."""

    def cancelled(self) -> bool:
        """Whether the run should end at once, without a verdict."""
        return False

    def judged(self, verdict: Verdict) -> None:
        """The verdict is known; a diagnosis, or the further clauses, are still being worked on."""


def run(
    request: Request, limits: Limits | None = None, watcher: Watcher | None = None, spare: Prepared | None = None
) -> Verdict:
    """Test a kata, in a process that was prepared or in a new one. Raises Cancelled, if the watcher says so.

    Whatever ends this function (KeyboardInterrupt among it) ends every process of the run first.
    """
    for package in ("psutil", "pytest"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    kata, limits, watcher = request.kata, limits or Limits(), watcher or Watcher()
    verdict = Verdict(kata, request.tiers, borrowed=request.borrowed, clause=request.clause)
    verdict.source, verdict.tests_hash = hash_of(kata.stub), hash_of(kata.tests)
    try:
        prepared = spare or prepare(request, limits)
    except OSError as error:
        verdict.why = [f"there is no room for temporary files: {error.strerror or error}"]
        return verdict
    try:
        try:  # while the process imports torch
            expected, reasons = expected_tests(kata), skip_reasons(kata)
            expected = {test: slug for test, slug in expected.items() if request.clause in ("", slug)}
        except (OSError, SyntaxError, ValueError) as error:
            tests = kata.tests.relative_to(ROOT).as_posix()
            verdict.why = [f"{tests} cannot be read: {error}", "`dojo doctor` tells more"]
            return verdict
        running = _Run(request, verdict, expected, reasons, watcher, prepared)
        ended = supervise(prepared, limits, running.look, watcher.cancelled)
        output, stack = prepared.output_until_now(), prepared.stack()
        running.end(Evidence(kata, expected, running.recorded(), ended, output, stack, reasons))
    finally:
        prepared.close()
    return verdict


@dataclass
class _Run:
    """One run: what it has shown so far goes into the verdict."""

    request: Request
    verdict: Verdict
    expected: dict[str, str]
    reasons: tuple[str, ...]
    watcher: Watcher
    prepared: Prepared
    begun: float = field(default_factory=time.monotonic)
    stands: bool = False  # whether the outcome is known, whatever the process does after that

    @property
    def wanted(self) -> Collection[str]:
        """The clauses that decide the outcome."""
        return self.verdict.wanted

    def recorded(self) -> Record:
        return read(self.prepared.recorded(), self.prepared.secret)

    def look(self) -> None:
        """Read what was recorded so far, and tell the verdict as soon as it is known."""
        record = self.recorded()
        self.watcher.counted(len(record.names), len(self.expected))
        self.watcher.marked(record)
        if not self.stands and self.is_decided(record):
            ended = Ended(0, "", time.monotonic() - self.begun)
            evidence = Evidence(self.verdict.kata, self.expected, record, ended, reasons=self.reasons)
            self.fill_in(evidence)
            self.verdict.outcome, self.verdict.why = judge_record(evidence, self.wanted)
            self.stands = True
            self.watcher.judged(self.verdict)

    def is_decided(self, record: Record) -> bool:
        """Red is decided when the last test has ended, a green core when the first further test begins."""
        if record.whole:
            return any(test.outcome == FAILED for test in record.tests)
        further = specification.further_clauses(self.request.kata.address)
        return self.request.tiers == OFFER and self.expected.get(record.started) in further

    def end(self, evidence: Evidence) -> None:
        """Judge what is left when the process has ended."""
        if not self.stands:
            self.verdict.outcome, self.verdict.why = judge(evidence, self.wanted)
            self.verdict.seconds = evidence.ended.seconds
        self.fill_in(evidence)
        self.verdict.output, self.verdict.named = evidence.output, evidence.record.named
        if self.request.tiers != CORE and self.verdict.outcome in (GREEN, RED):
            further = specification.further_clauses(self.verdict.kata.address)
            rest = judge(evidence, further)[0] if further else GREEN
            undecided = self.verdict.outcome == GREEN and rest == NONE
            self.verdict.complete = None if undecided else self.verdict.outcome == rest == GREEN

    def fill_in(self, evidence: Evidence) -> None:
        self.verdict.begun = evidence.record.begun
        self.verdict.tests, self.verdict.clauses = evidence.record.tests, marks_of(evidence)
        self.verdict.seconds = self.verdict.seconds or evidence.ended.seconds
