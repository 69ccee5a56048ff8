"""The figure of docs/pretraining/optimizer.md: the length of a step, with averages corrected and as they are."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.figures.style import COOL, FAINT, INK, WARM, panel, save
from katas.pretraining.optimizer import AdamW

STEPS = 100
WIDTH, HEIGHT = 4.2, 1.75  # inches: of the diagram
FLOOR, LEFT = 2.75, 0.85  # of its foot, and of its left side


def draw() -> Figure:
    figure, axes = panel(5.6, 3.4)
    corrected, plain = lengths()
    frame(axes, "the length of a step", "in learning rates, for a gradient that never changes")
    curve(axes, [float("nan"), *plain], 7.0, COOL)
    curve(axes, [float("nan"), *corrected], 7.0, WARM)
    for value in range(0, 8, 2):
        level(axes, value / 7, str(value))
    for step in (1, 50, STEPS):
        mark(axes, step, STEPS, str(step))
    axes.text(LEFT + 1.3, FLOOR - 1.56, "averages as they are", color=COOL, fontweight="bold", fontsize=9)
    axes.text(LEFT + 1.3, FLOOR - 0.37, "corrected for starting at 0", color=INK, fontweight="bold", fontsize=9)
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


def frame(axes: Axes, name: str, what: str) -> None:
    axes.text(LEFT, 0.38, name, fontsize=12, fontweight="bold")
    axes.text(LEFT, 0.6, what, color=FAINT, fontsize=9)
    axes.plot([LEFT, LEFT + WIDTH], [FLOOR, FLOOR], color=FAINT, lw=1)
    axes.text(LEFT + WIDTH, FLOOR + 0.45, "step", ha="right", color=FAINT, fontsize=9)


def curve(axes: Axes, values: list[float], top: float, colour: str) -> None:
    places = [LEFT + WIDTH * step / (len(values) - 1) for step in range(len(values))]
    axes.plot(places, [FLOOR - HEIGHT * value / top for value in values], color=colour, lw=2.4)


def level(axes: Axes, share: float, name: str) -> None:
    axes.text(LEFT - 0.1, FLOOR - HEIGHT * share, name, ha="right", va="center_baseline", color=FAINT, fontsize=9)


def mark(axes: Axes, step: int, last: int, name: str) -> None:
    place = LEFT + WIDTH * step / last
    axes.plot([place, place], [FLOOR, FLOOR + 0.06], color=FAINT, lw=1)
    axes.text(place, FLOOR + 0.23, name, ha="center", color=FAINT, fontsize=9)


if __name__ == "__main__":
    save(draw(), "pretraining/optimizer")
