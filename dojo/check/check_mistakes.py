"""Tests proved to bite: every mistake fails its clause and is named, every test is failed by something, mutants die.

For each kata: the unedited reference passes; each edit fits; each mistake fails a test of the clause that it breaks; on
the probe all probed mistakes are told apart, and each is named in a failure of its clause; each test is failed by a
mistake or by a drawn edit of the reference. --drawn N also draws N edits (or `all`); one that no test notices has to be
excused in the mistakes file, with a reason.

--write keeps what was found in the kata's reach file: the tests that each mistake fails, for every other test a drawn
edit that fails it, and a fingerprint of the kata's files. --changed proves in full only what has changed since; of the
rest it tries each mistake on the tests of its own clause, and each drawn edit that is written down.
"""

import argparse
import hashlib
import importlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dojo.catalog import specification
from dojo.catalog.curriculum import Kata
from dojo.catalog.mistakes import drawn_of, mistakes_file, mistakes_of, reach_of, wrong_source
from dojo.check.arguments import chosen, parser
from dojo.check.mutants import Mutant, drawn, mutants
from dojo.check.trials import Result, Trial, run
from dojo.learner.standing import hash_of
from dojo.serving.finder import CHECKS, served
from dojo.verdict.diagnosis import Named, Parts, grouped, identified, known
from dojo.verdict.results import alike, counts

LONG = 0.3
AT_ONCE = 24  # drawn edits that are tried together on the tests that no mistake fails


@dataclass
class Findings:
    """What is wrong with a kata's mistakes, and what was counted on the way."""

    kata: Kata
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mutants: int = 0
    survivors: list[Mutant] = field(default_factory=list)
    excused: int = 0


@dataclass
class Proof:
    """What a run of the mistakes has shown: the reference's result, each mistake's, and mutants for single tests."""

    kata: Kata
    reference: Result
    results: dict[str, Result]
    drawn: dict[str, Mutant] = field(default_factory=dict)

    def reach(self) -> dict[str, list[str]]:
        """The tests that each mistake fails; a test all of whose cases fail is named without its cases."""
        cases: dict[str, set[str]] = {}
        for test in self.reference.outcomes:
            cases.setdefault(test.partition("[")[0], set()).add(test)
        found = {}
        for name, result in self.results.items():
            failed, whole = set(result.failed), dict[str, None]()
            for test in self.reference.outcomes:
                stem = test.partition("[")[0]
                if test in failed:
                    whole[stem if cases[stem] <= failed else test] = None
            found[name] = list(whole)
        return found

    def unbitten(self) -> list[str]:
        """The tests that no mistake fails."""
        bitten = {test for result in self.results.values() for test in result.failed}
        return [
            test for test, how in self.reference.outcomes.items() if how != "skipped" and test not in bitten
        ]  # fmt: skip


def main(argv: list[str]) -> int:
    arguments = parser("mistakes", (__doc__ or "").splitlines()[0])
    arguments.add_argument("--drawn", type=amount, default=0, metavar="N", help="also draw N mutants a kata, or `all`")
    arguments.add_argument("--no-matrix", action="store_true", help="print the findings and not the matrices")
    arguments.add_argument("--changed", action="store_true", help="prove in full only what has changed since --write")
    arguments.add_argument("--write", action="store_true", help="write down which tests each mistake fails")
    options = arguments.parse_args(argv)
    os.environ[CHECKS] = "1"  # what a probe answers has to be what it answers while tests run
    problems = []
    for kata in chosen(options):
        alone = options.changed and not options.write and was_proved(kata)
        findings = examine(kata, matrix=not options.no_matrix and not alone, write=options.write, alone=alone)
        if options.drawn != 0 and not findings.problems:
            draw(kata, options.drawn, findings)
        report(findings)
        problems += told(kata, findings.problems)
    if problems:
        print("\nproblems:", *problems, sep="\n")  # once more, below all matrices
    return 1 if problems else 0


def amount(text: str) -> int | None:
    if text == "all":
        return None
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number and not `all`")


