"""What a ladder is held to: ratios within one run, and how memory grows. Never seconds.

A pair of rungs that misses its bar is measured again by itself. If it misses it again on a machine that is busy, or by
less than its own times scatter, this proves nothing, and the check says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import quantiles

from dojo.ladder.ladder import TIMED, Bar, Climb, Growth, Ladder, growth
from dojo.ladder.measuring import BUSY, in_turn, median, ratios, share_of_processor
from dojo.system.terminal import number

HOLDS, FAILS, UNKNOWN = "holds", "FAILS", "cannot tell"
AGAIN = 6.0  # seconds for a pair


@dataclass
class Check:
    """One thing that has to hold: what, the value seen, the bar, and whether it does."""

    what: str
    seen: float
    bar: float
    state: str
    note: str = ""

    @property
    def fails(self) -> bool:
        return self.state == FAILS

    def __str__(self) -> str:
        return f"{self.state}  {self.what}: {self.seen:.2f}, the bar is {self.bar:g}{self.note}"


def checks(ladder: Ladder, climbed: Climb, tell: Callable[[str], None] = lambda what: None) -> list[Check]:
    """Everything that can be checked on the cells that were timed."""
    found: list[Check] = []
    for bar in ladder.bars:
        found += _growing(climbed, bar) if isinstance(bar, Growth) else _faster(ladder, climbed, bar, tell)
    return found


def _faster(ladder: Ladder, climbed: Climb, bar: Bar, tell: Callable[[str], None]) -> Iterator[Check]:
    for size in climbed.sizes:
        for which in bar.passes:
            cells = [climbed.cell(name, size, which) for name in (bar.one, bar.other)]
            if bar.sizes[0] <= size <= bar.sizes[1] and all(cell and cell.state == TIMED for cell in cells):
                one, other = [cell for cell in cells if cell]
                seen = one.of_base / other.of_base if one.of_base and other.of_base else other.seconds / one.seconds
                what = f"speed of {bar.one} in that of {bar.other}, {which}, {number(size)} {climbed.unit}"
                if seen >= bar.least:
                    yield Check(what, seen, bar.least, HOLDS)
                else:
                    tell(f"measuring again: {what}")
                    yield again(ladder, bar, size, which, what)


def again(ladder: Ladder, bar: Bar, size: int, which: str, what: str) -> Check:
    """A pair by itself, and whether the machine lets anything be said about it."""
    problem = ladder.problem(size)
    builds = {variant.name: variant.build for variant in ladder.variants}
    steps = {name: ladder.step(builds[name](problem), problem, which) for name in (bar.one, bar.other)}
    share = share_of_processor()
    found = ratios(in_turn(steps, ladder.device, AGAIN), bar.one, bar.other)
    share = min(share, share_of_processor())
    seen, upper = median(found), quantiles(found, n=4)[2] if len(found) > 1 else found[0]
    if seen >= bar.least:
        return Check(what, seen, bar.least, HOLDS, " (measured twice)")
    if share < BUSY:
        note = f"; the machine is too busy to tell: other programs take {1 - share:.0%} of its processor"
        return Check(what, seen, bar.least, UNKNOWN, note)
    if upper >= bar.least:
        return Check(what, seen, bar.least, UNKNOWN, f"; a quarter of the rounds gave {upper:.2f} or more")
    return Check(what, seen, bar.least, FAILS, " (measured twice)")


def _growing(climbed: Climb, bar: Growth) -> Iterator[Check]:
    rate = growth([cell for cell in climbed.of(bar.name, bar.which) if cell.size >= bar.start], lambda c: c.memory)
    if rate is not None:
        holds = rate >= bar.power if bar.at_least else rate <= bar.power
        what = f"growth of the memory of {bar.name}, {'at least' if bar.at_least else 'at most'}"
        yield Check(what, rate, bar.power, HOLDS if holds else FAILS)
