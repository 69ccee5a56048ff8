"""Tests proved to bite: every mistake fails its clause, every test is failed by a mistake, drawn mutants die.

For each kata: the unedited reference passes; each edit fits; each mistake fails a test of the clause it breaks; no
clause and no test is without a mistake; on the probe all probed mistakes are told apart, and each is named in a failure
of its clause. --drawn N also draws N edits of the reference (or `all`); one that no test notices has to be excused in
the mistakes file, with a reason.

--write keeps what was found beside the tests, with a fingerprint of the files that it was found with. --changed proves
in full what has changed since, and tries every other mistake on the tests of its own clause alone: nothing else can
have come of the same files.
"""

import argparse
import hashlib
import importlib
import json
import math
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dojo.catalog import specification
from dojo.catalog.curriculum import Kata, prerequisites
from dojo.catalog.mistakes import mistakes_file, mistakes_of, reach_file, reach_of, wrong_source
from dojo.check.arguments import chosen, parser
from dojo.check.mutants import Mutant, drawn
from dojo.check.trials import Result, Trial, run
from dojo.learner.standing import hash_of
from dojo.serving.finder import CHECKS, served
from dojo.verdict.diagnosis import Parts, alike, grouped, known, named, sentence

LONG = 0.3


@dataclass
class Findings:
    """What is wrong with a kata's mistakes, and what was counted on the way."""

    kata: Kata
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mutants: int = 0
    survivors: list[Mutant] = field(default_factory=list)
    excused: int = 0


def main(argv: list[str]) -> int:
    arguments = parser("mistakes", (__doc__ or "").splitlines()[0])
    arguments.add_argument("--drawn", type=amount, default=0, metavar="N", help="also draw N mutants a kata, or `all`")
    arguments.add_argument("--no-matrix", action="store_true", help="print the findings and not the matrices")
    arguments.add_argument("--changed", action="store_true", help="prove in full only what has changed since --write")
    arguments.add_argument("--write", action="store_true", help="write down which clauses each mistake fails")
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
    raise argparse.ArgumentTypeError(f"{text!r} is no number and not `all`")


def examine(kata: Kata, matrix: bool, write: bool, alone: bool) -> Findings:
    """Run the kata's tests on the reference and on every mistake, and look at what came out.

    `alone`, each mistake meets the tests of its own clause and no others.
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
    findings.notes += slow([reference, *results])
    by_name = dict(zip(mistakes, results, strict=True))
    findings.problems += spared(mistakes, by_name) + not_named(kata, mistakes, by_name)
    if alone:
        findings.notes.append("unchanged since it was proved: every mistake met the tests of its own clause")
    else:
        findings.problems += unbitten(reference, by_name)
        if not findings.problems:
            findings.problems += reach(kata, by_name, write)
    if matrix:
        print_matrix(kata, reference, by_name)
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
    found += [f"no mistake breaks the clause {c}" for c in clauses if c not in {m["breaks"] for m in mistakes.values()}]
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


def unbitten(reference: Result, results: dict[str, Result]) -> list[str]:
    """Tests that no mistake fails."""
    bitten = {test for result in results.values() for test in result.failed}
    return [
        f"no mistake fails {test}"
        for test, how in reference.outcomes.items()
        if how != "skipped" and test not in bitten
    ]


def slow(results: list[Result]) -> list[str]:
    """Tests that take long in every trial, and are not marked slow: a note and no problem, since machines differ."""
    least = {test: min(r.seconds.get(test, math.inf) for r in results) for test in results[0].seconds}
    return [f"{test} takes {took:.2f} s and is not marked slow" for test, took in least.items() if took > LONG]


def not_named(kata: Kata, mistakes: dict[str, Any], results: dict[str, Result]) -> list[str]:
    """Probed mistakes that the probe does not tell apart, or that no failure of their clause names."""
    with served({"*": "solutions"}):
        test = importlib.import_module(f"tests.{kata.part.replace('/', '.')}.test_{kata.name}")
    if not (probe := getattr(test, "probe", None)):
        return ["the test file has no probe(kata)"]
    parts = known(kata.address, probe)
    groups, found = grouped(parts), []
    for name in (name for name in parts if name):
        if named(parts[name], groups) != [name]:
            found.append(f"{name} is not told apart by the probe: {confusion(name, parts)}")
        elif not any(
            sentence(kata.address, name) in lines
            for test, lines in results[name].told.items()
            if results[name].clauses[test] == mistakes[name]["breaks"]
        ):
            found.append(f"{name} is named in no failure of {mistakes[name]['breaks']}")
    return found


def confusion(name: str, parts: dict[str, Parts]) -> str:
    """Why a mistake is not told apart: on which parts of the probe it gives what others give."""
    told = []
    for part, seen in parts[name].items():
        others = [other for other, theirs in parts.items() if other != name and alike(seen, theirs.get(part))]
        if "" not in others:
            told.append(f"on {part!r} it gives what {' and '.join(others) or 'no other'} gives")
    return "; ".join(told) or "on every part it gives what the reference gives"


def reach(kata: Kata, results: dict[str, Result], write: bool) -> list[str]:
    """Write down, or compare with what is written, the clauses that each mistake fails: a failure tells no other."""
    order = list(specification.clauses(kata.address))
    found = {name: sorted({r.clauses[test] for test in r.failed}, key=order.index) for name, r in results.items()}
    file = reach_file(kata.address)
    if write:
        lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(found[name])}" for name in found)
        text = f'{{\n  "proved": "{fingerprint(kata)}",\n  "reach": {{\n{lines}\n  }}\n}}\n'
        file.write_text(text, encoding="utf-8", newline="\n")
    elif list(reach_of(kata.address).items()) != list(found.items()):
        return [f"{file.name} is not what the mistakes do: python -m dojo.check mistakes --write {kata.name}"]
    return []


def was_proved(kata: Kata) -> bool:
    """Whether what is written down about a kata was found with the files as they are."""
    file = reach_file(kata.address)
    return file.is_file() and json.loads(file.read_text(encoding="utf-8"))["proved"] == fingerprint(kata)


def fingerprint(kata: Kata) -> str:
    """The hash of all that decides which tests a mistake fails: the tests, the mistakes, and the solutions they use."""
    files = [kata.tests, kata.mistakes, kata.solution, *(needed.solution for needed in prerequisites(kata))]
    return hashlib.sha256("".join(map(hash_of, files)).encode()).hexdigest()


def draw(kata: Kata, most: int | None, findings: Findings) -> None:
    """Run the kata's tests on drawn mutants of the reference."""
    found = drawn(kata.solution.read_text(encoding="utf-8"), most)
    with tempfile.TemporaryDirectory() as folder:
        trials = []
        for index, mutant in enumerate(found):
            file = Path(folder) / f"{index}.py"
            file.write_text(mutant.source, encoding="utf-8", newline="\n")
            trials.append(Trial(kata.address, {"*": "solutions", kata.address: f"file:{file}"}, brief=True))
        results = run(trials, progress(f"{kata.name}: mutants", len(trials)))
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
