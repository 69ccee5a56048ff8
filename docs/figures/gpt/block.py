"""What flows where in a block, and what twelve blocks do to gradients and tokens with and without their shortcuts."""

import math
import random
from collections.abc import Callable

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from docs.figures.style import COOL, FAINT, INK, WARM, cell, panel, save, shade
from katas.gpt.block import TransformerBlock
from katas.gpt.config import GPTConfig

DEPTH, TOKENS, WIDTH = 12, 8, 32
LEFT, LONG = 4.3, 4.2  # inches: of the charts
STREAM, BRANCH, BOX, TALL = 0.85, 1.6, 1.5, 0.4  # inches: the shortcut's way, where branches begin, a box
ARROW = {"arrowstyle": "-|>", "color": FAINT, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}

Line = tuple[str, str, list[float], float]  # a name, its colour, a value for each block, and where the name stands


def draw() -> Figure:
    figure, axes = panel(10.4, 6.1)
    flow(axes)
    start = numbers(random.Random(1), (1, TOKENS, WIDTH))
    towards = numbers(random.Random(2), (1, TOKENS, WIDTH))
    whole, no_shortcuts, bare = (way(step, start) for step in (whole_block, without_shortcuts, without_both))
    heading(
        axes,
        LEFT,
        0.36,
        "how much gradient arrives",
        "at the input of each of 12 fresh blocks; at their output it is 1",
    )
    lines = [
        ("the block", COOL, gradients(whole, towards), 0.9),
        ("no shortcuts", WARM, gradients(no_shortcuts, towards), 0.015),
        ("no shortcuts,\nno norms", INK, gradients(bare, towards), 1e-5),
    ]
    logs = [(name, colour, list(map(math.log10, values)), math.log10(end)) for name, colour, values, end in lines]
    chart(axes, 0.85, 1.9, logs, {2: "100", -2: "0.01", -6: "10⁻⁶", -10: "10⁻¹⁰", -14: "10⁻¹⁴", -18: ""})
    heading(axes, LEFT, 3.5, "how alike the tokens are", "mean cosine of the angle between two of 8 tokens, there")
    alike = [("the block", COOL, likeness(whole), 0.45), ("no shortcuts", WARM, likeness(no_shortcuts), 1.0)]
    chart(axes, 3.95, 1.45, alike, {1: "1", 0.5: "0.5", 0: "0", -0.1: ""})
    axes.text(LEFT + 0.55 + LONG / 2, 5.82, "input of block", ha="center", color=FAINT, fontsize=9)
    return figure


def whole_block(block: TransformerBlock, x: Tensor) -> Tensor:
    return block(x)


def without_shortcuts(block: TransformerBlock, x: Tensor) -> Tensor:
    x = block.att(block.norm1(x))
    return block.ff(block.norm2(x))


def without_both(block: TransformerBlock, x: Tensor) -> Tensor:
    return block.ff(block.att(x))


def way(step: Callable[[TransformerBlock, Tensor], Tensor], start: Tensor) -> list[Tensor]:
    """What a stack of fresh blocks makes of the start: the input of each block, and the output of the last."""
    draw = random.Random(0)
    config = GPTConfig(1, TOKENS, WIDTH, n_heads=4, n_layers=DEPTH, drop_rate=0.0, qkv_bias=False)
    seen = [start.clone().requires_grad_()]
    for _ in range(DEPTH):
        seen.append(step(fresh(TransformerBlock(config).double(), draw), seen[-1]))
    return seen


def fresh(block: TransformerBlock, draw: random.Random) -> TransformerBlock:
    """The block with the distribution that a new nn.Linear has, from numbers that are the same everywhere."""
    for layer in block.modules():
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            for parameter in layer.parameters():
                parameter.data = bound * numbers(draw, tuple(parameter.shape))
    return block


def numbers(draw: random.Random, shape: tuple[int, ...]) -> Tensor:
    drawn = [draw.uniform(-1, 1) for _ in range(math.prod(shape))]
    return torch.tensor(drawn, dtype=torch.float64).reshape(shape)


