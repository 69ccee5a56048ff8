"""A hollow kata: the reference, with every public result zeroed. Tests that a hollow kata passes do not bite."""

import copy
import functools
import sys
from types import ModuleType
from typing import Any

from dojo.serving._wrapping import wrap_public

PLAIN = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)


def empty(module: ModuleType) -> None:
    """Zero the results of a kata's public functions and methods, in place. Constructors stay."""
    wrap_public(module, hollowed, skip={"__init__", "__post_init__"})


def hollowed(function: Any) -> Any:
    """The function with its result zeroed and its effect kept from what it trains.

    One that is annotated to return None, whose effect is all that counts, does nothing. Any other works on copies of
    the models, optimizers and parameters that it is given, its own module among them.
    """
    idle = function.__annotations__.get("return", function) in (None, "None")

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if idle:
            return None
        copies: dict[int, Any] = {}  # one for all arguments: the copied optimizer is that of the copied model
        args = tuple(kept_from(value, copies) for value in args)
        kwargs = {name: kept_from(value, copies) for name, value in kwargs.items()}
        return zeroed(function(*args, **kwargs))

    return wrapper


def kept_from(value: Any, copies: dict[int, Any]) -> Any:
    """A copy of what can be trained, and all else as it is."""
    torch = sys.modules.get("torch")
    if not torch:
        return value
    items = value if isinstance(value, list | tuple) and value else [value]
    if all(isinstance(item, torch.nn.Module | torch.nn.Parameter | torch.optim.Optimizer) for item in items):
        return copy.deepcopy(value, copies)
    return value


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
