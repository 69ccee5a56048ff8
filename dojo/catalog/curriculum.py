"""The katas in their order: katas/curriculum.toml, and what each kata builds on, read from its imports."""

import ast
import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.errors import DojoError, UsageProblem

CURRICULUM = ROOT / "katas" / "curriculum.toml"


class UnknownKata(UsageProblem):
    """A word that names no kata, or more than one."""


class NoCurriculum(DojoError):
    """The list of katas is missing or cannot be read."""


@dataclass(frozen=True)
class Place:
    """An address, and its files."""

    address: str

    @property
    def part(self) -> str:
        return self.address.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]

    @property
    def stub(self) -> Path:
        return ROOT / "katas" / f"{self.address}.py"

    @property
    def solution(self) -> Path:
        return ROOT / "solutions" / f"{self.address}.py"

    @property
    def tests(self) -> Path:
        return ROOT / "tests" / self.part / f"test_{self.name}.py"

    @property
    def mistakes(self) -> Path:
        return ROOT / "tests" / f"{self.address}.mistakes.toml"

    @property
    def reach(self) -> Path:
        return ROOT / "tests" / f"{self.address}.reach.json"

    @property
    def bench(self) -> Path:
        return ROOT / "tests" / self.part / f"bench_{self.name}.py"

    @property
    def page(self) -> Path:
        return ROOT / "docs" / f"{self.address}.md"

    @property
    def figure(self) -> Path:
        return ROOT / "docs" / "figures" / f"{self.address}.svg"

    @property
    def drawing(self) -> Path:
        """The script that draws the figure."""
        return self.figure.with_suffix(".py")


@dataclass(frozen=True)
class Kata(Place):
    """One kata of the list.

    `book` lists the sections of the book that it is about, `minutes` estimates what a first attempt at the core takes,
    and `builds` says in a few words what is built. `new` counts the ideas that no earlier kata had, and `route` is
    whether the short route leads over it.
    """

    title: str
    book: str
    minutes: int
    builds: str = ""
    new: int = 1
    route: bool = False

    @property
    def section(self) -> str:
        """The section of the book to read first; empty where the book lacks the concept."""
        return self.book.partition(",")[0].partition(" to ")[0]


@cache
def _read() -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(CURRICULUM.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"{CURRICULUM} is missing. Run `python -m pip install -e .` in the folder that holds katas/."
        raise NoCurriculum(message) from None
    except (OSError, ValueError) as error:
        raise NoCurriculum(f"{CURRICULUM} cannot be read: {error}") from None


@cache
def katas() -> tuple[Kata, ...]:
    """Every kata, in order. Raises NoCurriculum."""
    try:
        return tuple(Kata(**entry) for entry in _read()["kata"])
    except (KeyError, TypeError) as error:
        raise NoCurriculum(f"{CURRICULUM}: {error}") from None


@cache
def parts() -> dict[str, str]:
    """The title of each part that has katas, in order."""
    titles = _read().get("parts", {})
    return {kata.part: titles.get(kata.part, kata.part.replace("_", " ").capitalize()) for kata in katas()}


def short(kata: Kata) -> str:
    """The shortest word that names a kata on the command line and stays readable: its last word, or its address."""
    return kata.name if sum(other.name == kata.name for other in katas()) == 1 else kata.address


def find(word: str) -> Kata:
    """The kata that an address, its last word or a unique prefix of either names. Raises UnknownKata."""
    wanted = word.strip().replace("\\", "/").strip("/").lower()
    for folder in ("katas/", "solutions/"):
        wanted = wanted.removeprefix(folder)
    wanted = wanted.removesuffix(".py")
    exact = [kata for kata in katas() if wanted in (kata.address, kata.name)]
    begun = [kata for kata in katas() if kata.address.startswith(wanted) or kata.name.startswith(wanted)]
    found = exact or (begun if wanted else [])
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownKata(f"'{word}' could be any of: {', '.join(kata.address for kata in found)}.")
    if near := nearest(wanted):
        raise UnknownKata(f"no kata is called '{word}'. Did you mean {' or '.join(near)}?")
    raise UnknownKata(f"no kata is called '{word}'. `dojo` lists them all.")


def nearest(word: str, most: int = 3) -> list[str]:
    """The katas whose last word or address is spelt most like a word, the nearest first."""
    named = {name: short(kata) for kata in katas() for name in (kata.address, kata.name)}
    close = difflib.get_close_matches(word, named, n=2 * most, cutoff=0.6)
    return list(dict.fromkeys(named[name] for name in close))[:most]


@cache
def address_of_test(path: Path) -> str | None:
    """The kata of a test file: tests/attention/test_causal.py is about attention/causal. None for other files."""
    if not path.is_relative_to(ROOT / "tests"):
        return None
    address = path.relative_to(ROOT / "tests").with_name(path.stem.removeprefix("test_")).as_posix()
    return address if Place(address).solution.is_file() else None


@cache
def prerequisites(kata: Kata) -> tuple[Kata, ...]:
    """Every kata that this one's solution or test imports, and what those import in turn, in order."""
    known, waiting = {other.address: other for other in katas()}, [kata]
    found: set[str] = set()
    while waiting:
        for address in _imports(waiting.pop()) - found:
            if address in known and address != kata.address:
                found.add(address)
                waiting.append(known[address])
    return tuple(other for other in katas() if other.address in found)


@cache
def _imports(kata: Kata) -> frozenset[str]:
    """What may be addresses of katas in the import lines of a kata's solution and test."""
    found: set[str] = set()
    for path, package in ((kata.solution, ("katas", *kata.part.split("/"))), (kata.tests, ("tests", kata.part))):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):  # a damaged file is told where it is used
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else ()
                base = ".".join([*above, *([node.module] if node.module else [])])
                modules = [base, *(f"{base}.{alias.name}" for alias in node.names)]
            else:
                continue
            found.update(name.removeprefix("katas.").replace(".", "/") for name in modules if name.startswith("katas."))
    return frozenset(found)
