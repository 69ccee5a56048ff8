"""Twelve query heads that share 12, 4 or 1 heads of keys and values, and what a cache takes for each token."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.figures.style import COOL, FAINT, WARM, cell, panel, save, shade
from dojo.system.terminal import number
from katas.modern.grouped_query import GroupedQueryAttention

LAYERS, WIDTH, HEADS, BYTES = 12, 768, 12, 2  # GPT-2 small, in bfloat16
SHARED = ((12, "multi-head"), (4, "grouped-query"), (1, "multi-query"))
LEFT, TOP, SIDE, HIGH, ROW = 1.75, 0.75, 0.44, 0.34, 1.55  # inches


def draw() -> Figure:
    figure, axes = panel(9.4, 5.3)
    axes.text(LEFT, 0.42, "the heads of GPT-2 small", fontsize=12, fontweight="bold")
    axes.text(LEFT + HEADS * SIDE + 0.35, 0.42, "cache, a token", fontsize=12, fontweight="bold")
    for place, (kv_heads, name) in enumerate(SHARED):
        row(axes, TOP + place * ROW, kv_heads, name)
    return figure


def bytes_of_a_token(kv_heads: int) -> int:
    """What the keys and values of a token take in all layers."""
    weights = dict(GroupedQueryAttention(WIDTH, WIDTH, 1024, HEADS, kv_heads).named_parameters())
    return LAYERS * BYTES * (len(weights["W_key.weight"]) + len(weights["W_value.weight"]))


def row(axes: Axes, top: float, kv_heads: int, name: str) -> None:
    """The query heads, in the colours of their groups, and below them the heads that each group shares."""
    groups, low = HEADS // kv_heads, top + 0.72
    axes.text(LEFT - 0.15, top + HIGH / 2, "queries", ha="right", va="center_baseline", color=FAINT, fontsize=9)
    axes.text(LEFT - 0.15, low + HIGH / 2, "keys, values", ha="right", va="center_baseline", color=FAINT, fontsize=9)
    axes.text(LEFT - 0.15, top + 0.53, name, ha="right", va="center_baseline", fontsize=10)
    for head in range(HEADS):
        fill = shade(0.6, (COOL, WARM)[head // groups % 2])
        cell(axes, LEFT + head * SIDE, top, str(head), fill, SIDE, HIGH, fontsize=9)
        middle = LEFT + (head // groups + 0.5) * groups * SIDE
        axes.plot([LEFT + (head + 0.5) * SIDE, middle], [top + HIGH, low], color=FAINT, linewidth=0.8)
    for shared in range(kv_heads):
        middle = LEFT + (shared + 0.5) * groups * SIDE
        fill = shade(0.6, (COOL, WARM)[shared % 2])
        cell(axes, middle - SIDE / 2, low, str(shared), fill, SIDE, HIGH, fontsize=9)
    text = f"{number(bytes_of_a_token(kv_heads))} bytes"
    axes.text(LEFT + HEADS * SIDE + 0.35, top + 0.53, text, va="center_baseline", fontsize=11)


if __name__ == "__main__":
    save(draw(), "modern/grouped_query")
