"""The way of four tokens through causal attention: scores, the future hidden, weights, output."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from docs.figures.style import FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.attention.causal import CausalAttention

TOKENS = ("the", "cat", "sat", "down")
SCORES = torch.tensor([[1.0, 2.0, 0.0, 1.0], [2.0, 1.0, 2.0, 0.0], [0.0, 2.0, 1.0, 2.0], [0.0, 1.0, 2.0, 0.0]])
VALUES = torch.tensor([2.0, 4.0, 6.0, 8.0])
SIDE, TOP, GAP = 0.46, 1.0, 0.74  # inches: of a cell, above the cells, between two squares


def draw() -> Figure:
    weights, output = attended(torch.eye(4)), attended(VALUES.expand(4, 4))[:, 0]
    hidden = weights == 0
    figure, axes = panel(9.8, 3.65)
    columns = [0.67 + number * (4 * SIDE + GAP) for number in range(4)]
    for row, token in enumerate(TOKENS):
        axes.text(columns[0] - 0.08, TOP + (row + 0.5) * SIDE, token, ha="right", va="center_baseline")
    for left, step in zip(columns[1:], ("hide", "softmax", "mix"), strict=True):
        arrow(axes, left, step)

    title(axes, columns[0], "scores", "query · key / √d_out")
    square(axes, columns[0], SCORES, "{:.0f}", full=4)
    title(axes, columns[1], "future hidden", "before the softmax")
    square(axes, columns[1], SCORES.masked_fill(hidden, -torch.inf), "{:.0f}", full=4)
    title(axes, columns[2], "weights", "every row sums to 1")
    square(axes, columns[2], weights.masked_fill(hidden, -torch.inf), "{:.2f}", full=1, instead="0")
    title(axes, columns[3], "output", "means of values")
    for place, (value, mixed) in enumerate(zip(VALUES, output, strict=True)):
        low = TOP + 4 * SIDE + 0.12
        cell(axes, columns[2] + place * SIDE, low, f"{value:.0f}", shade(0.4, WARM), SIDE, SIDE, fontsize=9)
        cell(axes, columns[3], TOP + place * SIDE, f"{mixed:.2f}", WARM, 1.3 * SIDE, SIDE, fontsize=9)
    axes.text(columns[2] - 0.08, TOP + 4.5 * SIDE + 0.12, "values", ha="right", va="center_baseline", color=FAINT)
    return figure


def attended(values: Tensor) -> Tensor:
    """What the reference makes of four one-hot tokens; column j of values is the value of token j."""
    attention = CausalAttention(d_in=4, d_out=4, context_length=4, dropout=0.0)
    attention.load_state_dict({"W_query.weight": 2 * SCORES.mT, "W_key.weight": torch.eye(4), "W_value.weight": values})
    with torch.no_grad():
        return attention(torch.eye(4)[None])[0]


def title(axes: Axes, left: float, name: str, what: str) -> None:
    axes.text(left, 0.36, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.57, what, color=FAINT, fontsize=9)


def square(axes: Axes, left: float, numbers: Tensor, form: str, full: float, instead: str = "−∞") -> None:
    """A cell for each number, the darker the nearer to full; one for -inf is grey and shows what stands instead."""
    for column, token in enumerate(TOKENS):
        axes.text(left + (column + 0.5) * SIDE, TOP - 0.08, token, ha="center", color=FAINT, fontsize=9)
    for row, column in torch.cartesian_prod(torch.arange(4), torch.arange(4)).tolist():
        number, place = numbers[row, column].item(), (left + column * SIDE, TOP + row * SIDE)
        if number == -torch.inf:
            cell(axes, *place, instead, HIDDEN, SIDE, SIDE, fontsize=9, color=FAINT)
        else:
            cell(axes, *place, form.format(number), shade(number / full), SIDE, SIDE, fontsize=9)


def arrow(axes: Axes, left: float, step: str) -> None:
    """The step that leads to the square at left."""
    y = TOP + 2 * SIDE
    axes.annotate(
        "", (left - 0.1, y), (left - GAP + 0.1, y), arrowprops={"arrowstyle": "->", "color": FAINT, "lw": 1.4}
    )
    axes.text(left - GAP / 2, y - 0.08, step, ha="center", color=FAINT, fontsize=9)


if __name__ == "__main__":
    save(draw(), "attention/causal")
