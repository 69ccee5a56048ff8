"""The katas that stand on a ladder: the reference's, and the learner's own beside them."""

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

from dojo.serving.finder import CHECKS, served


def reference(*addresses: str) -> list[Any]:
    """The modules of katas as the reference has them."""
    return _loaded({"*": "solutions"}, addresses)


def own(address: str, attempt: Callable[[Any], object], borrowed: Sequence[str] = ()) -> tuple[Any, str]:
    """The learner's module of a kata, with what is `borrowed` from the reference; or None, and why there is none.

    `attempt` uses it once, so that what is not written yet is found out.
    """
    try:
        [kata] = _loaded(dict.fromkeys(borrowed, "solutions"), [address])
        attempt(kata)
    except NotImplementedError:
        return None, f"katas/{address}.py is not written yet"
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
    return kata, ""


def _loaded(rooms: dict[str, str], addresses: Sequence[str]) -> list[Any]:
    """The modules without the checks of annotations, which would be timed too."""
    checks = os.environ.pop(CHECKS, None)
    try:
        with served(rooms):
            return [importlib.import_module(f"katas.{address.replace('/', '.')}") for address in addresses]
    finally:
        if checks is not None:
            os.environ[CHECKS] = checks
