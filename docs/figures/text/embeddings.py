"""A lookup as a product: the ids 2, 0, 2 as one-hot rows, times the table, and with the positions added."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from docs.figures.style import FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.text.embeddings import InputEmbedding

IDS = torch.tensor([2, 0, 2])
TOKENS = ("cat", "the", "cat")
TABLE = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
POSITIONS = torch.tensor([[10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])
COLOURS = (shade(0.35), HIDDEN, shade(0.55, WARM))  # of the rows of the table: 0 and 2 are used, 1 is not
SIDE, TOP = 0.46, 0.9  # inches: of a cell, above the cells


def draw() -> Figure:
    embedding = InputEmbedding(vocab_size=3, context_length=3, emb_dim=2)
    embedding.load_state_dict({"tok_emb.weight": TABLE, "pos_emb.weight": POSITIONS})
    with torch.no_grad():
        tokens, output = embedding.tok_emb(IDS[None])[0], embedding(IDS[None])[0]
    one_hot = (IDS[:, None] == torch.arange(3)).float()
    figure, axes = panel(9.8, 2.6)

    for row, (token, token_id) in enumerate(zip(TOKENS, IDS.tolist(), strict=True)):
        middle = TOP + (row + 0.5) * SIDE
        axes.text(0.3, middle, token, va="center_baseline")
        cell(axes, 0.85, TOP + row * SIDE, str(token_id), COLOURS[token_id], SIDE, SIDE)
    title(axes, 0.85, "ids", "")

    title(axes, 2.0, "one-hot", "a 1 at the id")
    grid(axes, 2.0, one_hot, IDS.tolist(), faint_zeros=True)
    sign(axes, 3.64, "·")
    title(axes, 4.15, "weight", "a row for each id")
    grid(axes, 4.15, TABLE, [0, 1, 2])
    for row in range(3):
        axes.text(4.1, TOP + (row + 0.5) * SIDE, str(row), ha="right", va="center_baseline", color=FAINT, fontsize=8)
    sign(axes, 5.32, "=")
    title(axes, 5.58, "tokens", "rows 2, 0, 2")
    grid(axes, 5.58, tokens, IDS.tolist())
    sign(axes, 6.83, "+")
    title(axes, 7.15, "positions", "rows 0, 1, 2")
    grid(axes, 7.15, POSITIONS, None)
    sign(axes, 8.32, "=")
    title(axes, 8.58, "input", "of the model")
    grid(axes, 8.58, output, IDS.tolist())
    return figure


def title(axes: Axes, left: float, name: str, what: str) -> None:
    axes.text(left, 0.42, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.65, what, color=FAINT, fontsize=9)


def sign(axes: Axes, x: float, text: str) -> None:
    axes.text(x, TOP + 1.5 * SIDE, text, ha="center", va="center", fontsize=16, fontweight="bold")


def grid(axes: Axes, left: float, numbers: Tensor, rows: list[int] | None, faint_zeros: bool = False) -> None:
    """A cell for each number, in the colour of the row of the table that it belongs to."""
    for row, line in enumerate(numbers.tolist()):
        for column, number in enumerate(line):
            fill = COLOURS[rows[row]] if rows else shade(0)
            style = {"fontsize": 9}
            if faint_zeros and not number:
                fill, style = shade(0), {"fontsize": 9, "color": FAINT}
            cell(axes, left + column * SIDE, TOP + row * SIDE, f"{number:.0f}", fill, SIDE, SIDE, **style)


if __name__ == "__main__":
    save(draw(), "text/embeddings")
