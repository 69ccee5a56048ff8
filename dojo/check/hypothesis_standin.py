"""A machine without Hypothesis, one that is lent for its GPU: its tests run there on a few examples from fixed seeds.

It has what the tests of the attention and gpt katas use, and shrinks nothing. `python -m dojo.check cuda` alone puts it
into place.
"""

import functools
import importlib.util
import inspect
import random
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

EXAMPLES = 5


class Strategy:
    """Something that draws a value."""

    def __init__(self, draw: Callable[[random.Random], Any]) -> None:
        self.draw = draw


class Data:
    """What `st.data()` gives: a test draws from it while it runs."""

    def __init__(self, source: random.Random) -> None:
        self.source = source

    def draw(self, strategy: Strategy, label: str | None = None) -> Any:
        return strategy.draw(self.source)


def integers(least: int, most: int) -> Strategy:
    return Strategy(lambda source: source.randint(least, most))


def booleans() -> Strategy:
    return Strategy(lambda source: source.random() < 0.5)


def data() -> Strategy:
    return Strategy(Data)


def composite(function: Callable[..., Any]) -> Callable[..., Strategy]:
    return lambda *how: Strategy(lambda source: function(Data(source).draw, *how))


def given(*strategies: Strategy) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Fill the last parameters of a test, once for each example; pytest gives it the others by name."""

    def decorated(test: Callable[..., None]) -> Callable[..., None]:
        listed = [*inspect.signature(test).parameters.values()]
        filled = [parameter.name for parameter in listed[-len(strategies) :]]

        @functools.wraps(test)
        def repeated(**others: Any) -> None:
            for seed in range(EXAMPLES):
                source = random.Random(seed)
                drawn = [strategy.draw(source) for strategy in strategies]
                test(**others, **dict(zip(filled, drawn, strict=True)))

        repeated.__signature__ = inspect.Signature(listed[: -len(strategies)])  # type: ignore[attr-defined]
        return repeated

    return decorated


def stand_in() -> None:
    """Let `import hypothesis` give this, where Hypothesis is not installed."""
    if importlib.util.find_spec("hypothesis") is not None:
        return
    names = "hypothesis", "hypothesis.strategies"
    module, strategies = (importlib.util.module_from_spec(ModuleSpec(name, None)) for name in names)
    vars(strategies).update(integers=integers, booleans=booleans, data=data, composite=composite)
    vars(module).update(given=given, strategies=strategies)
    sys.modules.update(zip(names, (module, strategies), strict=True))