def examine(kata: Kata, matrix: bool, write: bool, alone: bool) -> Findings:
    """Run the kata's tests on the reference and on every mistake, and look at what came out.

    `alone`: each mistake is tried on the tests of its own clause and no others.
    """
    findings = Findings(kata)
    mistakes, source = mistakes_of(kata.address), kata.solution.read_text(encoding="utf-8")
    findings.problems += malformed(kata, mistakes, source)
    if findings.problems:
        return findings
    trials = [Trial(kata.address, {"*": "solutions"})]
    for name, mistake in mistakes.items():
        rooms = {"*": "solutions", kata.address: f"solutions:{name}"}
        trials.append(Trial(kata.address, rooms, breaks=mistake["breaks"], alone=alone))
    reference, *results = run(trials, progress(f"{kata.name}: mistakes", len(trials)))
    if reference.red or not reference.outcomes:
        return Findings(kata, [f"the reference is not green: {reference.ended or reference.failed or 'no test ran'}"])
    proof = Proof(kata, reference, dict(zip(mistakes, results, strict=True)))
    findings.notes += slow([reference, *results])
    findings.problems += spared(mistakes, proof.results)
    reach = reach_of(kata.address) if alone else proof.reach()
    findings.problems += not_named(kata, mistakes, reach, reference)
    if alone:
        findings.notes.append("unchanged since it was proved: every mistake met the tests of its own clause")
        skipped = [test for test, how in reference.outcomes.items() if how == "skipped"]  # needs what is not here
        findings.problems += replayed(kata, {t: edit for t, edit in drawn_of(kata.address).items() if t not in skipped})
    elif not findings.problems:
        findings.problems += settled(proof, write)
    if matrix:
        print_matrix(kata, reference, proof.results)
    return findings


def malformed(kata: Kata, mistakes: dict[str, Any], source: str) -> list[str]:
    """What is wrong with the mistakes file itself."""
    found, clauses = [], specification.clauses(kata.address)
    entries = mistakes_file(kata.address).get("mistake", [])
    if len(entries) > len(mistakes):
        found.append("two mistakes have the same name")
    for name, mistake in mistakes.items():
        if mistake["breaks"] not in clauses:
            found.append(f"{name} breaks {mistake['breaks']!r}, which is no clause")
        if not mistake.get("probed", True) and not mistake.get("because"):
            found.append(f"{name} is not probed, and no `because` says why")
        try:
            compile(wrong_source(source, mistake), name, "exec")
        except (ValueError, SyntaxError) as error:
            found.append(str(error))
    return found


def spared(mistakes: dict[str, Any], results: dict[str, Result]) -> list[str]:
    """Mistakes that do not fail their clause."""
    found = []
    for name, result in results.items():
        if result.ended:
            found.append(f"{name}: {result.ended}")
        elif mistakes[name]["breaks"] not in {result.clauses[test] for test in result.failed}:
            found.append(f"{name} does not fail {mistakes[name]['breaks']}; it fails {result.failed or 'nothing'}")
    return found


def slow(results: list[Result]) -> list[str]:
    """Tests that take long in every trial, and are not marked slow: a note and no problem, since machines differ."""
    least = {test: min(r.seconds.get(test, math.inf) for r in results) for test in results[0].seconds}
    return [f"{test} takes {took:.2f} s and is not marked slow" for test, took in least.items() if took > LONG]


def not_named(kata: Kata, mistakes: dict[str, Any], reach: Mapping[str, Sequence[str]], reference: Result) -> list[str]:
    """Probed mistakes that the probe does not tell apart, or that no failure of their clause would name."""
    with served({"*": "solutions"}):
        test = importlib.import_module(f"tests.{kata.part.replace('/', '.')}.test_{kata.name}")
    if not (probe := getattr(test, "probe", None)):
        return ["the test file has no probe(kata)"]
    parts = known(kata.address, probe)
    groups, found = grouped(parts), []
    clause_of = {test.partition("[")[0]: clause for test, clause in reference.clauses.items()}
    for name in (name for name in parts if name):
        if identified(kata.address, parts[name], groups) != Named(name):
            found.append(f"{name} is not told apart by the probe: {confusion(name, parts)}")
        elif mistakes[name]["breaks"] not in {clause_of.get(test.partition("[")[0]) for test in reach.get(name, ())}:
            found.append(f"{name} is named in no failure of {mistakes[name]['breaks']}")
    return found


