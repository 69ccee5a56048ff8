"""The curve of silu beside ReLU and sigmoid, and one token of three features on its way through a gated part."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import silu

from docs.figures.style import COOL, EDGE, FAINT, INK, WARM, cell, panel, save, shade
from katas.modern.swiglu import SwiGLU

REACH = 4.0  # x goes from -REACH to REACH
WIDTH, TOP, HEIGHT = 3.0, 0.85, 2.4  # inches: of the panel of curves
HIDDEN = 8
TOKEN = torch.tensor([1.0, -0.6, 0.4])


def draw() -> Figure:
    figure, axes = panel(9.6, 3.9)
    curves(axes, 0.45)
    through(axes, 4.2)
    return figure


def curves(axes: Axes, left: float) -> None:
    """silu, and fainter what it is made of and what it resembles."""
    axes.text(left, 0.42, "silu", fontsize=12, fontweight="bold")
    axes.text(left + 0.5, 0.42, "sigmoid dotted, ReLU dashed", color=FAINT, fontsize=9)
    x = torch.linspace(-REACH, REACH, 161)

    def across(number: float) -> float:
        return left + WIDTH * (number + REACH) / (2 * REACH)

    def down(number: float) -> float:
        return TOP + HEIGHT * (4.0 - number) / 5.0

    axes.plot([left, left + WIDTH], [down(0), down(0)], color=EDGE, lw=1)
    axes.plot([across(0), across(0)], [TOP, TOP + HEIGHT], color=EDGE, lw=1)
    for number in (-4, -2, 2, 4):
        told = f"{number}".replace("-", "−")
        axes.text(across(number), TOP + HEIGHT + 0.2, told, ha="center", color=FAINT, fontsize=8)
    for number in (1, 2, 3, 4):
        axes.text(across(0) - 0.07, down(number) + 0.04, f"{number}", ha="right", color=FAINT, fontsize=8)
    styles = ((x.relu(), WARM, (0, (4, 2)), 1.6), (x.sigmoid(), INK, (0, (1, 2)), 1.4), (silu(x), COOL, "-", 2.2))
    for numbers, colour, style, width in styles:
        places = [across(number) for number in x.tolist()]
        axes.plot(places, [down(number) for number in numbers.tolist()], color=colour, linestyle=style, lw=width)


def through(axes: Axes, left: float) -> None:
    """The numbers of one token: as it comes, in both branches, their product, and as many as before."""
    module = SwiGLU(emb_dim=3, hidden_dim=HIDDEN)
    with torch.no_grad():
        for layer, speed in ((module.gate_proj, 2.3), (module.up_proj, 1.7), (module.down_proj, 2.9)):
            weight = layer.weight
            weight.copy_(torch.sin(torch.arange(weight.numel()) * speed + 1).reshape(weight.shape))
        gate, up = silu(module.gate_proj(TOKEN)), module.up_proj(TOKEN)
        output = module(TOKEN)
    axes.text(left, 0.42, "SwiGLU", fontsize=12, fontweight="bold")
    axes.text(left + 0.95, 0.42, "one token: blue above 0, orange below", color=FAINT, fontsize=9)
    middle = TOP + HEIGHT / 2 + 0.1
    column(axes, left, middle, TOKEN, "x")
    column(axes, left + 1.35, middle - 0.72, gate, "silu(gate_proj(x))")
    column(axes, left + 1.35, middle + 0.72, up, "up_proj(x)")
    column(axes, left + 3.2, middle, gate * up, "gate · up")
    column(axes, left + 4.6, middle, output, "down_proj")
    for start, end in (
        ((0.3, 0), (1.3, -0.72)),
        ((0.3, 0), (1.3, 0.72)),
        ((1.7, -0.72), (3.15, 0)),
        ((1.7, 0.72), (3.15, 0)),
        ((3.55, 0), (4.55, 0)),
    ):
        arrow = {"arrowstyle": "->", "color": FAINT, "lw": 1.2}
        axes.annotate("", (left + end[0], middle + end[1]), (left + start[0], middle + start[1]), arrowprops=arrow)


def column(axes: Axes, x: float, middle: float, numbers: Tensor, name: str) -> None:
    side = 0.145
    for row, number in enumerate(numbers.tolist()):
        fill = shade(min(1.0, abs(number) / 1.2), COOL if number >= 0 else WARM)
        cell(axes, x, middle + (row - len(numbers) / 2) * side, "", fill, 0.3, side)
    y = middle + len(numbers) / 2 * side + 0.16
    axes.text(x + 0.15, y, name, ha="center", color=FAINT, fontsize=8)


if __name__ == "__main__":
    save(draw(), "modern/swiglu")
