"""After a failure: which known mistake, alone, gives what the learner's code gives.

Each test file has a `probe(kata)`: a dict from the name of a part to a function without arguments, a small case on
which the known mistakes differ. A part is run once with the learner's code and once with each mistake. A mistake is
named when on some part it alone gives the learner's result, and that result is not the reference's.
"""

import contextlib
import importlib
import io
import random
from collections.abc import Callable
from typing import Any

from dojo.serving import mistakes_of, rooms, served

Probe = Callable[[Any], dict[str, Callable[[], Any]]]
Parts = dict[str, Any]

_known: dict[str, dict[str, Parts]] = {}


def diagnosis(address: str, probe: Probe) -> list[str]:
    """The names of the known mistakes that the served kata shows, in the order of the mistakes file."""
    if address not in _known:
        _known[address] = known(address, probe)
    return named(answers(address, probe), _known[address])


def known(address: str, probe: Probe) -> dict[str, Parts]:
    """The parts of the probe under the reference (named "") and under each probed mistake."""
    found = {}
    for name, mistake in {"": {}, **mistakes_of(address)}.items():
        if mistake.get("probed", True):
            with served({"*": "solutions", address: f"solutions:{name}" if name else "solutions"}):
                found[name] = answers(address, probe)
    return found


def named(mine: Parts, theirs: dict[str, Parts]) -> list[str]:
    """The mistakes that alone explain some part of what was seen."""
    found = set()
    for part, seen in mine.items():
        matches = [name for name, parts in theirs.items() if alike(seen, parts.get(part))]
        if len(matches) == 1:
            found.update(matches)
    return [name for name in theirs if name and name in found]


def answers(address: str, probe: Probe) -> Parts:
    """Every part of the probe under the kata as served. A part that raises is its error; a diagnosis costs no verdict."""
    import torch

    found: Parts = {}
    state = random.getstate()
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception, SystemExit):
        for part, run in probe(importlib.import_module("katas." + address.replace("/", "."))).items():
            torch.manual_seed(0)
            random.seed(0)
            try:
                found[part] = run()
            except (Exception, SystemExit) as error:
                found[part] = f"{type(error).__name__}: {error}"
    random.setstate(state)
    return found


def alike(mine: Any, theirs: Any) -> bool:
    """Whether two results of a part are the same: tensors by dtype, shape and nearly by value, the rest exactly."""
    import torch

    if isinstance(mine, torch.Tensor) and isinstance(theirs, torch.Tensor):
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
    return bool(mine == theirs)


def sentence(address: str, name: str) -> str:
    """What a named mistake tells the learner."""
    return f"your result is the one you get when {mistakes_of(address)[name]['says']}"


def about(address: str, clause: str, names: list[str]) -> list[str]:
    """The named mistakes that a failure of this clause should tell: those that break it, else all of them."""
    here = [name for name in names if mistakes_of(address)[name]["breaks"] == clause]
    return here or names


def served_reference(address: str) -> bool:
    """Whether the kata under test is the reference itself, unedited: then there is nothing to diagnose."""
    said = rooms()
    return said.get(address, said.get("*", "katas")) == "solutions"
