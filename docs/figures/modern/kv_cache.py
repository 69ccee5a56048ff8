"""What a model reads, call by call, to continue four tokens by four: without a cache and with one."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from docs.figures.style import COOL, FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.gpt.generate import generate_greedy
from katas.modern.kv_cache import KVCache, generate_cached

PROMPT, NEW, CONTEXT = 4, 4, 8
SIDE, LEFT, TOP, GAP = 0.42, 0.9, 1.3, 1.0  # inches


class Reading(nn.Module):
    """A model that says nothing, and notes how many tokens each call reads and how many the cache has by then."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, int]] = []

    def forward(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        tokens = ids.shape[1]
        self.calls.append((cache.length if cache else 0, tokens))
        if cache:
            cache[0].append(*torch.zeros(2, 1, 1, tokens, 1))
        return torch.zeros(1, tokens, 2)


def draw() -> Figure:
    width = (PROMPT + NEW - 1) * SIDE
    figure, axes = panel(LEFT + 2 * width + GAP + 0.4, TOP + NEW * SIDE + 0.3)
    prompt = torch.zeros(1, PROMPT, dtype=torch.int64)
    without, cached = Reading(), Reading()
    generate_greedy(without, prompt, NEW, CONTEXT)
    generate_cached(cached, prompt, NEW, 1, CONTEXT)
    table(axes, LEFT, "without a cache", without.calls)
    table(axes, LEFT + width + GAP, "with a cache", cached.calls)
    return figure


def table(axes: Axes, left: float, name: str, calls: list[tuple[int, int]]) -> None:
    """A row for each call: blue is read, orange is in the cache, grey is not there yet."""
    axes.text(left, 0.42, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.66, f"{sum(tokens for _, tokens in calls)} tokens are read", color=FAINT, fontsize=9)
    for column in range(PROMPT + NEW - 1):
        text = "prompt" if column == 0 else "new" if column == PROMPT else ""
        axes.text(left + column * SIDE + 0.04, TOP - 0.1, text, color=FAINT, fontsize=9)
    for row, (held, tokens) in enumerate(calls):
        y = TOP + row * SIDE
        axes.text(
            left - 0.1, y + SIDE / 2, f"call {row + 1}", ha="right", va="center_baseline", color=FAINT, fontsize=9
        )
        for column in range(PROMPT + NEW - 1):
            if column < held:
                cell(axes, left + column * SIDE, y, "kept", shade(0.6, WARM), SIDE, SIDE, fontsize=7)
            elif column < held + tokens:
                cell(axes, left + column * SIDE, y, "read", shade(0.7, COOL), SIDE, SIDE, fontsize=7)
            else:
                cell(axes, left + column * SIDE, y, "", HIDDEN, SIDE, SIDE)


if __name__ == "__main__":
    save(draw(), "modern/kv_cache")
