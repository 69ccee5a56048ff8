"""What a ladder is held to: ratios within one run, with room for noise, and how memory grows. Never seconds."""

from collections.abc import Iterator
from dataclasses import dataclass

from dojo.ladder.ladder import TIMED, Climb, growth
from dojo.ladder.measuring import BOTH, FORWARD
from dojo.ladder.variants import FUSED, SPLIT

LONG = 1024  # tokens from which on fused kernels have to pay


@dataclass
class Check:
    """One thing that has to hold: what, the value seen, and the bar."""

    what: str
    seen: float
    bar: float
    holds: bool

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'FAILS'}  {self.what}: {self.seen:.2f}, the bar is {self.bar:g}"


def checks(climbed: Climb) -> list[Check]:
    """Everything that can be checked on the cells that were timed, on a CPU or with CUDA."""
    found = []
    for tokens in climbed.lengths:
        if tokens >= LONG:
            found += list(_at(climbed, tokens))
    found += list(_growing(climbed))
    return found


def _at(climbed: Climb, tokens: int) -> Iterator[Check]:
    yield from _faster(climbed, tokens, FORWARD, FUSED, SPLIT, 1.0)
    yield from _faster(climbed, tokens, BOTH, FUSED, SPLIT, 1.0)
    if climbed.device == "cpu" and climbed.dtype == "float32":
        # The bars of a quiet machine are 0.6 and 1.0; a quarter is room for noise.
        yield from _faster(climbed, tokens, FORWARD, "tiled", FUSED, 0.45)
        yield from _faster(climbed, tokens, BOTH, "tiled", FUSED, 0.45)
        if tokens == LONG:
            # In longer texts one head's square is nearer to a CPU than the squares of all heads.
            yield from _faster(climbed, tokens, BOTH, SPLIT, "a head each (wrapper)", 0.75)
            yield from _faster(climbed, tokens, FORWARD, SPLIT, "nn.MHA, with weights", 0.75)
            yield from _faster(climbed, tokens, BOTH, SPLIT, "nn.MHA, with weights", 0.75)


def _faster(climbed: Climb, tokens: int, which: str, one: str, other: str, bar: float) -> Iterator[Check]:
    """How many times the speed of the other one of them reaches."""
    mine, theirs = climbed.cell(one, tokens, which), climbed.cell(other, tokens, which)
    if mine and theirs and mine.state == theirs.state == TIMED:
        seen = theirs.seconds / mine.seconds
        yield Check(f"speed of {one} in that of {other}, {which}, {tokens} tokens", seen, bar, seen >= bar)


def _growing(climbed: Climb) -> Iterator[Check]:
    for name, at_least in (("tiled", False), ("fused projection", True)):
        cells = [cell for cell in climbed.of(name, BOTH) if cell.tokens >= 512]
        rate = growth(cells, lambda cell: cell.memory)
        if rate is not None:
            bar = 1.5
            holds = rate >= bar if at_least else rate <= bar
            yield Check(f"growth of the memory of {name}, {'at least' if at_least else 'at most'}", rate, bar, holds)
