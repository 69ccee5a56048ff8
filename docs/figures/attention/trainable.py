"""The figure of docs/attention/trainable.md: one query by hand; weights with and without the division as d_k grows.

The vectors on the right are random numbers with mean 0 and variance 1, and the narrow ones begin the wide ones.
"""

import math
import random

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from docs.figures.style import COOL, FAINT, WARM, cell, panel, save, shade
from dojo.system.terminal import number
from katas.attention.trainable import scaled_dot_product_attention

KEYS, WIDTHS = 8, (4, 64, 1024)
BAR, FULL, GAP = 0.19, 1.0, 0.36  # inches: width of a bar, height of weight 1, between panels
FLOORS = {"as they are": 1.95, "divided by √d_k": 3.5}  # inches: the feet of the bars
LEFT, RIGHT, SIDE = 0.4, 4.4, 0.64  # inches: where the two halves begin, and the side of a cell


def draw() -> Figure:
    figure, axes = panel(9.9, 3.85)
    by_hand(axes)
    for column, d_k in enumerate(WIDTHS):
        left = RIGHT + column * (KEYS * BAR + GAP)
        axes.text(left, 0.4, f"d_k = {number(d_k)}", fontsize=12, fontweight="bold")
        for name, floor in FLOORS.items():
            bars(axes, left, floor, weights(d_k, 1.0 if "√" in name else d_k**0.5))
    for name, floor in FLOORS.items():
        axes.text(RIGHT, floor - FULL - 0.15, f"weights of 8 keys, scores {name}", color=FAINT, fontsize=9)
    return figure


def by_hand(axes: Axes) -> None:
    """The example of the page: a query of width 4 meets two keys."""
    query, keys = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[0.0, 0, 0, 0], [math.log(3), 0, 0, 0]])
    values, dots = torch.tensor([[4.0], [8.0]]), (keys @ query[0]).tolist()
    shares = scaled_dot_product_attention(query, keys, torch.eye(2))[0].tolist()
    axes.text(LEFT, 0.4, "query (2, 0, 0, 0)", fontsize=12, fontweight="bold")
    titles = ("query · key", "/ √4", "softmax", "value")
    for row, key in enumerate(("key (0, 0, 0, 0)", "key (ln 3, 0, 0, 0)")):
        low = 1.2 + row * 0.95
        axes.text(LEFT, low - 0.14, key, va="center_baseline", fontsize=9)
        told = (f"{dots[row]:.2f}", f"{dots[row] / 2:.2f}", f"{shares[row]:.2f}", f"{values[row].item():.0f}")
        fills = (shade(0.08), shade(0.08), shade(shares[row]), shade(0.6, WARM))
        for column, (text, fill) in enumerate(zip(told, fills, strict=True)):
            cell(axes, LEFT + column * 0.92, low, text, fill, SIDE, 0.46, fontsize=9)
            if column < 2:
                here, style = LEFT + column * 0.92 + SIDE, {"arrowstyle": "->", "color": FAINT, "lw": 1.2}
                axes.annotate("", (here + 0.26, low + 0.23), (here + 0.02, low + 0.23), arrowprops=style)
    for column, title in enumerate(titles):
        axes.text(LEFT + column * 0.92 + SIDE / 2, 0.8, title, ha="center", color=FAINT, fontsize=9)
    result = scaled_dot_product_attention(query, keys, values).item()
    axes.text(LEFT, 3.2, f"{shares[0]:.2f} · 4 + {shares[1]:.2f} · 8 =", va="center_baseline")
    cell(axes, LEFT + 1.84, 2.97, f"{result:.0f}", shade(0.6, WARM), SIDE, 0.46, fontsize=9)


def weights(d_k: int, times: float) -> list[float]:
    """The weights of the keys, with the query made longer by a factor: one of sqrt(d_k) takes the division back."""
    draw_one = random.Random(0)
    wide = torch.tensor([[draw_one.gauss(0, 1) for _ in range(KEYS + 1)] for _ in range(d_k)]).mT  # (keys + 1, d_k)
    return scaled_dot_product_attention(times * wide[:1], wide[1:], torch.eye(KEYS))[0].tolist()


def bars(axes: Axes, left: float, floor: float, shares: list[float]) -> None:
    for place, share in enumerate(shares):
        x, height = left + place * BAR, share * FULL
        axes.add_patch(Rectangle((x + 0.02, floor - height), BAR - 0.04, height, facecolor=COOL))
    greatest = max(shares)
    x = left + (shares.index(greatest) + 0.5) * BAR
    axes.text(x, floor - greatest * FULL - 0.04, f"{greatest:.2f}", ha="center", fontsize=8)
    axes.plot([left, left + KEYS * BAR], [floor, floor], color=FAINT, lw=1)


if __name__ == "__main__":
    save(draw(), "attention/trainable")
