"""The figure of docs/pretraining/optimizer.md: a learning rate with a warmup, and steps with and without correction."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.figures.style import COOL, FAINT, INK, WARM, panel, save
from katas.pretraining.optimizer import AdamW, learning_rate_at

STEPS, WARMUP = 100, 10
WIDTH, HEIGHT = 3.7, 1.75  # inches: of a diagram
FLOOR, LEFT, RIGHT = 2.75, 0.85, 5.55  # of its foot, and of its left side


def draw() -> Figure:
    figure, axes = panel(9.9, 3.4)
    rates = [learning_rate_at(step, 1.0, 0.1, WARMUP, STEPS) for step in range(STEPS + 21)]
    frame(axes, LEFT, "the learning rate", "learning_rate_at(step, peak, minimum, 10, 100)")
    curve(axes, LEFT, rates, 1.0, WARM)
    for value, name in ((1.0, "peak"), (0.1, "minimum"), (0.0, "0")):
        level(axes, LEFT, value, name)
    for step in (0, WARMUP, STEPS):
        mark(axes, LEFT, step, len(rates) - 1, str(step))

    corrected, plain = lengths()
    frame(axes, RIGHT, "the length of a step", "under a gradient that stays the same, in learning rates")
    curve(axes, RIGHT, [float("nan"), *plain], 7.0, COOL)
    curve(axes, RIGHT, [float("nan"), *corrected], 7.0, WARM)
    for value in range(0, 8, 2):
        level(axes, RIGHT, value / 7, str(value))
    for step in (1, 50, STEPS):
        mark(axes, RIGHT, step, STEPS, str(step))
    axes.text(RIGHT + 1.15, FLOOR - 1.56, "averages as they are", color=COOL, fontweight="bold", fontsize=9)
    axes.text(
        RIGHT + 1.15, FLOOR - 0.37, "corrected for their beginning at 0", color=INK, fontweight="bold", fontsize=9
    )
    return figure


def lengths() -> tuple[list[float], list[float]]:
    """How far each step goes, as AdamW goes, and as it would go by its averages as they are."""
    number = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = AdamW([number], lr=1.0, weight_decay=0.0)
    corrected, plain = [], []
    for _ in range(STEPS):
        before = number.item()
        number.grad = torch.ones_like(number)
        optimizer.step()
        corrected.append(before - number.item())
        plain.append((optimizer.state[number]["exp_avg"] / optimizer.state[number]["exp_avg_sq"].sqrt()).item())
    return corrected, plain


def frame(axes: Axes, left: float, name: str, what: str) -> None:
    axes.text(left, 0.38, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.6, what, color=FAINT, fontsize=9)
    axes.plot([left, left + WIDTH], [FLOOR, FLOOR], color=FAINT, lw=1)
    axes.text(left + WIDTH, FLOOR + 0.45, "step", ha="right", color=FAINT, fontsize=9)


def curve(axes: Axes, left: float, values: list[float], top: float, colour: str) -> None:
    places = [left + WIDTH * step / (len(values) - 1) for step in range(len(values))]
    axes.plot(places, [FLOOR - HEIGHT * value / top for value in values], color=colour, lw=2.4)


def level(axes: Axes, left: float, share: float, name: str) -> None:
    axes.text(left - 0.1, FLOOR - HEIGHT * share, name, ha="right", va="center_baseline", color=FAINT, fontsize=9)


def mark(axes: Axes, left: float, step: int, last: int, name: str) -> None:
    place = left + WIDTH * step / last
    axes.plot([place, place], [FLOOR, FLOOR + 0.06], color=FAINT, lw=1)
    axes.text(place, FLOOR + 0.23, name, ha="center", color=FAINT, fontsize=9)


if __name__ == "__main__":
    save(draw(), "pretraining/optimizer")
