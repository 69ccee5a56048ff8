"""Which files a run is made of: the learner's own katas wherever they are green, the reference for the rest."""

import importlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any

from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.errors import DojoError
from dojo.learner.standing import (
    DONE,
    EDITED,
    FINISHED,
    GREEN,
    MISSING,
    NOT_STARTED,
    PASSED,
    SKIPPED,
    STARTED,
    UNTESTED,
    hash_of,
    last_verdict,
    standing,
    standings,
    unfinished,
)
from dojo.serving import finder
from dojo.serving.light_optimizers import lighten
from dojo.verdict import memory
from dojo.verdict.command import OFFER, Request
from dojo.verdict.run import Verdict, run

SOLUTIONS = "solutions"


class CannotTest(DojoError):
    """The tests of a kata could not begin."""


@dataclass
class Pieces:
    """The katas that a run needs, in the list's order: own ones, borrowed ones, and own ones that are not right."""

    own: list[Kata] = field(default_factory=list)
    borrowed: list[Kata] = field(default_factory=list)
    wrong: dict[Kata, str] = field(default_factory=dict)
    lacking: dict[Kata, list[str]] = field(default_factory=dict)  # green ones without a further clause that is needed
    rooms: dict[str, str] = field(default_factory=dict)

    def borrow(self, kata: Kata) -> None:
        """Take a kata from the reference after all."""
        self.own.remove(kata)
        self.borrowed.append(kata)
        self.rooms[kata.address] = SOLUTIONS

    def hashes(self) -> dict[str, str]:
        """The hash of each file that the run is made of, own or borrowed."""
        not_own = (*self.borrowed, *self.wrong, *self.lacking)
        files = {kata: kata.stub for kata in self.own} | {kata: kata.solution for kata in not_own}
        return {kata.address: hash_of(path) for kata, path in files.items()}

    def serve(self) -> None:
        """Let every import of a kata, in this process and in its children, come from these files."""
        os.environ[finder.ROOMS] = json.dumps(self.rooms)
        finder.forget()
        finder.serve()


def reference(addresses: Iterable[str]) -> Pieces:
    """Nothing but the reference."""
    return Pieces(borrowed=[curriculum.find(address) for address in addresses], rooms={"*": SOLUTIONS})


def own_where_green(
    addresses: Iterable[str],
    telling: Callable[[Kata], None] = lambda kata: None,
    further: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Pieces:
    """The learner's katas where they are green; what was edited since its last verdict is tested now.

    `telling` is called with each kata before it is tested. `further` has the further clauses that are needed, by
    address: a kata that lacks one is not taken. Katas that are not named, on which a learner's one may build, are
    borrowed as well where they are not green.
    """
    needed, pieces = set(addresses), Pieces()
    for one in standings():
        kata, state, why = one.kata, one.state, ""
        if state in (EDITED, STARTED) and kata.address in needed:
            if not one.judged:
                telling(kata)
                state = DONE if test(kata).outcome == GREEN else STARTED
            if state == STARTED:
                why = reason(kata)
        asked = further.get(kata.address, ()) if state in FINISHED and kata.address in needed else ()
        lacks = lacking(kata, asked)
        if state not in FINISHED or lacks:
            pieces.rooms[kata.address] = SOLUTIONS
        if kata.address not in needed:
            continue
        if lacks:
            pieces.lacking[kata] = lacks
        elif state in FINISHED:
            pieces.own.append(kata)
        elif state in (NOT_STARTED, MISSING):
            pieces.borrowed.append(kata)
        else:
            pieces.wrong[kata] = why
    return pieces


def lacking(kata: Kata, further: Sequence[str]) -> list[str]:
    """Which of some further clauses do not hold in a green kata. What was not tested is tested now."""
    if any(last_verdict(kata).get("clauses", {}).get(slug, UNTESTED) == UNTESTED for slug in further):
        test(kata)
    marks = last_verdict(kata).get("clauses", {})
    return [slug for slug in further if marks.get(slug) not in (PASSED, SKIPPED)]


def test(kata: Kata) -> Verdict:
    """The verdict on a kata, remembered as that of `dojo test`. Raises CannotTest where its tests could not begin."""
    verdict = run(Request(kata, unfinished(kata), tiers=OFFER))
    if not verdict.begun:
        raise CannotTest(f"{kata.address} could not be tested: {verdict.why[0]}; `dojo doctor` looks for the cause")
    memory.remember(verdict)
    return verdict


def reason(kata: Kata) -> str:
    """Why a kata is not green, in a few words."""
    now = standing(kata)
    if now.held == now.core:
        return "its tests gave no verdict"
    return f"{now.core - now.held} of {now.core} clauses do not hold"


def module(address: str) -> ModuleType:
    """A kata, as it is served."""
    return importlib.import_module(f"katas.{address.replace('/', '.')}")


def optimizer(parameters: Iterable[Any], **settings: float) -> Any:
    """The AdamW of the katas, over the parameters."""
    lighten()
    return module("pretraining/optimizer").AdamW(parameters, **settings)
