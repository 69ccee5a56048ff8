"""A ladder as a table that fits 100 columns, and as JSON."""

import json
import textwrap
from collections.abc import Iterator, Sequence

from dojo.ladder.ladder import FAILED, SKIPPED, TIMED, Cell, Climb, growth
from dojo.system.terminal import number

NAME, COLUMN = 22, 8


def table(climbed: Climb) -> list[str]:
    """What was measured: for each pass the milliseconds and the memory by size, and below what was left out."""
    lines = [title(climbed)]
    for which in climbed.passes:
        what = f"{which}: milliseconds by {climbed.unit}; the rest at the last; speed beside {climbed.base}"
        lines += ["", what, heading(climbed)]
        lines += [row(climbed, name, which) for name in climbed.variants() if climbed.of(name, which)]
    return lines + list(notes(climbed))


def title(climbed: Climb) -> str:
    where = climbed.machine.get("device", climbed.device)
    shape = [part for part in (climbed.shape, climbed.dtype) if part]
    return ", ".join([climbed.name, *shape, where, f"torch {climbed.machine.get('torch', '')}"])


def heading(climbed: Climb) -> str:
    sizes = "".join(f"{number(size):>{width(climbed)}}" for size in climbed.sizes)
    memory = "MiB" if has_memory(climbed) else ""
    return f"{'':{NAME}}{sizes}{memory:>8}{climbed.rate:>9}{'speed':>7}{'growth':>7}"


def row(climbed: Climb, name: str, which: str) -> str:
    """One rung: a number for each size, and what else was measured at its largest one."""
    shown = "".join(f"{_short(climbed.cell(name, size, which)):>{width(climbed)}}" for size in climbed.sizes)
    rate = growth(climbed.of(name, which), lambda cell: cell.seconds)
    last = climbed.of(name, which)[-1]
    memory = number(last.memory / 2**20) if has_memory(climbed) else ""
    speed = f"{last.of_base:.2f}" if last.of_base else ""
    return (
        f"{name:{NAME}}{shown}{memory:>8}{_number(last.rate):>9}{speed:>7}{'' if rate is None else f'{rate:7.1f}'}"
    ).rstrip()


def has_memory(climbed: Climb) -> bool:
    return any(cell.memory for cell in climbed.cells)


def width(climbed: Climb) -> int:
    return min(COLUMN, (100 - NAME - 31) // max(len(climbed.sizes), 1))


def notes(climbed: Climb) -> Iterator[str]:
    """What failed and what was left out; rungs with the same reason at the same sizes share a note."""
    for state, word in ((FAILED, "not right, so not timed"), (SKIPPED, "left out")):
        sizes: dict[tuple[str, str], list[int]] = {}
        for cell in climbed.cells:
            if cell.state == state and not cell.why.startswith("failed at"):
                found = sizes.setdefault((cell.variant, cell.why), [])
                found += [cell.size] * (cell.size not in found)
        names: dict[tuple[str, str], list[str]] = {}
        for (name, why), found in sizes.items():
            at = " to ".join(number(size) for size in dict.fromkeys((found[0], found[-1])))
            names.setdefault((at, why), []).append(name)
        if names:
            yield from ("", f"{word}:")
        for (at, why), named in names.items():
            yield from textwrap.wrap(
                f"{'; '.join(named)}, {at} {climbed.unit}: {why}", 96, initial_indent="  ", subsequent_indent="    "
            )


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
    return number(value, 0 if value >= 100 else 1 if value >= 10 else 2)
