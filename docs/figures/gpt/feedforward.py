"""GELU beside ReLU, the slopes of both, and a token of three features on its way through the feedforward part."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from docs.figures.style import COOL, EDGE, FAINT, WARM, cell, panel, save, shade
from katas.gpt.feedforward import GELU, FeedForward

REACH = 4.0  # x goes from -REACH to REACH
WIDTH, TOP, HEIGHT = 2.9, 0.85, 2.3  # inches: of a panel of curves
TOKEN = torch.tensor([1.0, -0.6, 0.4])


def draw() -> Figure:
    figure, axes = panel(9.8, 3.6)
    x = torch.linspace(-REACH, REACH, 321, requires_grad=True)
    bent, cut = GELU()(x), torch.relu(x)
    slopes = [torch.autograd.grad(curve.sum(), x)[0] for curve in (bent, cut)]
    flat = x.detach()
    curves(axes, 0.45, "GELU", "and ReLU, dashed", flat, [bent.detach(), cut.detach()], (-1.0, 4.0), (0, 2, 4))
    curves(axes, 3.75, "slopes", "what gradients are multiplied by", flat, slopes, (-0.35, 1.4), (0, 1))
    through(axes, 7.15)
    return figure


def curves(
    axes: Axes,
    left: float,
    name: str,
    what: str,
    x: Tensor,
    pair: list[Tensor],
    reach: tuple[float, float],
    ticks: tuple[int, ...],
) -> None:
    """A panel with the curve of GELU and, fainter, that of ReLU."""
    axes.text(left, 0.42, name, fontsize=12, fontweight="bold")
    axes.text(left + 0.75, 0.42, what, color=FAINT, fontsize=9)
    low, high = reach

    def across(numbers: Tensor | float) -> Tensor | float:
        return left + WIDTH * (numbers + REACH) / (2 * REACH)

    def down(numbers: Tensor | float) -> Tensor | float:
        return TOP + HEIGHT * (high - numbers) / (high - low)

    axes.plot([left, left + WIDTH], [down(0), down(0)], color=EDGE, lw=1)
    axes.plot([across(0), across(0)], [TOP, TOP + HEIGHT], color=EDGE, lw=1)
    for number in (-4, -2, 2, 4):
        told = f"{number}".replace("-", "−")
        axes.text(across(number), TOP + HEIGHT + 0.22, told, ha="center", color=FAINT, fontsize=8)
    for number in ticks[1:]:
        axes.text(across(0) - 0.07, down(number) + 0.04, f"{number}", ha="right", color=FAINT, fontsize=8)
        axes.plot([across(0) - 0.03, across(0) + 0.03], [down(number)] * 2, color=FAINT, lw=1)
    mine, other = pair
    axes.plot(across(x).tolist(), down(other).tolist(), color=WARM, lw=1.6, linestyle=(0, (4, 2)))
    axes.plot(across(x).tolist(), down(mine).tolist(), color=COOL, lw=2.2)


def through(axes: Axes, left: float) -> None:
    """The numbers of one token: as it comes, four times as many, bent, and as many as before."""
    module = FeedForward(emb_dim=3)
    up = torch.sin(torch.arange(36.0) * 2.3).reshape(12, 3)
    down = torch.cos(torch.arange(36.0) * 1.7).reshape(3, 12)
    with torch.no_grad():
        for linear, weight in zip((module.layers[0], module.layers[2]), (up, down), strict=True):
            linear.weight.copy_(weight)
            linear.bias.zero_()
        wide = module.layers[0](TOKEN)
        columns = [TOKEN, wide, module.layers[1](wide), module(TOKEN)]
    axes.text(left, 0.42, "FeedForward", fontsize=12, fontweight="bold")
    axes.text(left + 1.42, 0.42, "one token", color=FAINT, fontsize=9)
    side, middle = HEIGHT / 12, TOP + HEIGHT / 2
    places = [left + number * 0.66 for number in range(4)]
    for place, numbers in zip(places, columns, strict=True):
        for row, number in enumerate(numbers.tolist()):
            fill = shade(min(1.0, abs(number) / 1.6), COOL if number >= 0 else WARM)
            cell(axes, place, middle + (row - len(numbers) / 2) * side, "", fill, 0.3, side)
    for place, name in zip(places, ("Linear", "GELU", "Linear"), strict=False):
        arrow = {"arrowstyle": "->", "color": FAINT, "lw": 1.2}
        axes.annotate("", (place + 0.64, middle), (place + 0.32, middle), arrowprops=arrow)
        axes.text(place + 0.48, TOP + HEIGHT + 0.22, name, ha="center", color=FAINT, fontsize=8)
    for place, count in zip(places, (3, 12, 12, 3), strict=True):
        axes.text(place + 0.15, TOP - 0.12, f"{count}", ha="center", color=FAINT, fontsize=8)


if __name__ == "__main__":
    save(draw(), "gpt/feedforward")