def gradients(seen: list[Tensor], towards: Tensor) -> list[float]:
    """The norm of the gradient at the input of each block, where the output gets `towards`, relative to the output."""
    found = torch.autograd.grad(seen[-1], seen[:-1], towards)
    return [rounded((each.norm() / towards.norm()).item()) for each in found]


def likeness(seen: list[Tensor]) -> list[float]:
    """The mean cosine of two different tokens, at the input of each block."""
    found = []
    for x in seen[:-1]:
        directions = nn.functional.normalize(x[0], dim=-1)
        between = directions @ directions.mT
        found.append(rounded((between.sum() - TOKENS).item() / (TOKENS * (TOKENS - 1))))
    return found


def rounded(value: float) -> float:
    """Three digits: what a processor adds further back does not reach the drawing."""
    return float(f"{value:.2e}")


def heading(axes: Axes, x: float, y: float, name: str, what: str) -> None:
    axes.text(x, y, name, fontsize=12, fontweight="bold")
    axes.text(x, y + 0.21, what, color=FAINT, fontsize=9)


def chart(axes: Axes, top: float, height: float, lines: list[Line], marks: dict[float, str]) -> None:
    """Lines over the blocks, each with its name at its end; marks are values and their names, the greatest first."""
    left, step, (high, *_, low) = LEFT + 0.55, LONG / (DEPTH - 1), list(marks)

    def y(value: float) -> float:
        return top + (high - value) / (high - low) * height

    for value, name in marks.items():
        if name:
            axes.plot([left, left + LONG], [y(value)] * 2, color=shade(0.25, FAINT), linewidth=0.8)
            axes.text(left - 0.1, y(value), name, ha="right", va="center_baseline", color=FAINT, fontsize=9)
    for block in range(DEPTH):
        axes.text(left + block * step, top + height + 0.2, f"{block + 1}", ha="center", color=FAINT, fontsize=9)
    for name, colour, values, end in lines:
        axes.plot([left + block * step for block in range(DEPTH)], [y(value) for value in values], color=colour)
        axes.text(left + LONG + 0.12, y(end), name, va="center", fontsize=9)


def flow(axes: Axes) -> None:
    """The way of a token through the block, from top to bottom."""
    heading(axes, 0.4, 0.36, "one block", "a shortcut past each half")
    axes.text(STREAM, 0.95, "x", ha="center", fontsize=11)
    down(axes, 1.02, 5.66)
    for top, boxes in ((1.2, ("norm1", "att", "drop_shortcut")), (3.3, ("norm2", "ff", "drop_shortcut"))):
        axes.plot([STREAM, BRANCH + BOX / 2], [top] * 2, color=FAINT, linewidth=1.4)
        y = top
        for number, name in enumerate(boxes):
            arrow(axes, (BRANCH + BOX / 2, y), (BRANCH + BOX / 2, y + 0.22))
            fill = shade(0.45, WARM) if number == 1 else shade(0.22)
            cell(axes, BRANCH, y + 0.2, name, fill, BOX, TALL, fontsize=9.5)
            y += 0.2 + TALL
        axes.plot([BRANCH + BOX / 2] * 2, [y, y + 0.1], color=FAINT, linewidth=1.4)
        arrow(axes, (BRANCH + BOX / 2, y + 0.1), (STREAM + 0.13, y + 0.1))
        axes.plot([STREAM], [y + 0.1], marker="o", markersize=17, color=shade(0.22), markeredgecolor=FAINT)
        axes.text(STREAM, y + 0.1, "+", ha="center", va="center_baseline", fontsize=13)
    axes.text(STREAM, 5.82, "to the next block", ha="center", color=FAINT, fontsize=9)


def down(axes: Axes, start: float, end: float) -> None:
    axes.plot([STREAM] * 2, [start, end - 0.1], color=COOL, linewidth=4, solid_capstyle="butt")
    axes.annotate("", (STREAM, end), (STREAM, end - 0.3), arrowprops={**ARROW, "color": COOL, "linewidth": 4})


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops=ARROW)


if __name__ == "__main__":
    save(draw(), "gpt/block")
