"""After a failure: which known mistake, alone, gives what the learner's code gives.

Each test file has a `probe(kata)`: a dict from the name of a part to a function without arguments, a small case on
which the known mistakes differ, the most central part first. A part is run once with the learner's code and once with
each mistake. A mistake is named when on some part it alone gives the learner's result, and that result is not the
reference's. A failure tells only those named mistakes that are known to fail its clause (the file `reach.json` of the
kata's mistakes, which `dojo.check mistakes` writes), so that no failure is blamed on what has nothing to do with it.
"""

import contextlib
import importlib
import io
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from dojo.catalog.mistakes import mistakes_of, reach_of
from dojo.serving.annotations import unchecked
from dojo.serving.finder import rooms, served
from dojo.verdict._probe_cache import recalled

Probe = Callable[[Any], dict[str, Callable[[], Any]]]
Parts = dict[str, Any]
Groups = dict[str, list[tuple[Any, list[str]]]]

_known: dict[str, Groups] = {}
_diagnosed: dict[str, tuple[ModuleType, list[str]]] = {}


def diagnosis(address: str, probe: Probe) -> list[str]:
    """The names of the known mistakes that the served kata shows, in the order of the probe's parts.

    It is made once for a kata as it is loaded: all its failures share it.
    """
    kata = importlib.import_module("katas." + address.replace("/", "."))
    diagnosed, found = _diagnosed.get(address, (None, []))
    if diagnosed is not kata:
        if address not in _known:
            _known[address] = recalled(address, lambda: grouped(known(address, probe)))
        found = named(answers(kata, probe), _known[address])
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


def grouped(theirs: dict[str, Parts]) -> Groups:
    """For each part the results that differ, each with the names that give it: on most parts most mistakes agree."""
    groups: Groups = {part: [] for parts in theirs.values() for part in parts}
    for name, parts in theirs.items():
        for part, results in groups.items():
            mine = parts.get(part)
            for result, names in results:
                if alike(mine, result):
                    names.append(name)
                    break
            else:
                results.append((mine, [name]))
    return groups


def named(mine: Parts, groups: Groups) -> list[str]:
    """The mistakes that alone explain some part of what was seen; `groups` has the reference under the name ""."""
    matches = [
        [name for result, names in groups.get(part, ()) if alike(seen, result) for name in names]
        for part, seen in mine.items()
    ]
    return list(dict.fromkeys(names[0] for names in matches if len(names) == 1 and names != [""]))


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
    try:
        return _alike(mine, theirs)
    except Exception:  # a learner's result may be anything, also something that cannot be compared
        return False


def _alike(mine: Any, theirs: Any) -> bool:
    torch = loaded_torch()
    if torch and isinstance(mine, torch.Tensor) and isinstance(theirs, torch.Tensor):
        return (
            mine.dtype == theirs.dtype
            and mine.shape == theirs.shape
            and torch.allclose(mine.detach(), theirs.detach(), rtol=1e-4, atol=1e-5, equal_nan=True)
        )
    if isinstance(mine, dict) and isinstance(theirs, dict):  # a Counter is as good as a dict, in any order
        return mine.keys() == theirs.keys() and all(alike(mine[key], theirs[key]) for key in mine)
    if type(mine) is not type(theirs):
        return False
    if isinstance(mine, list | tuple):
        return len(mine) == len(theirs) and all(map(alike, mine, theirs))
    return bool(mine == theirs) or bool(mine != mine and theirs != theirs)  # nan is nan here


def sentence(address: str, name: str) -> str:
    """What a named mistake tells the learner."""
    return f"your result is the one you get when {mistakes_of(address)[name]['says']}"


def sentences(address: str, clause: str, names: Sequence[str]) -> list[str]:
    """What a failure of a clause tells of the named mistakes: those that fail it, its own ones first."""
    known = mistakes_of(address)
    here = [name for name in names if clause in reach_of(address).get(name, (known[name]["breaks"],))]
    here.sort(key=lambda name: known[name]["breaks"] != clause)
    return [sentence(address, name) for name in here]


def served_reference(address: str) -> bool:
    """Whether the kata under test is the reference itself, unedited: then there is nothing to diagnose."""
    said = rooms()
    return said.get(address, said.get("*", "katas")) == "solutions"
