"""The figure of docs/attention/simplified.md: a sentence in two orders, and the same context vectors in those two."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from docs.figures.style import COOL, FAINT, WARM, cell, panel, save, shade
from katas.attention.simplified import context_vectors

VECTORS = {"dog": [1.5, 0.5, 0.0], "bites": [0.0, 1.5, 0.5], "man": [1.0, 0.0, 1.5]}
FIRST, SECOND = ("dog", "bites", "man"), ("man", "bites", "dog")
WIDE, TALL, TOP = 0.52, 0.5, 1.0  # inches: width and height of a cell, above the cells
SQUARE = 3 * WIDE
LEFT = (0.75, 3.05)  # inches: the left edges of inputs and context vectors
RIGHT = (7.49, 5.19)


def draw() -> Figure:
    """Both orders meet in the middle, where a line joins the two context vectors of a word."""
    figure, axes = panel(9.8, 2.85)
    outer, inner = RIGHT[0] + SQUARE + 0.1, RIGHT[0] - 0.1
    half(axes, FIRST, LEFT, LEFT[0] - 0.1, "right", (LEFT[0] + SQUARE + 0.1, LEFT[1] - 0.1))
    half(axes, SECOND, RIGHT, outer, "left", (inner, RIGHT[1] + SQUARE + 0.1))
    for row, word in enumerate(FIRST):
        heights = [TOP + (place + 0.5) * TALL for place in (row, SECOND.index(word))]
        axes.plot([LEFT[1] + SQUARE + 0.04, RIGHT[1] - 0.04], heights, color=COOL, lw=1.4)
    return figure


def half(
    axes: Axes, order: tuple[str, ...], lefts: tuple[float, float], names: float, side: str, way: tuple[float, float]
) -> None:
    """One order of the sentence: its words, their vectors, and what attention makes of them."""
    inputs = torch.tensor([VECTORS[word] for word in order])
    title = LEFT[0] if order == FIRST else RIGHT[1]
    axes.text(title, 0.4, " ".join(order), fontsize=12, fontweight="bold")
    square(axes, lefts[0], "inputs", inputs, "{:.1f}", WARM)
    square(axes, lefts[1], "context vectors", context_vectors(inputs), "{:.2f}", COOL)
    for row, word in enumerate(order):
        axes.text(names, TOP + (row + 0.5) * TALL, word, ha=side, va="center_baseline")
    middle = TOP + 1.5 * TALL
    style = {"arrowstyle": "->", "color": FAINT, "lw": 1.4}
    axes.annotate("", (way[1], middle), (way[0], middle), arrowprops=style)


def square(axes: Axes, left: float, title: str, numbers: Tensor, form: str, colour: str) -> None:
    axes.text(left, TOP - 0.1, title, color=FAINT, fontsize=9)
    for row, line in enumerate(numbers.tolist()):
        for column, number in enumerate(line):
            fill = shade(0.1 + number / 2, colour)
            cell(axes, left + column * WIDE, TOP + row * TALL, form.format(number), fill, WIDE, TALL, fontsize=9)


if __name__ == "__main__":
    save(draw(), "attention/simplified")
