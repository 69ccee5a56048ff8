"""A machine without jaxtyping, one that is only for benchmarks: annotations with axes are the plain types there."""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _Plain:
    """What stands for Float, Int and the others: `Float[Tensor, "batch tokens"]` is Tensor."""

    def __getitem__(self, item: Any) -> Any:
        return item[0] if isinstance(item, tuple) else item


class StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers `import jaxtyping` after everybody else had the chance to."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self) if fullname == "jaxtyping" else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _annotation  # type: ignore[method-assign]


def _annotation(name: str) -> _Plain:
    if not name[:1].isupper():
        raise AttributeError(f"jaxtyping is not installed, and its stand-in has no {name}")
    return _Plain()


def stand_in() -> None:
    """Put the stand-in after all other finders, once."""
    if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(StandInFinder())


def can_check() -> bool:
    """Whether what checks annotations is installed."""
    import importlib.util

    return all(
        (spec := importlib.util.find_spec(name)) is not None and not isinstance(spec.loader, StandInFinder)
        for name in ("jaxtyping", "beartype")
    )
