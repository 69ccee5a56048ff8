"""What each of eight tokens depends on after one, two and three layers with a window of 3."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from docs.figures.style import COOL, FAINT, HIDDEN, cell, panel, save, shade
from katas.modern.sliding_window import sliding_window_mask

TOKENS, WINDOW = 8, 3
SIDE, LEFT, TOP, GAP = 0.3, 0.9, 1.05, 0.6  # inches


def draw() -> Figure:
    figure, axes = panel(LEFT + 3 * TOKENS * SIDE + 2 * GAP + 0.4, TOP + TOKENS * SIDE + 0.5)
    positions = torch.arange(TOKENS)
    mask = sliding_window_mask(positions, positions, WINDOW).int()
    reached = torch.eye(TOKENS, dtype=torch.int32)
    for layers in (1, 2, 3):
        reached = ((mask @ reached) > 0).int()
        square(axes, LEFT + (layers - 1) * (TOKENS * SIDE + GAP), layers, reached)
    axes.text(LEFT - 0.62, TOP + TOKENS * SIDE / 2, "query", rotation=90, va="center", color=FAINT, fontsize=9)
    return figure


def square(axes: Axes, left: float, layers: int, reached: Tensor) -> None:
    name = "1 layer" if layers == 1 else f"{layers} layers"
    axes.text(left, 0.42, name, fontsize=12, fontweight="bold")
    far = (TOKENS - 1) - int(reached[-1].nonzero()[0])
    axes.text(left, 0.62, f"depends on itself and {far} before", color=FAINT, fontsize=9)
    axes.text(left + TOKENS * SIDE / 2, TOP + TOKENS * SIDE + 0.25, "key", ha="center", color=FAINT, fontsize=9)
    for row in range(TOKENS):
        axes.text(left - 0.1, TOP + (row + 0.5) * SIDE, str(row), ha="right", va="center_baseline", fontsize=8)
        axes.text(left + (row + 0.5) * SIDE, TOP - 0.08, str(row), ha="center", fontsize=8)
        for column in range(TOKENS):
            fill = shade(0.7, COOL) if reached[row, column] else HIDDEN
            cell(axes, left + column * SIDE, TOP + row * SIDE, "", fill, SIDE, SIDE)


if __name__ == "__main__":
    save(draw(), "modern/sliding_window")
