"""Four tokens on their way through two heads: features cut, weights for each head, joined, and projected."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from docs.figures.style import COOL, FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.attention.multihead import MultiHeadAttention

TOKENS = ("the", "cat", "sat", "down")
QUERIES = torch.tensor([2.0, 0.0, 0.0, 2.0]).expand(4, -1)
KEYS = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 2.0], [0.0, 0.0, 0.0, 3.0]])
VALUES = torch.tensor([[1.0, 2.0, 1.0, 8.0], [3.0, 4.0, 3.0, 6.0], [5.0, 6.0, 5.0, 4.0], [7.0, 8.0, 7.0, 2.0]])
OUT_PROJ = torch.tensor([[0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.0, 0.5], [0.5, 0.0, 0.0, 0.5], [0.0, 0.5, 0.5, 0.0]])
HALVES, COLOURS = (slice(0, 2), slice(2, 4)), (COOL, WARM)  # of head 0 and of head 1
SIDE, LOW = 0.44, 0.33  # inches: the width of a cell, its height
LEFT, SQUARES, JOINED, OUTPUT = 0.72, 3.5, 6.28, 9.06
TABLES, HEADS, MIDDLE = (1.0, 2.62, 4.24), (1.35, 3.55), 2.55  # above the tables on the left, the squares, the others


def draw() -> Figure:
    weights = torch.cat([attended(torch.eye(4)[:, half].repeat(1, 2)).unflatten(-1, (2, 2)) for half in HALVES], dim=-1)
    joined = attended(VALUES)
    assert torch.allclose(joined, torch.cat([weights[:, head] @ VALUES[:, HALVES[head]] for head in (0, 1)], dim=-1))
    figure, axes = panel(11.0, 5.8)
    title(axes, LEFT, "cut into heads", "two features for each head")
    for top, name, numbers in zip(TABLES, ("queries", "keys", "values"), (QUERIES, KEYS, VALUES), strict=True):
        axes.text(LEFT + 2 * SIDE, top - 0.07, name, ha="center", fontsize=9)
        table(axes, LEFT, top, numbers, "{:.0f}", fill=0.55)
    title(axes, SQUARES, "weights", "one square for each head")
    for head, top in enumerate(HEADS):
        square(axes, top, weights[:, head], head)
        arrow(axes, LEFT + 4 * SIDE + 0.1, top + 2 * LOW, f"head {head}")
        arrow(axes, SQUARES + 4 * SIDE + 0.1, top + 2 * LOW, "mix values")
    title(axes, JOINED, "joined", "side by side again")
    table(axes, JOINED, MIDDLE, joined, "{:.1f}", fill=0.55)
    arrow(axes, JOINED + 4 * SIDE + 0.1, MIDDLE + 2 * LOW, "out_proj")
    title(axes, OUTPUT, "output", "every head in every feature")
    table(axes, OUTPUT, MIDDLE, attended(VALUES, OUT_PROJ), "{:.1f}", fill=0.0)
    return figure


def attended(values: Tensor, out_proj: Tensor | None = None) -> Tensor:
    """What the reference makes of four one-hot tokens; row j of values is the value of token j."""
    attention = MultiHeadAttention(d_in=4, d_out=4, context_length=4, dropout=0.0, num_heads=2)
    projections = {"W_query.weight": QUERIES.mT, "W_key.weight": KEYS.mT, "W_value.weight": values.mT}
    mixing = {"out_proj.weight": torch.eye(4) if out_proj is None else out_proj, "out_proj.bias": torch.zeros(4)}
    attention.load_state_dict(projections | mixing)
    with torch.no_grad():
        return attention(torch.eye(4)[None])[0]


def title(axes: Axes, left: float, name: str, what: str) -> None:
    axes.text(left, 0.36, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.57, what, color=FAINT, fontsize=9)


def table(axes: Axes, left: float, top: float, numbers: Tensor, form: str, fill: float) -> None:
    """A row for each token; the features of a head have its colour, at the strength of fill."""
    for row, token in enumerate(TOKENS):
        y = top + row * LOW
        axes.text(left - 0.08, y + LOW / 2, token, ha="right", va="center_baseline", color=FAINT, fontsize=9)
        for column, number in enumerate(numbers[row].tolist()):
            colour = shade(fill, COLOURS[column // 2])
            cell(axes, left + column * SIDE, y, form.format(number), colour, SIDE, LOW, fontsize=9)


def square(axes: Axes, top: float, weights: Tensor, head: int) -> None:
    """The weights of a head: a row is a query, a column is a key, and the future is grey."""
    for column, token in enumerate(TOKENS):
        axes.text(SQUARES + (column + 0.5) * SIDE, top - 0.05, token, ha="center", color=FAINT, fontsize=9)
    for row, token in enumerate(TOKENS):
        y = top + row * LOW
        axes.text(SQUARES - 0.08, y + LOW / 2, token, ha="right", va="center_baseline", color=FAINT, fontsize=9)
        for column, weight in enumerate(weights[row].tolist()):
            shown, fill = (f"{weight:.2f}", shade(weight, COLOURS[head])) if column <= row else ("0", HIDDEN)
            extra = {} if column <= row else {"color": FAINT}
            cell(axes, SQUARES + column * SIDE, y, shown, fill, SIDE, LOW, fontsize=9, **extra)


def arrow(axes: Axes, start: float, y: float, step: str) -> None:
    """The step that leads on from start, as far as the names of the tokens there."""
    end = start + 0.48
    axes.annotate("", (end, y), (start, y), arrowprops={"arrowstyle": "->", "color": FAINT, "lw": 1.4})
    axes.text((start + end) / 2, y - 0.08, step, ha="center", color=FAINT, fontsize=8)


if __name__ == "__main__":
    save(draw(), "attention/multihead")
