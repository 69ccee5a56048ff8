"""The losses of a run as a chart of characters."""

import math
from collections.abc import Sequence

from dojo.system import terminal

HEIGHT, WIDEST, MARGIN = 9, 64, 7

Points = Sequence[tuple[float, float]]


def chart(learned: Points, held_out: Points, last: int, unit: str) -> list[str]:
    """Two series of (step, loss), held_out drawn over learned, with the numbers of both axes.

    What is not finite is left out.
    """
    learned, held_out = ([point for point in points if math.isfinite(point[1])] for points in (learned, held_out))
    values = [loss for _, loss in (*learned, *held_out)]
    if not values:
        return []
    low, high = min(values), max(values)
    width = max(min(terminal.columns() - MARGIN - 3, WIDEST), 10)
    cells = [[" "] * width for _ in range(HEIGHT)]
    for points, sign in ((learned, terminal.glyph("dot")), (held_out, "o")):
        for step, loss in points:
            row = round((high - loss) / max(high - low, 1e-9) * (HEIGHT - 1))
            cells[row][min(round(step / max(last, 1) * (width - 1)), width - 1)] = sign
    lines = []
    for row, line in enumerate(cells):
        value = high - (high - low) * row / (HEIGHT - 1)
        number = f"{value:.2f}" if row % 4 == 0 else ""
        lines.append(f"{number:>{MARGIN - 1}} | {''.join(line)}".rstrip())
    lines.append(f"{'':{MARGIN - 1}} +{'-' * (width + 1)}")
    lines.append(f"{'':{MARGIN}} 0{f'step {last}':>{width}}")
    lines.append(f"{'':{MARGIN}} loss in nats a {unit}: {terminal.glyph('dot')} learned, o held out")
    return lines


def smoothed(losses: Sequence[float], points: int = 200) -> list[tuple[float, float]]:
    """(step, loss): the means of equal stretches of steps, at most so many of them, where every loss is known."""
    stretch = max(-(-len(losses) // points), 1)
    parts = [losses[start : start + stretch] for start in range(0, len(losses), stretch)]
    means = [(start * stretch + (len(part) + 1) / 2, sum(part) / len(part)) for start, part in enumerate(parts)]
    return [point for point in means if math.isfinite(point[1])]
