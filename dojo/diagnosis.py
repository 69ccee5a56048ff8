"""After a failure: which known mistake, alone, gives what the learner's code gives.

Each test file has a `probe(kata)`: a dict from the name of a part to a function without arguments, a small case on
which the known mistakes differ, the most central part first. A part is run once with the learner's code and once with
each mistake. A mistake is named when on some part it alone gives the learner's result, and that result is not the
reference's. A failure tells the named mistakes that break its own clause; where there is none, the one that explains
the first part that went wrong, for that is what the other numbers hang on.
"""

import contextlib
import importlib
import io
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from dojo.serving import mistakes_of, rooms, served
from dojo.typed import unchecked

Probe = Callable[[Any], dict[str, Callable[[], Any]]]
Parts = dict[str, Any]


@dataclass(frozen=True)
class Diagnosis:
    """The mistakes that were named, and the one among them that explains the first part that went wrong, if any."""

    names: tuple[str, ...] = ()
    first: str = ""

    def about(self, address: str, clause: str) -> list[str]:
        """What a failure of a clause should tell: the named mistakes that break it, else the one that came first."""
        here = [name for name in self.names if mistakes_of(address)[name]["breaks"] == clause]
        return [sentence(address, name) for name in here or [self.first] if name]


_known: dict[str, dict[str, Parts]] = {}
_diagnosed: dict[str, tuple[ModuleType, Diagnosis]] = {}


def diagnosis(address: str, probe: Probe) -> Diagnosis:
    """Which known mistakes the served kata shows. It is made once for a kata as it is loaded: all failures share it."""
    kata = importlib.import_module("katas." + address.replace("/", "."))
    diagnosed, found = _diagnosed.get(address, (None, Diagnosis()))
    if diagnosed is not kata:
        if address not in _known:
            _known[address] = known(address, probe)
        found = compared(answers(kata, probe), _known[address])
        _diagnosed[address] = kata, found
    return found


def known(address: str, probe: Probe) -> dict[str, Parts]:
    """The parts of the probe under the reference (named "") and under each probed mistake."""
    found = {}
    for name, mistake in {"": {}, **mistakes_of(address)}.items():
        if mistake.get("probed", True):
            with served({"*": "solutions", address: f"solutions:{name}" if name else "solutions"}):
                found[name] = answers(importlib.import_module("katas." + address.replace("/", ".")), probe)
    return found


def compared(mine: Parts, theirs: dict[str, Parts]) -> Diagnosis:
    """The mistakes that alone explain some part of what was seen; `theirs` has the reference under the name ""."""
    explained: list[str] = []
    for part, seen in mine.items():
        matches = [name for name, parts in theirs.items() if alike(seen, parts.get(part))]
        if "" not in matches:
            explained.append(matches[0] if len(matches) == 1 else "")
    return Diagnosis(tuple(dict.fromkeys(filter(None, explained))), first=next(iter(explained), ""))


def answers(kata: ModuleType, probe: Probe) -> Parts:
    """Every part of the probe under a loaded kata. A part that raises is its error; a diagnosis costs no verdict."""
    found: Parts = {}
    quiet = contextlib.redirect_stdout(io.StringIO())
    with unchecked(), random_state_kept() as seed, quiet, contextlib.suppress(Exception, SystemExit):
        for part, run in probe(kata).items():
            seed()
            try:
                found[part] = run()
            except (Exception, SystemExit) as error:
                found[part] = f"{type(error).__name__}: {error}"
    return found


@contextlib.contextmanager
def random_state_kept() -> Iterator[Callable[[], None]]:
    """Leave Python's and torch's random numbers as they were; within, a function sets them to the same start."""
    torch, state = loaded_torch(), random.getstate()
    theirs = torch.get_rng_state() if torch else None
    start = torch.Generator().get_state() if torch else None

    def seed() -> None:
        random.seed(0)
        if torch:
            torch.set_rng_state(start)

    try:
        yield seed
    finally:
        random.setstate(state)
        if torch:
            torch.set_rng_state(theirs)


def loaded_torch() -> Any:
    """torch where a kata or its test has imported it; a diagnosis of text does not wait for it."""
    return sys.modules.get("torch")


def alike(mine: Any, theirs: Any) -> bool:
    """Whether two results of a part are the same: tensors by dtype, shape and nearly by value, the rest exactly."""
    torch = loaded_torch()
    if torch and isinstance(mine, torch.Tensor) and isinstance(theirs, torch.Tensor):
        return (
            mine.dtype == theirs.dtype
            and mine.shape == theirs.shape
            and torch.allclose(mine.detach(), theirs.detach(), rtol=1e-4, atol=1e-5, equal_nan=True)
        )
    if type(mine) is not type(theirs):
        return False
    if isinstance(mine, list | tuple):
        return len(mine) == len(theirs) and all(map(alike, mine, theirs))
    if isinstance(mine, dict):
        return list(mine) == list(theirs) and all(alike(mine[key], theirs[key]) for key in mine)
    try:
        return bool(mine == theirs) or bool(mine != mine and theirs != theirs)  # nan is nan here
    except Exception:  # a learner's result may be anything, also something that cannot be compared
        return False


def sentence(address: str, name: str) -> str:
    """What a named mistake tells the learner."""
    return f"your result is the one you get when {mistakes_of(address)[name]['says']}"


def served_reference(address: str) -> bool:
    """Whether the kata under test is the reference itself, unedited: then there is nothing to diagnose."""
    said = rooms()
    return said.get(address, said.get("*", "katas")) == "solutions"
