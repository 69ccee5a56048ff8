"""Which files a run is made of: the learner's own katas wherever they are green, the reference for the rest."""

import importlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType

from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.learner.standing import (
    DONE,
    EDITED,
    FINISHED,
    GREEN,
    MISSING,
    NOT_STARTED,
    STARTED,
    hash_of,
    standing,
    standings,
    unfinished,
)
from dojo.serving import finder
from dojo.verdict import memory
from dojo.verdict.command import Request
from dojo.verdict.run import Verdict, run

SOLUTIONS = "solutions"


@dataclass
class Pieces:
    """The katas that a run needs, in the list's order: own ones, borrowed ones, and own ones that are not right."""

    own: list[Kata] = field(default_factory=list)
    borrowed: list[Kata] = field(default_factory=list)
    wrong: dict[Kata, str] = field(default_factory=dict)
    rooms: dict[str, str] = field(default_factory=dict)

    def borrow(self, kata: Kata) -> None:
        """Take a kata from the reference after all."""
        self.own.remove(kata)
        self.borrowed.append(kata)
        self.rooms[kata.address] = SOLUTIONS

    def hashes(self) -> dict[str, str]:
        """The hash of each file that the run is made of, own or borrowed."""
        files = {kata: kata.stub for kata in self.own} | {kata: kata.solution for kata in (*self.borrowed, *self.wrong)}
        return {kata.address: hash_of(path) for kata, path in files.items()}

    def serve(self) -> None:
        """Let every import of a kata, in this process and in its children, come from these files."""
        os.environ[finder.ROOMS] = json.dumps(self.rooms)
        finder.forget()
        finder.serve()


def reference(addresses: Iterable[str]) -> Pieces:
    """Nothing but the reference."""
    return Pieces(borrowed=[curriculum.find(address) for address in addresses], rooms={"*": SOLUTIONS})


def own_where_green(addresses: Iterable[str], telling: Callable[[Kata], None] = lambda kata: None) -> Pieces:
    """The learner's katas where they are green; what was edited since its last verdict is tested now.

    `telling` hears of each kata before it is tested. Katas that are not named, on which an own one may build, are
    borrowed as well where they are not green.
    """
    needed, pieces = set(addresses), Pieces()
    for one in standings():
        kata, state, why = one.kata, one.state, ""
        if state in (EDITED, STARTED) and kata.address in needed:
            if state == EDITED:
                telling(kata)
                state = DONE if test(kata).outcome == GREEN else STARTED
            if state == STARTED:
                why = reason(kata)
        if state not in FINISHED:
            pieces.rooms[kata.address] = SOLUTIONS
        if kata.address not in needed:
            continue
        if state in FINISHED:
            pieces.own.append(kata)
        elif state in (NOT_STARTED, MISSING):
            pieces.borrowed.append(kata)
        else:
            pieces.wrong[kata] = why
    return pieces


def test(kata: Kata) -> Verdict:
    """The verdict on a kata, remembered as that of `dojo test`."""
    verdict = run(Request(kata, unfinished(kata)))
    memory.remember(verdict)
    return verdict


def reason(kata: Kata) -> str:
    """Why a kata is not green, in a few words."""
    now = standing(kata)
    if now.held == now.core:
        return "its tests came to no verdict"
    return f"{now.core - now.held} of {now.core} clauses do not hold"


def module(address: str) -> ModuleType:
    """A kata, as it is served."""
    return importlib.import_module(f"katas.{address.replace('/', '.')}")
