"""The figure of docs/finetuning/lora.md: a weight, the update of rank 1 that two thin matrices make, and their sum."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from docs.figures.style import COOL, FAINT, INK, WARM, cell, panel, save, shade
from dojo.system.terminal import number
from katas.finetuning.lora import LoRALinear

SIDE = 0.38  # inches: a cell
LEFT, TOP = 0.3, 1.62  # inches: the weight
STEP = 7 * SIDE + 0.55  # inches: from one matrix to the next
WEIGHT = [[2, 0, -1, 1, 3, 0], [1, 1, 0, -2, 0, 2], [0, 3, 1, 0, -1, 1], [-1, 2, 0, 1, 1, 0]]
A, B = [[1.0, 2.0, 0.0, -1.0, 0.0, 1.0]], [[2.0], [0.0], [1.0], [-1.0]]


def draw() -> Figure:
    linear = nn.Linear(6, 4, bias=False)
    layer = LoRALinear(linear, rank=1, alpha=1.0)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(WEIGHT))
        layer.A.copy_(torch.tensor(A))
        layer.B.copy_(torch.tensor(B))
    before = linear.weight.detach().clone()
    layer.merge()
    merged = linear.weight.detach()

    figure, axes = panel(3 * STEP + 0.25, 4.85)
    second, third = LEFT + STEP + SIDE + 0.12, LEFT + 2 * STEP + SIDE + 0.12
    title(axes, LEFT, "the weight", "frozen: 24 numbers")
    grid(axes, LEFT, TOP, before, COOL)
    sign(axes, LEFT + 6 * SIDE + 0.3, "+")

    title(axes, second - SIDE - 0.12, "B A", "learned: B, 4 numbers, and A, 6")
    grid(axes, second, TOP - SIDE - 0.12, layer.A.detach(), WARM)
    grid(axes, second - SIDE - 0.12, TOP, layer.B.detach(), WARM)
    grid(axes, second, TOP, merged - before, None)
    axes.text(second + 6 * SIDE + 0.08, TOP - SIDE / 2 - 0.12, "A", fontweight="bold", va="center_baseline")
    axes.text(second - SIDE / 2 - 0.12, TOP + 4 * SIDE + 0.2, "B", fontweight="bold", ha="center")
    sign(axes, second + 6 * SIDE + 0.26, "=")

    title(axes, third, "merged", "one layer of the old size")
    grid(axes, third, TOP, merged, COOL)

    low = TOP + 4 * SIDE + 0.62
    axes.text(LEFT, low, "numbers that are trained, of all in the weight", fontsize=9, fontweight="bold")
    for row, (width, height, rank) in enumerate([(6, 4, 1), (6, 4, 2), (768, 768, 8)]):
        adapter = LoRALinear(nn.Linear(width, height, bias=False), rank, alpha=1.0)
        learned, frozen = count(adapter, learning=True), count(adapter, learning=False)
        y = low + 0.26 * (row + 1)
        named = f"{height} by {width}, rank {rank}:"
        axes.text(LEFT, y, named, color=FAINT, fontsize=9)
        axes.text(LEFT + 1.75, y, f"{number(learned)} of {number(frozen)}", fontsize=9)
        share = learned / frozen
        axes.plot([second, second + 5 * SIDE], [y - 0.05] * 2, color=shade(0.25), lw=7, solid_capstyle="butt")
        axes.plot([second, second + 5 * SIDE * share], [y - 0.05] * 2, color=WARM, lw=7, solid_capstyle="butt")
        axes.text(second + 5 * SIDE + 0.12, y, f"{100 * share:.0f} %", color=INK, fontsize=9)
    return figure


def grid(axes: Axes, left: float, top: float, matrix: Tensor, colour: str | None) -> None:
    """A matrix of small whole numbers; the larger a number, the stronger its colour."""
    for row, numbers in enumerate(matrix.tolist()):
        for column, one in enumerate(numbers):
            strength = 0.15 + 0.14 * min(abs(one), 4.0)
            fill = shade(strength if colour else 0.6 * strength, colour or WARM)
            place = left + column * SIDE, top + row * SIDE
            cell(axes, *place, f"{one:.0f}".replace("-", "\u2212"), fill, SIDE, SIDE, fontsize=8.5)


def title(axes: Axes, left: float, name: str, what: str) -> None:
    axes.text(left, 0.42, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.68, what, color=FAINT, fontsize=9)


def sign(axes: Axes, x: float, text: str) -> None:
    axes.text(x, TOP + 2 * SIDE, text, fontsize=16, ha="center", va="center_baseline")


def count(module: nn.Module, learning: bool) -> int:
    return sum(one.numel() for one in module.parameters() if one.requires_grad is learning)


if __name__ == "__main__":
    save(draw(), "finetuning/lora")
