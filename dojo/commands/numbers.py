"""Numbers on the command line."""

import math
from typing import Any

import click


class Finite(click.FloatRange):
    """A float within bounds. nan and inf are refused: nan is within every bound, and inf above every least value."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
