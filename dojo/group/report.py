"""A report: the file in which a learner shares where they stand. Made here, and read here as if a stranger had made it.

It holds states and marks, the version, the time, and a name if one was given; no code, no paths, no account.
"""

import json
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dojo.catalog import specification
from dojo.catalog.curriculum import katas
from dojo.errors import DojoError
from dojo.learner.standing import (
    COMPLETE,
    DONE,
    FAILED,
    NOT_STARTED,
    PASSED,
    SKIPPED,
    UNTESTED,
    Standing,
    last_verdict,
)
from dojo.system import packages
from dojo.system.files import read_regular

SCHEMA = "llm-katas/report/1"
ABOUT = (
    "Where one learner stands: the state of each kata and the marks of its clauses. It holds no code, no paths and no "
    "account; a name only if one was given. Read it before you share it."
)
# The words of the schema; those that the map shows may change.
GREEN, BEGUN, WAITING = "green", "in progress", "not started"
STATES = {COMPLETE: "complete", DONE: GREEN, NOT_STARTED: WAITING}
MARKS = (PASSED, FAILED, SKIPPED, UNTESTED)
LONGEST_NAME = 40


class BadReport(DojoError):
    """A file that is not a report. The message says why."""


@dataclass(frozen=True)
class Report:
    """What one learner shares: a name or "", the time, and by address the state of each kata and its clauses' marks."""

    name: str
    made: float
    states: dict[str, str]
    clauses: dict[str, dict[str, str]]


def made_of(found: Sequence[Standing], known: dict[str, Any], name: str = "") -> dict[str, Any]:
    """A report. known: the map for scripts, to which the marks of the clauses are added."""
    clauses = {one.kata.address: last_verdict(one.kata).get("clauses", {}) for one in found if one.state != NOT_STARTED}
    listed = [
        entry | {"state": STATES.get(entry["state"], BEGUN), "clauses": clauses.get(entry["kata"], {})}
        for entry in known["katas"]
    ]
    head = {"schema": SCHEMA, "about": ABOUT, "version": packages.project().get("version", ""), "made": time.time()}
    return head | ({"name": tidy(name)} if tidy(name) else {}) | known | {"katas": listed}


def read(path: Path) -> Report:
    """The report in a file, with the katas and clauses that this version knows. Raises BadReport."""
    try:
        data = json.loads(read_regular(path))
    except OSError as error:
        raise BadReport(error.strerror or f"it{str(error).removeprefix(path.name)}") from None
    except (ValueError, RecursionError):
        raise BadReport("it is not JSON") from None
    if not isinstance(data, dict) or not isinstance(schema := data.get("schema"), str):
        raise BadReport("it is not a report: `dojo report --json` makes one")
    if schema != SCHEMA:
        raise BadReport(f"its schema is {tidy(schema)!r}, and this dojo reads {SCHEMA!r}")
    name, made, entries = data.get("name", ""), _time(data.get("made")), data.get("katas")
    if not isinstance(name, str) or made is None or not isinstance(entries, list):
        raise BadReport("`name`, `made` or `katas` does not match the schema")
    states, clauses = {}, {}
    for entry in entries:
        match entry:
            case {"kata": str(address), "state": str(state), "clauses": dict(marks)} if state in (
                *STATES.values(),
                BEGUN,
            ):
                states[address], clauses[address] = state, marks
            case _:
                raise BadReport("a kata in it has no `state` or no `clauses`")
    known = {kata.address: specification.clauses(kata.address) for kata in katas() if kata.address in states}
    if states and not known:
        raise BadReport("it has no kata that this dojo knows")
    kept = {at: {slug: clauses[at][slug] for slug in known[at] if clauses[at].get(slug) in MARKS} for at in known}
    return Report(tidy(name), made, {at: states[at] for at in known}, kept)


def tidy(text: str) -> str:
    """A name in one short line, without anything that moves or turns what a terminal shows."""
    shown = "".join(sign if unicodedata.category(sign)[0] not in "CZ" else " " for sign in text[: 10 * LONGEST_NAME])
    return " ".join(shown.split())[:LONGEST_NAME]


def _time(value: Any) -> float | None:
    """A time in seconds; None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e12 else None
