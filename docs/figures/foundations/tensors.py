"""Three tokens on their way into two heads and back, and the one row in which memory holds their numbers."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from docs.figures.style import COOL, FAINT, WARM, cell, panel, save, shade
from katas.foundations.tensors import merge_heads, split_heads

TOKENS, HEADS, HEAD_DIM = 3, 2, 2
SIDE, LOW, TOP = 0.42, 0.36, 1.0  # inches: the width of a cell, its height, above the tables
COLOURS = (shade(0.55, COOL), shade(0.75, WARM))  # of head 0 and of head 1


def draw() -> Figure:
    x = torch.arange(1, TOKENS * HEADS * HEAD_DIM + 1).reshape(1, TOKENS, HEADS * HEAD_DIM)
    heads, straight = split_heads(x, HEADS), x.reshape(1, HEADS, TOKENS, HEAD_DIM)
    assert torch.equal(merge_heads(heads), x)
    figure, axes = panel(9.8, 4.3)
    left, middle, right = 0.95, 4.0, 6.9
    title(axes, left, "x", f"{shape(x)}: a row a token")
    table(axes, left, TOP, x[0], [f"token {token}" for token in range(TOKENS)])
    title(axes, middle, "split_heads(x, 2)", f"{shape(heads)}: a table a head")
    title(axes, right, "only reshaped", f"{shape(straight)}: tokens mixed up")
    for head in range(HEADS):
        y = TOP + head * (TOKENS * LOW + 0.22)
        table(axes, middle, y, heads[0, head], [f"head {head}" if token == 1 else "" for token in range(TOKENS)])
        table(axes, right, y, straight[0, head], ["" for _ in range(TOKENS)])
    arrows(axes, left + HEADS * HEAD_DIM * SIDE + 0.12, middle - 0.75, TOP + 1.5 * LOW)
    memory(axes, 3.85, x, heads)
    return figure


def shape(x: Tensor) -> str:
    return "(" + ", ".join(map(str, x.shape)) + ")"


def title(axes: Axes, left: float, name: str, what: str) -> None:
    axes.text(left, 0.4, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.64, what, color=FAINT, fontsize=9)


def colour(number: int) -> str:
    """The colour of the head that a number of x, which counts from 1, belongs to."""
    return COLOURS[(number - 1) % (HEADS * HEAD_DIM) // HEAD_DIM]


def table(axes: Axes, left: float, top: float, numbers: Tensor, names: list[str]) -> None:
    for row, (line, name) in enumerate(zip(numbers.tolist(), names, strict=True)):
        y = top + row * LOW
        axes.text(left - 0.1, y + LOW / 2, name, ha="right", va="center_baseline", color=FAINT, fontsize=9)
        for column, number in enumerate(line):
            cell(axes, left + column * SIDE, y, str(number), colour(number), SIDE, LOW, fontsize=9)


def arrows(axes: Axes, start: float, end: float, y: float) -> None:
    """To the heads, and back below."""
    for step, above, (here, there) in (("split", -0.1, (start, end)), ("merge", 0.1, (end, start))):
        arrow = {"arrowstyle": "->", "color": FAINT, "lw": 1.4}
        axes.annotate("", (there, y + above), (here, y + above), arrowprops=arrow)
        axes.text((start + end) / 2, y + 2.3 * above, step, ha="center", va="center", color=FAINT, fontsize=9)


def memory(axes: Axes, y: float, x: Tensor, heads: Tensor) -> None:
    """The row of numbers that x and its heads share, and how far a step along each axis of theirs goes in it."""
    assert x.data_ptr() == heads.data_ptr()
    left = 0.95
    axes.text(left - 0.1, y + LOW / 2, "memory", ha="right", va="center_baseline", color=FAINT, fontsize=9)
    for place, number in enumerate(x.flatten().tolist()):
        cell(axes, left + place * SIDE, y, str(number), colour(number), SIDE, LOW, fontsize=9)
    beside = left + x.numel() * SIDE + 0.25
    for line, (name, tensor) in enumerate((("x", x), ("split_heads(x, 2)", heads))):
        told = f"strides of {name}: {tensor.stride()}"
        axes.text(beside, y + (0.25 + 0.5 * line) * LOW, told, va="center_baseline", color=FAINT, fontsize=9)


if __name__ == "__main__":
    save(draw(), "foundations/tensors")
