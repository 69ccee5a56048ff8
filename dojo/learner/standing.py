"""Where a learner stands: the state of each kata, from its files and from the last verdict on it."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.catalog.curriculum import Kata, katas, prerequisites, short
from dojo.learner import store
from dojo.system.files import read_regular

NOT_STARTED, STARTED, EDITED, MISSING = "not started", "in progress", "edited", "missing"
DONE, COMPLETE = "green", "complete"
UNDER_WAY = (STARTED, EDITED, MISSING)
FINISHED = (DONE, COMPLETE)
GREEN, RED, NONE = "green", "red", "none"
PASSED, FAILED, SKIPPED, UNTESTED = "passed", "failed", "skipped", "untested"

# What the cached facts about a reference depend on, besides the reference itself.
FRAME = (ROOT / "dojo" / "catalog" / "stubs.py", ROOT / "dojo" / "catalog" / "specification.py")


@dataclass(frozen=True)
class Standing:
    """Where a kata stands: so many of the core's and of the further clauses held in the last verdict.

    judged: whether that verdict is about the file as it is now. saved: when the file was saved, in nanoseconds since
    1970; 0 where there is none.
    """

    kata: Kata
    state: str
    held: int
    core: int
    further_held: int
    further: int
    judged: bool = False
    saved: int = 0


def hash_of(path: Path) -> str:
    """The hash of a file, whatever its line ends; empty where there is no file that can be read."""
    try:
        content = read_regular(path)
    except OSError:
        return ""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def last_verdict(kata: Kata) -> dict[str, Any]:
    """What the last verdict on a kata was; an empty dict where there was none, or none of the form expected."""
    verdict = store.read(kata.address, "verdict")
    clauses = verdict.get("clauses")
    if not isinstance(clauses, dict) or verdict.get("outcome") not in (GREEN, RED, NONE):
        return {}
    marks = (PASSED, FAILED, SKIPPED, UNTESTED)
    return verdict if all(mark in marks for mark in clauses.values()) else {}


def fresh(kata: Kata, verdict: dict[str, Any]) -> bool:
    """Whether a verdict is about the kata and the tests as they are now."""
    return verdict.get("source") == hash_of(kata.stub) != "" and verdict.get("tests") == hash_of(kata.tests)


def standing(kata: Kata) -> Standing:
    """Where a kata stands."""
    return standings((kata,))[0]


def standings(chosen: tuple[Kata, ...] | None = None) -> list[Standing]:
    """Where every kata stands, in order."""
    facts = _facts(katas() if chosen is None else chosen)
    return [_standing(kata, *of_kata) for kata, of_kata in facts.items()]


def _standing(kata: Kata, stub: str, core: Sequence[str], further: Sequence[str]) -> Standing:
    verdict, source = last_verdict(kata), hash_of(kata.stub)
    judged = bool(verdict) and fresh(kata, verdict)
    if not source:
        state = EDITED if os.path.lexists(kata.stub) else MISSING
    elif judged and verdict["outcome"] == GREEN:
        state = COMPLETE if verdict.get("complete") is True and further else DONE
    elif source == stub:
        state, verdict = NOT_STARTED, {}
    else:
        state = EDITED if verdict and not judged else STARTED
    passed = {slug for slug, mark in verdict.get("clauses", {}).items() if mark == PASSED}
    held, further_held = len(passed & {*core}), len(passed & {*further})
    saved = max([0, *_stamp(kata.stub)[1:]])
    return Standing(kata, state, held, len(core), further_held, len(further), judged, saved)


def next_of(found: list[Standing]) -> Standing | None:
    """The kata to continue with; None when all are green.

    Of those under way it is the file that was saved last, those first that differ from their last verdict. Or else it
    is the first kata that is not started, those of the short route first.
    """
    under_way = [one for one in found if one.state in UNDER_WAY]
    under_way.sort(key=lambda one: (one.state == MISSING, one.judged, -one.saved))
    waiting = sorted((one for one in found if one.state == NOT_STARTED), key=lambda one: not one.kata.route)
    return next(iter(under_way + waiting), None)


def command_for(one: Standing) -> str:
    """What to type next for a kata."""
    verb = {NOT_STARTED: "spec", MISSING: "reset"}.get(one.state, "test")
    return f"dojo {verb} {short(one.kata)}"


def is_done(kata: Kata) -> bool:
    return standing(kata).state in FINISHED


def unfinished(kata: Kata) -> tuple[str, ...]:
    """The prerequisites of a kata that are not done."""
    return tuple(other.address for other in prerequisites(kata) if not is_done(other))


def stub_text(kata: Kata) -> str:
    """The stub of a kata, derived from its reference."""
    from dojo.catalog.stubs import stub_of

    return stub_of(kata.solution.read_text(encoding="utf-8"))


Facts = tuple[str, Sequence[str], Sequence[str]]  # the hash of a stub, the slugs of the core, those of the further


def _facts(chosen: tuple[Kata, ...]) -> dict[Kata, Facts]:
    """What a reference says about each kata, kept in .dojo/ because parsing thirty files is slow."""
    frame = [_stamp(path) for path in FRAME]
    cache = store.read("", "reference")
    known = cache.get("katas") if cache.get("frame") == frame else None
    known = dict(known) if isinstance(known, dict) else {}
    found: dict[Kata, Facts] = {}
    changed = False
    for kata in chosen:
        stamp = _stamp(kata.solution)
        match known.get(kata.address):
            case {"stamp": was, "stub": str(stub), "core": list(core), "further": list(further)} if (
                was == stamp and all(isinstance(slug, str) for slug in (*core, *further))
            ):
                found[kata] = stub, core, further
            case _:
                found[kata], changed = _derive(kata), True
                known[kata.address] = {"stamp": stamp} | dict(
                    zip(("stub", "core", "further"), found[kata], strict=True)
                )
    if changed:
        with contextlib.suppress(store.CannotSave):  # the next call works it out again
            store.write("", "reference", {"frame": frame, "katas": known})
    return found


def _derive(kata: Kata) -> Facts:
    from dojo.catalog import specification

    try:
        stub = hashlib.sha256(stub_text(kata).encode()).hexdigest()
        return stub, list(specification.core_clauses(kata.address)), list(specification.further_clauses(kata.address))
    except (OSError, ValueError, SyntaxError):  # a damaged reference is doctor's business and costs the map nothing
        return "", [], []


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]
