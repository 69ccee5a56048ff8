"""Check what crosses a kata's public functions against its annotations, while tests run and nowhere else.

jaxtyping binds the axes and beartype reads the annotations; this module only asks them, so that a mismatch can be told
in a learner's words: which argument or result, its axes by name, what was expected and what came.
"""

import contextlib
import dis
import functools
import inspect
import sys
import typing
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from dojo.serving._wrapping import wrap_public
from dojo.serving.jaxtyping_standin import can_check

KINDS = {
    "Bool": "bools",
    "Float": "floats",
    "Int": "integers",
    "Integer": "integers",
    "Num": "numbers",
    "Shaped": "any dtype",
}  # what the kinds of jaxtyping hold
_checking: ContextVar[bool] = ContextVar("checking", default=True)
_met: set[str] = set()  # katas that were served before, in this process


class Mismatch(Exception):
    """A value does not fit its annotation. `what` names the value, `seen` and `expected` tell the two sides."""

    def __init__(self, what: str, seen: str, expected: str, value: Any):
        super().__init__(f"{what} is {seen}, expected {expected}")
        self.what, self.seen, self.expected, self.is_none = what, seen, expected, value is None


class Empty(NotImplementedError):
    """A function of the specification was called whose body is nothing but `pass`, `...` or a docstring."""

    def __init__(self, function: Any):
        super().__init__(f"{function.__qualname__} has an empty body")
        self.name, self.file = function.__qualname__, function.__code__.co_filename
        self.line = function.__code__.co_firstlineno


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Switch the checks off, for a test that passes something wrong on purpose: the kata has to refuse it."""
    token = _checking.set(False)
    try:
        yield
    finally:
        _checking.reset(token)


def check(module: ModuleType) -> None:
    """Check the public functions and methods of a served kata from now on."""
    if not can_check():
        return
    if module.__name__ in _met:
        forget_classes()
    _met.add(module.__name__)
    wrap_public(module, checked)


def forget_classes() -> None:
    """Let beartype forget the annotations it has read: it knows them by their text, and a kata that is loaded again
    has other classes of the same names. Decorating a class that it takes for a redefined one makes it forget."""
    from beartype import beartype

    for _ in range(2):
        beartype(type("Redefined", (), {"__module__": __name__}))


def checked(function: Any) -> Any:
    """The function, with its arguments and its result checked at every call, and its body for having any code."""
    empty = is_empty(function) and function.__name__ != "__post_init__"  # a dataclass need not check its fields
    signature = inspect.signature(function)
    single = [name for name, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    hints = functools.cache(lambda: hints_of(function))

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if empty:
            raise Empty(function)
        if is_compiling() or not _checking.get():
            return function(*args, **kwargs)
        try:
            arguments = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)
        from jaxtyping import jaxtyped

        axes: dict[str, Any] = {}
        with jaxtyped("context"):
            for name in (name for name in single if name in arguments and name in hints()):
                fit(f"the argument {name} of {function.__qualname__}", arguments[name], hints()[name], axes)
            result = function(*args, **kwargs)
            if "return" in hints():
                fit(f"the result of {function.__qualname__}", result, hints()["return"], axes)
        return result

    return wrapper


def is_empty(function: Any) -> bool:
    """Whether a function does nothing at all: it returns None, and that is its only instruction."""
    if (code := getattr(function, "__code__", None)) is None:  # a partial has none
        return False
    found = [one for one in dis.get_instructions(code) if one.opname not in ("RESUME", "NOP", "RETURN_VALUE")]
    return len(found) == 1 and "CONST" in found[0].opname and found[0].argval is None


def hints_of(function: Any) -> dict[str, Any]:
    """The annotations of a function; none where a learner's own cannot be evaluated."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:
        return {}


def fit(what: str, value: Any, hint: Any, axes: dict[str, Any]) -> None:
    """Raise Mismatch unless the value fits the annotation; learn the sizes of the axes that it names."""
    __tracebackhide__ = True
    from beartype import BeartypeConf
    from beartype.door import is_bearable

    try:
        fits = is_bearable(value, hint, conf=BeartypeConf(is_pep484_tower=True))
    except Exception:  # an annotation that a learner wrote and beartype cannot read is not a fault of the value
        return
    if not fits:
        raise Mismatch(what, told_value(value), told_hint(hint, axes), value)
    if hasattr(hint, "dim_str") and hasattr(value, "shape"):
        axes.update(sizes_of(hint.dim_str.split(), tuple(value.shape)))


def sizes_of(names: list[str], shape: tuple[int, ...]) -> dict[str, Any]:
    """The size of each axis that has a plain name; for `*axes`, which stands for any number of them, their sizes."""
    starred = next((place for place, name in enumerate(names) if name.startswith("*")), None)
    if starred is None:
        return {name: size for name, size in zip(names, shape, strict=False) if name.isidentifier()}
    end = len(shape) - (len(names) - starred - 1)
    after = sizes_of(names[starred + 1 :], shape[end:])
    return {**sizes_of(names[:starred], shape[:starred]), names[starred]: shape[starred:end], **after}


def told_value(value: Any) -> str:
    """A value as a learner speaks of it: a tensor by shape and dtype, the rest by type and a short repr."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{tuple(value.shape)} of {value.dtype}"
    if inspect.isroutine(value):
        return f"the function {value.__name__}, which was not called"
    text = repr(value)
    return "None" if value is None else f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def told_hint(hint: Any, axes: dict[str, Any]) -> str:
    """An annotation as a learner speaks of it: axes by name, with their sizes where the arguments fixed them."""
    if hasattr(hint, "dim_str"):
        kind = hint.__name__.partition("[")[0]
        kind = KINDS.get(kind, kind)  # a learner's own may be any other, such as Float32
        named = ", ".join(f"{name} {axes[name]}" if name in axes else name for name in hint.dim_str.split())
        if named.startswith("*") and hint.dim_str in axes:
            return f"{axes[hint.dim_str]} of {kind}"
        return f"({named}) of {kind}"
    return getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint).replace("typing.", "")


def is_compiling() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.compiler.is_compiling()
