"""Which known mistake gives what the learner's code gives.

Each test file has a `probe(kata)`: a dict from the name of a part to a function without arguments, a small case on
which the known mistakes differ. Each part is run with the learner's code and compared with what the reference and each
known mistake give. What counts is where the learner differs from the reference; a part that ends in an error, or is nan
everywhere, proves nothing.

A failure names only mistakes that fail the same test (the kata's reach file, which `dojo.check mistakes
--write` writes), so that nothing is blamed for what it does not do.
"""

import contextlib
import importlib
import io
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from dojo.catalog.mistakes import mistakes_of, reach_of
from dojo.catalog.specification import core_clauses
from dojo.serving.annotations import unchecked
from dojo.serving.finder import rooms, served
from dojo.verdict._probe_cache import recalled
from dojo.verdict.results import Raised, alike, counts

Probe = Callable[[Any], dict[str, Callable[[], Any]]]
Parts = dict[str, Any]
Groups = Mapping[str, Sequence[tuple[Any, Sequence[str]]]]
REFERENCE = ""  # its name among the mistakes

WHOLE = "Your result is the one you get when {}."
MIXED = "Two mistakes seem to be mixed: {}; and {}."
PART = "This part looks like what you get when {}."


@dataclass(frozen=True)
class Named:
    """The known mistakes that a learner's results look like.

    whole: the one that explains every part on which the learner differs from the reference, if there is one; else
    parts: those that alone explain some part, in the order of the probe. mixed: whether there are two, they explain all
    together, and neither would change what is as the reference has it.
    """

    whole: str = ""
    parts: tuple[str, ...] = ()
    mixed: bool = False


def diagnosis(address: str, probe: Probe) -> Named:
    """The known mistakes that the served kata shows, loaded anew: tests may have changed what a module of it keeps."""
    with contextlib.redirect_stdout(io.StringIO()), served(rooms()):
        mine = answers(importlib.import_module("katas." + address.replace("/", ".")), probe)
    return identified(address, mine, prepared(address, probe))


def prepared(address: str, probe: Probe) -> Groups:
    """What a diagnosis compares with: worked out, or recalled from the last time."""
    found: Groups = recalled(address, lambda: grouped(known(address, probe)))
    return found


def known(address: str, probe: Probe) -> dict[str, Parts]:
    """The parts of the probe under the reference and under each probed mistake."""
    found = {}
    for name, mistake in {REFERENCE: {}, **mistakes_of(address)}.items():
        if mistake.get("probed", True):
            with served({"*": "solutions", address: f"solutions:{name}" if name else "solutions"}):
                found[name] = answers(importlib.import_module("katas." + address.replace("/", ".")), probe)
    return found


def grouped(theirs: Mapping[str, Parts]) -> dict[str, list[tuple[Any, list[str]]]]:
    """For each part the results that differ, each with the names that give it: on most parts most mistakes agree."""
    groups: dict[str, list[tuple[Any, list[str]]]] = {part: [] for parts in theirs.values() for part in parts}
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


def identified(address: str, mine: Parts, groups: Groups) -> Named:
    """The mistakes that explain what was seen: all of it, or else what was seen of the core, if that is wrong.

    Somebody who wrote the book's class with one mistake lacks what is further, too, and that is not a second mistake.
    """
    core, breaks = core_clauses(address), {name: mistake["breaks"] for name, mistake in mistakes_of(address).items()}
    about_core = {
        part: mine[part]
        for part, results in groups.items()
        if part in mine and any(breaks.get(name) in core for name in _wrong_names(results))
    }
    everything = named(mine, groups)
    if everything.whole or not differing(about_core, groups):
        return everything
    return named(about_core, groups)


def differing(mine: Parts, groups: Groups) -> list[str]:
    """The parts that prove something and are not what the reference gives."""
    return [p for p in mine if counts(mine[p]) and REFERENCE not in _names_that_give(mine[p], groups.get(p, ()))]


def named(mine: Parts, groups: Groups) -> Named:
    """The mistakes that explain what was seen, by the rules above."""
    agree = {part: _names_that_give(mine[part], groups.get(part, ())) for part in mine if counts(mine[part])}
    differs = differing(mine, groups)
    if not differs:
        return Named()
    whole = set.intersection(*(set(agree[part]) for part in differs))
    if whole and (best := _closest(whole, agree)):
        return Named(best)
    alone = {part: agree[part][0] for part in differs if len(agree[part]) == 1}
    found = tuple(dict.fromkeys(alone.values()))
    explained = all(set(found) & set(agree[part]) for part in differs)
    right = [names for part, names in agree.items() if part not in differs]
    return Named("", found, len(found) == 2 and explained and all(set(found) <= set(names) for names in right))


def _closest(whole: set[str], agree: Mapping[str, Sequence[str]]) -> str:
    """Of mistakes that explain every difference, the one that makes the fewest others; empty where two are as close."""
    extra = {name: sum(name not in names for names in agree.values()) for name in sorted(whole)}
    least = [name for name, others in extra.items() if others == min(extra.values())]
    return least[0] if len(least) == 1 else ""


def _wrong_names(results: Sequence[tuple[Any, Sequence[str]]]) -> list[str]:
    """The mistakes whose result of a part is another one than the reference's, and proves something."""
    return [name for result, names in results if counts(result) and REFERENCE not in names for name in names]


def _names_that_give(result: Any, groups: Sequence[tuple[Any, Sequence[str]]]) -> list[str]:
    return [name for theirs, names in groups if alike(result, theirs) for name in names]


def sentences(address: str, test: str, found: Named) -> list[str]:
    """What is said below a failed test: only of mistakes that fail this very test, and of one that is mixed with it."""
    says = {name: mistake["says"] for name, mistake in mistakes_of(address).items()}
    if found.whole:
        return [WHOLE.format(says[found.whole])] if fails(address, found.whole, test) else []
    here = [name for name in found.parts if fails(address, name, test)]
    if found.mixed and here:
        return [MIXED.format(*(says[name] for name in dict.fromkeys([*here, *found.parts])))]
    return [PART.format(says[name]) for name in here[:1]]


def fails(address: str, mistake: str, test: str) -> bool:
    """Whether a mistake is known to fail a test: the reach names a test, or one of its cases, such as test_x[float64].

    Where no reach was written yet, every mistake may.
    """
    reach = reach_of(address)
    return not reach or bool({test, test.partition("[")[0]} & set(reach.get(mistake, ())))


def answers(kata: ModuleType, probe: Probe) -> Parts:
    """Every part of the probe under a loaded kata; a part that raises is its error."""
    found: Parts = {}
    quiet, unwarned = contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore")
    with unchecked(), random_state_kept() as seed, quiet, unwarned, contextlib.suppress(Exception, SystemExit):
        for part, run in probe(kata).items():
            seed()
            try:
                found[part] = run()
            except (Exception, SystemExit) as error:
                found[part] = Raised(type(error).__name__)
    return found


@contextlib.contextmanager
def random_state_kept() -> Iterator[Callable[[], None]]:
    """Leave Python's and torch's random numbers as they were; within, a function sets them to the same start."""
    # A kata of text has not imported torch, and its diagnosis does not wait for that.
    torch, state = sys.modules.get("torch"), random.getstate()
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


def served_reference(address: str) -> bool:
    """Whether the kata under test is the reference itself, unedited: then there is nothing to diagnose."""
    said = rooms()
    return said.get(address, said.get("*", "katas")) == "solutions"