def confusion(name: str, parts: dict[str, Parts]) -> str:
    """Why a mistake is not told apart: on which parts of the probe it gives what others give."""
    told = []
    for part, seen in parts[name].items():
        others = [other for other, theirs in parts.items() if other != name and alike(seen, theirs.get(part))]
        if not counts(seen):
            told.append(f"{part!r} is an error or nan, which proves nothing")
        elif "" not in others:
            told.append(f"on {part!r} it gives what {' and '.join(others) or 'no other'} gives")
    return "; ".join(told) or "on every part it gives what the reference gives"


def settled(proof: Proof, write: bool) -> list[str]:
    """Write down what each mistake fails, and a drawn edit for every other test; or compare with what is written."""
    kata, file = proof.kata, proof.kata.reach
    unbitten = proof.unbitten()
    if not write:
        written = drawn_of(kata.address)
        found = proof.reach()
        if list(reach_of(kata.address).items()) != list(found.items()) or not set(unbitten) <= written.keys():
            return [f"{file.name} is not what the mistakes do: python -m dojo.check mistakes --write {kata.name}"]
        return replayed(kata, {test: written[test] for test in unbitten})
    edits_found = biting(kata, unbitten, [*proof.reference.outcomes])
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(tests)}" for name, tests in proof.reach().items())
    edits = ",\n".join(f"    {json.dumps(test)}: {json.dumps([m.before, m.after])}" for test, m in edits_found.items())
    text = f'{{\n  "proved": "{fingerprint(kata)}",\n  "reach": {{\n{lines}\n  }},\n  "drawn": {{\n{edits}\n  }}\n}}\n'
    file.write_text(text, encoding="utf-8", newline="\n")
    reach_of.cache_clear()
    drawn_of.cache_clear()
    return [f"no mistake and no drawn edit fails {test}" for test in unbitten if test not in edits_found]


def biting(kata: Kata, tests: Sequence[str], every: Sequence[str]) -> dict[str, Mutant]:
    """For each of the tests a drawn edit of the reference that fails it, as far as there is one.

    Of those that are tried together, it is the one that fails the fewest tests. One that fails more than half of
    `every` test of the kata proves nothing.
    """
    found: dict[str, Mutant] = {}
    waiting = drawn(kata.solution.read_text(encoding="utf-8")) if tests else []
    waiting = waiting[::7] + [mutant for place, mutant in enumerate(waiting) if place % 7]  # far apart first
    while waiting and len(found) < len(tests):
        tried, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
        left = [test for test in tests if test not in found]
        failed = [{*result.failed} & {*left} for result in run_mutants(kata, tried, only=left)]
        for mutant, bitten in sorted(zip(tried, failed, strict=True), key=lambda one: len(one[1])):
            if (new := bitten - found.keys()) and not coarse(kata, mutant, every):
                found |= dict.fromkeys(new, mutant)
    return {test: found[test] for test in tests if test in found}


def coarse(kata: Kata, mutant: Mutant, every: Sequence[str]) -> bool:
    """Whether a drawn edit fails more than half of the tests of a kata, or lets them come to no end."""
    (result,) = run_mutants(kata, [mutant], only=every)
    return bool(result.ended) or 2 * len(result.failed) > len(every)


def replayed(kata: Kata, written: Mapping[str, Sequence[str]]) -> list[str]:
    """Tests that the drawn edit written down for them no longer fails."""
    if not written:
        return []
    edits = {tuple(edit) for edit in written.values()}
    wanted = [m for m in mutants(kata.solution.read_text(encoding="utf-8")) if (m.before, m.after) in edits]
    failed: dict[tuple[str, str], set[str]] = {}
    for mutant, result in zip(wanted, run_mutants(kata, wanted, only=list(written)), strict=True):
        failed.setdefault((mutant.before, mutant.after), set()).update(result.failed)
    return [
        f"{test} is no longer failed by `{after}`: python -m dojo.check mistakes --write {kata.name}"
        for test, (before, after) in written.items()
        if test not in failed.get((before, after), ())
    ]


