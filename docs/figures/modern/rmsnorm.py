"""Three tokens of six features: as they come, as LayerNorm brings them to one size, and as RMSNorm does."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from docs.figures.style import CARD, COOL, EDGE, FAINT, INK, WARM, panel, save, shade
from katas.gpt.layernorm import LayerNorm
from katas.modern.rmsnorm import RMSNorm

TOKENS = ("the", "cat", "sat")
X = torch.tensor([[0.9, -0.5, 0.3, -0.2, 0.6, -1.1], [-7.0, 8.5, 3.0, -2.5, 5.5, -4.5], [9.0, 7.4, 8.5, 7.9, 8.1, 9.7]])
COLOURS = (COOL, WARM, shade(0.5), INK, "#8a5a9e", "#5f8f5a")  # one for each feature
WIDTH, TOP, ROW = 2.6, 1.15, 0.62  # inches: of a line, above the first of them, from one to the next
LEFTS = (0.75, 3.85, 6.95)


def draw() -> Figure:
    with torch.no_grad():
        centered, scaled = LayerNorm(emb_dim=6)(X), RMSNorm(emb_dim=6)(X)
    figure, axes = panel(9.8, 3.4)
    for row, token in enumerate(TOKENS):
        axes.text(LEFTS[0] - 0.15, TOP + row * ROW, token, ha="right", va="center_baseline")
    lines(axes, LEFTS[0], "x", "each token at its own place and size", X, 10)
    lines(axes, LEFTS[1], "LayerNorm", "mean 0, variance 1", centered, 3)
    lines(axes, LEFTS[2], "RMSNorm", "mean square 1", scaled, 3)
    told = "six features, a colour each; the stroke is their mean"
    axes.text(LEFTS[0], 3.1, told, color=FAINT, fontsize=9, va="center_baseline")
    return figure


def lines(axes: Axes, left: float, name: str, what: str, numbers: Tensor, reach: float) -> None:
    """A line from -reach to reach for each token, a dot on it for each feature, and a stroke at the mean."""
    axes.text(left, 0.42, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.66, what, color=FAINT, fontsize=9)

    def place(number: float) -> float:
        return left + WIDTH * (number / reach + 1) / 2

    for row, features in enumerate(numbers):
        y, mean = TOP + row * ROW, place(features.mean().item())
        axes.add_line(Line2D([left, left + WIDTH], [y, y], color=EDGE, linewidth=1.2))
        axes.add_line(Line2D([mean, mean], [y - 0.19, y + 0.19], color=FAINT, linewidth=1.4))
        for number, colour in zip(features.tolist(), COLOURS, strict=True):
            axes.add_line(Line2D([place(number)], [y], marker="o", markersize=7, color=colour, markeredgecolor=CARD))
    for number in (-reach, 0, reach):
        told = f"{number:g}".replace("-", "−")
        axes.text(place(number), TOP + 2 * ROW + 0.38, told, ha="center", color=FAINT, fontsize=8)


if __name__ == "__main__":
    save(draw(), "modern/rmsnorm")
