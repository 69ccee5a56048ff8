"""A ladder as a table that fits 100 columns, and as JSON."""

import json
from collections.abc import Callable, Iterator, Sequence

from dojo.ladder.ladder import FAILED, SKIPPED, TIMED, Cell, Climb, growth
from dojo.ladder.measuring import PASSES

NAME, COLUMN = 22, 8


def table(climbed: Climb) -> list[str]:
    """What was measured: for each pass the milliseconds and the memory by length, and below what was left out."""
    lines = [title(climbed)]
    for which in PASSES:
        last = max((cell.tokens for cell in climbed.cells if cell.state == TIMED), default=0)
        lines += ["", f"{which}: milliseconds by tokens; memory, rates and growth at {last} tokens", heading(climbed)]
        for name in climbed.variants():
            if any(cell.state == TIMED for cell in climbed.cells if cell.variant == name):
                lines.append(row(climbed, name, which, last))
    return lines + list(notes(climbed))


def title(climbed: Climb) -> str:
    shape = f"{climbed.heads} heads of {climbed.head_dim}, {climbed.dtype}, batch {climbed.batch}"
    where = climbed.machine.get("device", climbed.device)
    return f"{shape}, {where}, torch {climbed.machine.get('torch', '')}"


def heading(climbed: Climb) -> str:
    lengths = "".join(f"{tokens:>{width(climbed)}}" for tokens in climbed.lengths)
    return f"{'':{NAME}}{lengths}{'MiB':>8}{'TFLOP/s':>8}{'of fused':>9}{'growth':>7}"


def row(climbed: Climb, name: str, which: str, last: int) -> str:
    """One variant: a number for each length, and what else was measured at the longest one."""
    shown = "".join(f"{_short(climbed.cell(name, tokens, which)):>{width(climbed)}}" for tokens in climbed.lengths)
    rate = growth(climbed.of(name, which), lambda cell: cell.seconds)
    at_last = climbed.cell(name, last, which)
    more = ""
    if at_last and at_last.state == TIMED:
        more = f"{at_last.memory / 2**20:8.0f}{at_last.flops / 1e12:8.2f}{at_last.of_fused:9.2f}"
    return f"{name:{NAME}}{shown}{more:25}{'' if rate is None else f'{rate:7.1f}'}".rstrip()


def width(climbed: Climb) -> int:
    return min(COLUMN, (100 - NAME - 32) // max(len(climbed.lengths), 1))


def notes(climbed: Climb) -> Iterator[str]:
    """What failed and what was left out, each variant once for each reason."""
    for state, word in ((FAILED, "not right, so not timed"), (SKIPPED, "left out")):
        told: dict[tuple[str, str], list[int]] = {}
        for cell in climbed.cells:
            if cell.state == state and cell.which == PASSES[0] and not cell.why.startswith("failed at"):
                told.setdefault((cell.variant, cell.why), []).append(cell.tokens)
        if told:
            yield ""
            yield f"{word}:"
        for (name, why), lengths in told.items():
            at = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
            yield f"  {name}, {at} tokens: {why}"


def as_json(climbs: Sequence[Climb], checked: Sequence[str]) -> str:
    return json.dumps({"climbs": [climbed.as_data() for climbed in climbs], "checks": list(checked)}, indent=1) + "\n"


def from_json(text: str) -> list[Climb]:
    """The ladders of what as_json gave."""
    climbs = json.loads(text)["climbs"]
    return [Climb(**climbed | {"cells": [Cell(**cell) for cell in climbed["cells"]]}) for climbed in climbs]


def _short(cell: Cell | None) -> str:
    """A cell in few characters."""
    if cell is None:
        return ""
    if cell.state != TIMED:
        return {FAILED: "wrong", SKIPPED: "-"}[cell.state]
    return _number(cell.seconds * 1000)


def _number(value: float) -> str:
    places: Callable[[float], int] = lambda number: 0 if number >= 100 else 1 if number >= 10 else 2  # noqa: E731
    return f"{value:.{places(value)}f}"
