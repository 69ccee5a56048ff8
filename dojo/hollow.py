"""A hollow kata: the reference, with every public result zeroed. Tests that a hollow kata passes do not bite."""

import copy
import functools
import sys
from types import ModuleType
from typing import Any

from dojo.wrapping import wrap_public

PLAIN = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)


def empty(module: ModuleType) -> None:
    """Zero the results of a kata's public functions and methods, in place. Constructors stay."""
    wrap_public(module, hollowed, skip={"__init__", "__post_init__"})


def hollowed(function: Any) -> Any:
    """The function with its result zeroed; one that is annotated to return None, whose effect counts, does nothing."""
    idle = function.__annotations__.get("return", function) in (None, "None")

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return None if idle else zeroed(function(*args, **kwargs))

    return wrapper


def zeroed(result: Any) -> Any:
    """Nothing, in the shape of the result: zeros for a tensor, 0 for a number, an empty text or container."""
    torch = sys.modules.get("torch")
    if torch and isinstance(result, torch.Tensor):
        return torch.zeros_like(result)
    if isinstance(result, tuple):
        return type(result)(*map(zeroed, result)) if hasattr(result, "_fields") else tuple(map(zeroed, result))
    if isinstance(result, bool | int | float | complex | str | bytes | list | dict | set | frozenset):
        return type(result)()
    if type(result).__module__.startswith("katas.") and not (torch and isinstance(result, torch.nn.Module)):
        return blank(result)
    return result


def blank(made: Any) -> Any:
    """An object of the kata's own class, without what it holds: a copy, for the original may be an argument too."""
    copied = copy.copy(made)
    for name, value in getattr(made, "__dict__", {}).items():
        if type(value) in PLAIN:  # the objects it refers to belong to others
            object.__setattr__(copied, name, type(value)())
    return copied
