"""Which file answers `import katas.attention.causal`: the learner's, the reference, or the reference with a mistake.

The environment variable KATA_ROOMS says so, as JSON from address to room, and child processes inherit it:

    {"*": "solutions"}                              every kata is the reference
    {"attention/trainable": "solutions"}            one prerequisite is borrowed
    {"attention/causal": "solutions:no-scale"}      the reference with a known mistake edited into it
    {"attention/causal": "hollow"}                  the reference with every public result zeroed
    {"attention/causal": "file:/tmp/mutant.py"}     any file

What it does not name is served from katas/. While tests run (KATA_CHECKS), a kata that cannot be loaded does not
break the import: its public names are stand-ins that fail when a test uses them, so every test gets its verdict.
"""

import ast
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from dojo import ROOT
from dojo.catalog import specification
from dojo.catalog.curriculum import Place
from dojo.catalog.mistakes import mistakes_of, wrong_source
from dojo.serving import jaxtyping_standin
from dojo.serving._source import bound_names
from dojo.serving.restrictions import refuse_what_is_not_allowed
from dojo.system.files import read_regular

ROOMS, CHECKS = "KATA_ROOMS", "KATA_CHECKS"
_met: set[str] = set()  # the names of katas that were loaded in this process


class KataUnavailable(Exception):
    """A test used a name of a kata that could not be loaded, or that does not define the name."""

    def __init__(self, address: str, name: str, cause: BaseException | None):
        super().__init__(f"{name} of {address}: {cause or 'not defined'}")
        self.address, self.name, self.cause = address, name, cause


class StandIn:
    """What a test imports in place of a name that its kata could not give. Every use raises KataUnavailable."""

    def __init__(self, address: str, name: str, cause: BaseException | None):
        self._why = address, name, cause

    def _fail(self, *_: object, **__: object) -> Any:
        raise KataUnavailable(*self._why) from self._why[2]

    __call__ = __getattr__ = __getitem__ = __iter__ = __instancecheck__ = __subclasscheck__ = __mro_entries__ = _fail


class KataLoader(importlib.machinery.SourceFileLoader):
    """Load a kata from its room, through the door, and never from a cache: two saves may fall into one second."""

    def __init__(self, fullname: str, address: str, room: str):
        room, _, detail = room.partition(":")
        self.address, self.room, self.mistake = address, room, detail if room == "solutions" else ""
        self.content: bytes | None = None
        place = Place(address)
        file = place.stub if room == "katas" else place.solution
        super().__init__(fullname, detail if room == "file" else str(file))

    def path_stats(self, path: Any) -> Any:
        raise OSError("a kata is never cached")

    def get_data(self, path: Any) -> bytes:
        return self._read() if self.content is None else self.content

    def _read(self) -> bytes:
        data = read_regular(Path(self.path)) if self.room in ("katas", "file") else super().get_data(self.path)
        if not self.mistake:
            return data
        return wrong_source(importlib.util.decode_source(data), mistakes_of(self.address)[self.mistake]).encode()

    def exec_module(self, module: ModuleType) -> None:
        """Run the kata's file. While tests run, what it could not define is stood in for, and the rest is checked."""
        cause: BaseException | None = None
        _met.add(module.__name__)
        try:
            self.content = self._read()  # once: what is judged is what runs
            if self.room in ("katas", "file"):
                refuse_what_is_not_allowed(self.address, importlib.util.decode_source(self.content))
            super().exec_module(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit, and pytest's own ways to leave a test out
            if not os.environ.get(CHECKS):
                raise
            cause = error
        if os.environ.get(CHECKS):
            from dojo.serving.annotations import check

            vars(module).pop("__getattr__", None)  # the import itself asks it for __path__
            self._stand_in(module, specification.public_names(self.address) if cause else self.missing(module), cause)
            try:
                check(module)
            except Exception as error:  # an object that does not let itself be looked at
                self._stand_in(module, specification.public_names(self.address), error)
        if self.room == "hollow":
            from dojo.serving.hollow import empty

            empty(module)

    def _stand_in(self, module: ModuleType, names: Iterable[str], cause: BaseException | None) -> None:
        vars(module).update({name: StandIn(self.address, name, cause) for name in names})

    def missing(self, module: ModuleType) -> list[str]:
        """The public names that the kata does not define. A class or function that is only imported does not count."""
        asked = specification.public_names(self.address)
        if self.room not in ("katas", "file"):
            return [name for name in asked if name not in vars(module)]
        bound = bound_names(ast.parse(self.get_data(self.path)))
        constants = set(asked) - set(specification.defined_names(self.address))
        return [name for name in asked if name not in vars(module) or name not in bound | constants]


class Finder(importlib.abc.MetaPathFinder):
    """Answer imports below `katas` from the room that KATA_ROOMS names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, *parts = fullname.split(".")
        if package != "katas" or not parts:
            return None
        address = "/".join(parts)
        if Place(address).solution.is_file():
            loader = KataLoader(fullname, address, room_of(address))
            return importlib.util.spec_from_file_location(fullname, loader.path, loader=loader)
        return None


def serve() -> None:
    """Put the finder before all others, once."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
    jaxtyping_standin.stand_in()


def rooms() -> dict[str, str]:
    """What KATA_ROOMS says: address to room."""
    return dict(json.loads(os.environ.get(ROOMS) or "{}"))


def room_of(address: str) -> str:
    """The room that serves a kata: its own entry, else the entry `*`, else katas."""
    said = rooms()
    return said.get(address, said.get("*", "katas"))


@contextlib.contextmanager
def served(said: dict[str, str]) -> Iterator[None]:
    """The katas as other rooms would serve them: a fresh load of the whole tree, apart from what is imported."""
    before, environment = forget(), os.environ.get(ROOMS)
    os.environ[ROOMS] = json.dumps(said)
    try:
        yield
    finally:
        forget()
        if environment is None:
            del os.environ[ROOMS]
        else:
            os.environ[ROOMS] = environment
        for name, module in before.items():
            sys.modules[name] = module
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)


def forget() -> dict[str, ModuleType]:
    """Drop every imported kata, and return what was dropped; a parent comes before its children."""
    names = sorted(name for name in sys.modules if name.startswith("katas."))
    dropped = {name: sys.modules.pop(name) for name in names}
    for name in names:
        if name.count(".") == 1 and "katas" in sys.modules:
            vars(sys.modules["katas"]).pop(name.removeprefix("katas."), None)
    return dropped


def served_files() -> set[str]:
    """The files of the katas as they are loaded now: a learner's, the reference, or a file that stands for one."""
    modules = [sys.modules[name] for name in _met if name in sys.modules]
    return {str(getattr(module, "__file__", "")) for module in modules}


def own_file(address: str) -> Path:
    """The learner's file, or the one that is served in its place."""
    room, _, detail = room_of(address).partition(":")
    return Path(detail) if room == "file" else Place(address).stub


def address_of(path: Path) -> str | None:
    """The address of a served kata's file."""
    for room in ("katas", "solutions"):
        if path.is_relative_to(ROOT / room):
            return path.relative_to(ROOT / room).with_suffix("").as_posix()
    return None
