"""Hide one edit in a copy of a learner's green code, test it, and give hints. The learner's own file is only read.

The copy is .dojo/ADDRESS/hunt/NAME.py, which the learner edits; .dojo/ADDRESS/hunt.json has what was done to it.
"""

import contextlib
import math
import os
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dojo.catalog.curriculum import Kata, katas, short
from dojo.check.mutants import Mutant, mutants
from dojo.errors import DojoError
from dojo.hunt.edits import edited, function_of, is_hidden, kind
from dojo.learner import store
from dojo.learner.standing import FAILED, RED, is_done, unfinished
from dojo.system.files import read_regular
from dojo.verdict.command import CORE, Request
from dojo.verdict.explain import WRONG
from dojo.verdict.run import Verdict, run
from dojo.verdict.supervision import FOLDERS, Limits

PURPOSE = "hunt"
MOST_TRIED = 8
TIME_LIMIT = 60.0  # of one trial: an edit that loops for ever is not hidden


class NoHunt(DojoError):
    """Nothing can be hidden in this kata. Says why, and what to do."""


@dataclass(frozen=True)
class Hunt:
    """A hunt that goes on: the edited copy, and what was done to it.

    line, before and after: the statement's, in the copy as it was written. rung: how many hints were shown.
    """

    kata: Kata
    line: int
    before: str
    after: str
    kind: str
    function: str
    begun: float
    rung: int = 0

    @property
    def file(self) -> Path:
        return _file(self.kata)

    @property
    def hints(self) -> tuple[str, ...]:
        """Where the edit is, what it is, and its line: each says more than the one before."""
        inside = f"in {self.function}" if self.function else "outside of every function"
        return (
            f"The edit is {inside}.",
            f"The edited part is {self.kind}.",
            f"It is in line {self.line} of the copy as it was written: {self.after}",
        )


def going_on() -> list[Hunt]:
    """Every hunt that is not ended."""
    return [found for kata in katas() if (found := current(kata))]


def current(kata: Kata) -> Hunt | None:
    """The hunt in a kata that is not ended; None where there is none, or its copy is gone."""
    match known := store.read(kata.address, PURPOSE):
        case {
            "line": int(), "before": str(), "after": str(), "kind": str(), "function": str(),
            "begun": float(begun), "rung": int(rung),
        } if math.isfinite(begun) and rung >= 0:  # fmt: skip
            with contextlib.suppress(TypeError):
                found = Hunt(kata, **known)
                return found if found.file.is_file() else None
    return None


def begin(kata: Kata, seed: int | None = None) -> Hunt:
    """Hide an edit that turns a clause of the core red. Raises NoHunt, CannotSave."""
    if not is_done(kata):
        raise NoHunt(f"an edit can be hidden only in code of yours that is green: dojo test {short(kata)}")
    source = _source(kata)
    found = [mutant for mutant in mutants(source) if is_hidden(mutant)]
    random.Random(seed).shuffle(found)
    mutant, text = _chosen(kata, source, found)
    hunt = Hunt(
        kata, mutant.line, mutant.before, mutant.after, kind(source, mutant), function_of(source, mutant.line),
        time.time(),
    )  # fmt: skip
    try:
        hunt.file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store.CannotSave(f"{store.shown(hunt.file.parent)} cannot be made: {error.strerror or error}") from None
    store.replace(hunt.file, text.encode())
    _save(hunt)
    return hunt


def test(hunt: Hunt) -> Verdict:
    """The verdict on the copy, without the names of known mistakes: they would give the edit away."""
    verdict = run(Request(hunt.kata, unfinished(hunt.kata), tiers=CORE, instead=hunt.file))
    verdict.named = None
    return verdict


def hint(hunt: Hunt) -> tuple[int, str]:
    """The number of the next hint, and the hint; the last one stays. Raises CannotSave."""
    rung = min(hunt.rung + 1, len(hunt.hints))
    _save(Hunt(**vars(hunt) | {"rung": rung}))
    return rung, hunt.hints[rung - 1]


def end(hunt: Hunt) -> None:
    """Forget a hunt and remove its copy. Raises CannotSave."""
    store.forget(hunt.kata.address, PURPOSE)
    shutil.rmtree(hunt.file.parent, ignore_errors=True)


def _chosen(kata: Kata, source: str, found: Sequence[Mutant]) -> tuple[Mutant, str]:
    """The first edit that turns a few clauses of the core red by a wrong value; else the one that comes nearest."""
    borrowed = unfinished(kata)
    best: tuple[tuple[bool, int], Mutant, str] | None = None
    texts = ((mutant, text) for mutant in found if (text := edited(source, mutant)) is not None)
    # Named as the folder of a run is: where this is killed, the next run removes it.
    with tempfile.TemporaryDirectory(prefix=f"{FOLDERS}{os.getpid()}-") as folder:
        for tried, (mutant, text) in enumerate(islice(texts, MOST_TRIED), 1):
            file = Path(folder) / f"{kata.name}_{tried}.py"
            file.write_bytes(text.encode())
            verdict = run(Request(kata, borrowed, tiers=CORE, instead=file), Limits(seconds=TIME_LIMIT))
            why = [test.explanation for test in verdict.failures]
            if verdict.outcome != RED or any(one is None or one.kind != WRONG for one in why):
                continue
            red = list(verdict.core.values()).count(FAILED)
            led = any(one and one.place for one in why)  # an error's own line may be the edited one
            if best is None or (led, red) < best[0]:
                best = (led, red), mutant, text
            if not led and 2 * red <= len(verdict.core):
                break
    if best is None:
        raise NoHunt(f"no edit of your {short(kata)} turned a clause red. Try again: other edits are drawn.")
    return best[1:]


def _source(kata: Kata) -> str:
    """The learner's own file."""
    try:
        return read_regular(kata.stub).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise NoHunt(f"{store.shown(kata.stub)} cannot be read: {error}") from None


def _file(kata: Kata) -> Path:
    return store.FOLDER / kata.address / PURPOSE / f"{kata.name}.py"


def _save(hunt: Hunt) -> None:
    store.write(hunt.kata.address, PURPOSE, {name: value for name, value in vars(hunt).items() if name != "kata"})
