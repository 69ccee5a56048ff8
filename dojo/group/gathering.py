"""The reports of a folder as one table: by kata, where many are stuck, and what to discuss next."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from dojo.catalog import specification
from dojo.catalog.curriculum import Kata, katas
from dojo.catalog.hints import questions
from dojo.group.report import BEGUN, WAITING, BadReport, Report, read, tidy
from dojo.learner.standing import FAILED
from dojo.system.files import read_regular

MOST_FILES = 1000
MOST_STUCK = 5


@dataclass
class Gathered:
    """The reports that were read, the newest of each name, and the files that were not, with the reason."""

    reports: list[Report] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One kata: how many have it green, in progress and not started, and the names that were given."""

    kata: Kata
    green: int
    in_progress: int
    waiting: int
    names_green: tuple[str, ...]
    names_in_progress: tuple[str, ...]


@dataclass(frozen=True)
class Stuck:
    """The clause of a kata that most fail, so many of those who have begun it, and the others that several fail."""

    kata: Kata
    slug: str
    sentence: str
    failed: int
    begun: int
    others: tuple[str, ...]


def gathered(folder: Path) -> Gathered:
    """Every report in a folder and the folders in it. Any other file is skipped, and named."""
    found, seen = Gathered(), dict[str, str]()
    newest: dict[str, tuple[float, Report, str]] = {}
    for path in _files(folder, found):
        shown = tidy(path.relative_to(folder).as_posix())
        try:
            report = read(path)
            content = hashlib.sha256(read_regular(path)).hexdigest()
        except (BadReport, OSError) as error:
            found.skipped.append((shown, str(error)))
            continue
        if content in seen:
            found.skipped.append((shown, f"it is the same as {seen[content]}"))
            continue
        seen[content] = shown
        if not report.name:
            found.reports.append(report)
            continue
        one = report.made, report, shown
        older, newer = sorted((newest.get(report.name, one), one), key=lambda each: each[0])
        if older is not newer:
            found.skipped.append((older[2], f"{report.name} has a newer report: {newer[2]}"))
        newest[report.name] = newer
    found.reports += [report for _, report, _ in newest.values()]
    return found


def _files(folder: Path, found: Gathered) -> list[Path]:
    paths: list[Path] = []
    for here, folders, files in os.walk(folder):
        folders.sort()
        for name, why in [
            *((name, "it is a link to a folder") for name in folders if os.path.islink(os.path.join(here, name))),
            *((name, "unpack it: a report is a .json file") for name in sorted(files) if name.lower().endswith(".zip")),
        ]:
            found.skipped.append((tidy(Path(here, name).relative_to(folder).as_posix()), why))
        paths += [Path(here, name) for name in sorted(files) if name.lower().endswith(".json")]
        if len(paths) > MOST_FILES:
            found.skipped.append((tidy(folder.name), f"it has more than {MOST_FILES} files: the rest is not read"))
            break
    return paths[:MOST_FILES]


def rows(reports: list[Report]) -> list[Row]:
    """A row for each kata that anybody has begun, in the order of the curriculum."""
    found = []
    for kata in katas():
        states = [(report.states.get(kata.address, WAITING), report.name) for report in reports]
        green = [name for state, name in states if state not in (BEGUN, WAITING)]
        in_progress = [name for state, name in states if state == BEGUN]
        if green or in_progress:
            waiting = len(states) - len(green) - len(in_progress)
            names = [tuple(sorted(filter(None, names))) for names in (green, in_progress)]
            found.append(Row(kata, len(green), len(in_progress), waiting, *names))
    return found


def stuck(reports: list[Report]) -> list[Stuck]:
    """The katas with a clause of the core that two or more fail now, those that most fail first.

    Of clauses that equally many fail the first counts: one builds in their order.
    """
    found = []
    for kata in katas():
        marks = [report.clauses.get(kata.address, {}) for report in reports]
        begun = sum(report.states.get(kata.address, WAITING) != WAITING for report in reports)
        core = specification.core_clauses(kata.address)
        failed = {slug: sum(of_one.get(slug) == FAILED for of_one in marks) for slug in core}
        several = [slug for slug in core if failed[slug] >= 2]
        if several:
            worst = max(several, key=failed.__getitem__)
            others = tuple(slug for slug in several if slug != worst)
            found.append(Stuck(kata, worst, core[worst], failed[worst], begun, others))
    return sorted(found, key=lambda one: -one.failed)[:MOST_STUCK]


def to_discuss(reports: list[Report]) -> list[tuple[Kata, str, list[str]]]:
    """The katas to talk about next, each with the reason and the questions of its page.

    First the one whose clause most fail, then the last one that at least half of the group has green.
    """
    found: list[tuple[Kata, str]] = []
    if hard := stuck(reports):
        found.append((hard[0].kata, f"{hard[0].failed} of {hard[0].begun} fail its clause {hard[0].slug}"))
    done = [row for row in rows(reports) if 2 * row.green >= len(reports)]
    if done and done[-1].kata not in [kata for kata, _ in found]:
        found.append((done[-1].kata, f"{done[-1].green} of {len(reports)} have it green"))
    return [(kata, why, questions(kata)) for kata, why in found]
