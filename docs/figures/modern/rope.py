"""Two pairs of features turned at five positions, and the scores of a query and a key at every two positions."""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from docs.figures.style import COOL, EDGE, FAINT, WARM, cell, panel, save, shade
from katas.modern.rope import apply_rotary, rotary_angles

POSITIONS, SIDE, RADIUS = 6, 0.42, 0.95  # positions, and inches: of a cell, of a circle
TOP = 0.95


def draw() -> Figure:
    figure, axes = panel(9.4, 3.9)
    angles = rotary_angles(4, POSITIONS, base=100)
    turned = apply_rotary(torch.tensor([[1.0, 1.0, 0.0, 0.0]]).expand(POSITIONS, -1), angles)
    for pair, (x, speed) in enumerate(((1.5, "1 radian a token"), (4.2, "0.1 radians a token"))):
        circle(axes, x, TOP + 1.3, f"pair {pair}", speed, turned[:, [pair, pair + 2]].tolist())
    scores(axes, 6.35, (turned @ turned.mT).tolist())
    return figure


def circle(axes: Axes, x: float, y: float, name: str, speed: str, points: list[list[float]]) -> None:
    """The pair (1, 0) at each position, as a hand on a clock."""
    axes.text(x - 1.1, 0.42, name, fontsize=12, fontweight="bold")
    axes.text(x - 1.1, 0.66, speed, color=FAINT, fontsize=9)
    axes.add_patch(Circle((x, y), RADIUS, facecolor="none", edgecolor=EDGE, linewidth=1.2))
    for position, (a, b) in enumerate(points):
        colour = shade(1 - 0.13 * position, COOL)
        tip = (x + RADIUS * a, y - RADIUS * b)  # y goes down
        axes.annotate("", tip, (x, y), arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.8})
        reach = RADIUS + 0.16
        at = math.atan2(b, a)
        text = (x + reach * math.cos(at), y - reach * math.sin(at))
        axes.text(*text, f"{position}", ha="center", va="center_baseline", fontsize=8, color=FAINT)


def scores(axes: Axes, left: float, table: list[list[float]]) -> None:
    """The dot product of the turned query, a row for each of its positions, with the turned key."""
    axes.text(left - 0.3, 0.42, "scores", fontsize=12, fontweight="bold")
    axes.text(left - 0.3, 0.66, "query at a row's position, key at a column's", color=FAINT, fontsize=9)
    for row, numbers in enumerate(table):
        axes.text(left - 0.12, TOP + (row + 0.5) * SIDE, f"{row}", ha="right", va="center_baseline", color=FAINT)
        for column, score in enumerate(numbers):
            fill = shade(abs(score) / 2, COOL if score > 0 else WARM)
            told = f"{round(score, 1) + 0.0:.1f}".replace("-", "−")
            cell(axes, left + column * SIDE, TOP + row * SIDE, told, fill, SIDE, SIDE, fontsize=8)
    for column in range(POSITIONS):
        axes.text(left + (column + 0.5) * SIDE, TOP + POSITIONS * SIDE + 0.2, f"{column}", ha="center", color=FAINT)


if __name__ == "__main__":
    save(draw(), "modern/rope")