def was_proved(kata: Kata) -> bool:
    """Whether what is written down about a kata was found with the files as they are."""
    file = kata.reach
    return file.is_file() and json.loads(file.read_text(encoding="utf-8"))["proved"] == fingerprint(kata)


def fingerprint(kata: Kata) -> str:
    """The hash of the kata's own files. Those of other katas are left out: they change by other people's hands."""
    return hashlib.sha256("".join(map(hash_of, (kata.tests, kata.mistakes, kata.solution))).encode()).hexdigest()


def run_mutants(kata: Kata, found: Sequence[Mutant], only: Sequence[str] = ()) -> list[Result]:
    """What the kata's tests, or only some of them, say of drawn mutants. Without `only`, each stops at a failure."""
    with tempfile.TemporaryDirectory() as folder:
        trials = []
        for index, mutant in enumerate(found):
            file = Path(folder) / f"{index}.py"
            file.write_text(mutant.source, encoding="utf-8", newline="\n")
            rooms = {"*": "solutions", kata.address: f"file:{file}"}
            trials.append(Trial(kata.address, rooms, brief=not only, only=list(only)))
        return run(trials, progress(f"{kata.name}: mutants", len(trials)))


def draw(kata: Kata, most: int | None, findings: Findings) -> None:
    """Run the kata's tests on drawn mutants of the reference."""
    found = drawn(kata.solution.read_text(encoding="utf-8"), most)
    results = run_mutants(kata, found)
    excuses = {(excuse["line"], excuse["becomes"]) for excuse in mistakes_file(kata.address).get("excused", [])}
    alive = [mutant for mutant, result in zip(found, results, strict=True) if not result.red]
    findings.mutants = len(found)
    findings.survivors = [mutant for mutant in alive if (mutant.before, mutant.after) not in excuses]
    findings.excused = len(alive) - len(findings.survivors)
    findings.problems += [f"no test notices {mutant}" for mutant in findings.survivors]
    if most is None:
        lived = {(mutant.before, mutant.after) for mutant in alive}
        findings.problems += [f"the excuse for `{after}` excuses nothing" for _, after in sorted(excuses - lived)]


def print_matrix(kata: Kata, reference: Result, results: dict[str, Result]) -> None:
    """A row a test, a column a mistake; a letter a column, explained below."""
    width = max(map(len, reference.outcomes))
    letters = {name: label(index) for index, name in enumerate(results)}
    print(f"{kata.address}: a row a test, a column a mistake, # where the mistake fails the test\n")
    print(f"{'':{width}}  {''.join(letter[0] for letter in letters.values())}")
    print(f"{'':{width}}  {''.join(letter[1] for letter in letters.values())}")
    for test in reference.outcomes:
        marks = "".join("#" if result.outcomes.get(test) == "failed" else "." for result in results.values())
        print(f"{test:{width}}  {marks}")
    print()
    for name, letter in letters.items():
        mistake = mistakes_of(kata.address)[name]
        print(f"  {letter}  {name} breaks {mistake['breaks']}: {mistake['says']}")
    print()


def label(index: int) -> str:
    """a, b, ... z, then aa, ab, ..., always two characters wide."""
    high, low = divmod(index, 26)
    return (" " if high == 0 else chr(ord("a") + high - 1)) + chr(ord("a") + low)


def report(findings: Findings) -> None:
    kata = findings.kata
    for line in told(kata, findings.notes + findings.problems):
        print(line)
    counted = f"{len(mistakes_of(kata.address))} mistakes"
    if findings.mutants:
        killed = findings.mutants - len(findings.survivors) - findings.excused
        counted += f", {findings.mutants} mutants: {killed} killed, {findings.excused} excused, "
        counted += f"{len(findings.survivors)} alive"
    print(f"{kata.address}: {counted}, {len(findings.problems)} problems", flush=True)


def told(kata: Kata, lines: list[str]) -> list[str]:
    return [f"{kata.address}: {line}" for line in lines]


def progress(what: str, total: int) -> Any:
    """Tell on a terminal how far the trials are."""

    def tell(done: int) -> None:
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            print(f"\r{what} {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return tell
