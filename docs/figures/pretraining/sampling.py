"""The figure of docs/pretraining/sampling.md: what can be drawn at three temperatures, with top-k and with top-p."""

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from docs.figures.style import EDGE, FAINT, HIDDEN, INK, WARM, cell, panel, save, shade
from katas.foundations.softmax import softmax
from katas.pretraining.sampling import sample_next_token

WORDS = ("mat", "sofa", "floor", "roof", "moon", "idea")
LOGITS = torch.tensor([4.0, 3.2, 2.6, 1.6, 0.6, -0.4])
TEMPERATURES = (0.5, 1.0, 2.0)
TOP_K, TOP_P = 3, 0.85
WIDTH, GAP, LEFT, FLOOR, FULL = 0.48, 0.36, 0.4, 2.75, 2.3
# inches: of a bar, between panels, before the first, of the bars' feet, of a probability of 1


def kept(temperature: float, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """Which ids the reference draws, in so many draws that none of those that it can draw is missing."""
    generator = torch.Generator().manual_seed(0)
    drawn = sample_next_token(LOGITS.repeat(20_000, 1), temperature, top_k, top_p, generator)
    return torch.bincount(drawn, minlength=len(WORDS)) > 0


def draw() -> Figure:
    figure, axes = panel(2 * LEFT + 3 * len(WORDS) * WIDTH + 2 * GAP, 3.85)
    for number, temperature in enumerate(TEMPERATURES):
        left = LEFT + number * (len(WORDS) * WIDTH + GAP)
        axes.text(left, 0.36, f"temperature {temperature:g}", fontsize=12, fontweight="bold")
        in_p, in_k = kept(temperature, top_p=TOP_P), kept(temperature, top_k=TOP_K)
        for place, probability in enumerate(softmax(LOGITS / temperature, dim=0).tolist()):
            x, height = left + place * WIDTH, probability * FULL
            colour = shade(0.85) if in_p[place] else HIDDEN
            bar = Rectangle((x + 0.04, FLOOR - height), WIDTH - 0.08, height, facecolor=colour, edgecolor=EDGE, lw=0.6)
            axes.add_patch(bar)
            axes.text(x + WIDTH / 2, FLOOR - height - 0.06, f"{probability:.2f}", ha="center", fontsize=8.5)
            cell(axes, x, FLOOR + 0.06, WORDS[place], shade(0.4, WARM), WIDTH, 0.36, fontsize=8.5)
        axes.plot([left, left + len(WORDS) * WIDTH], [FLOOR, FLOOR], color=FAINT, lw=1)
        cut = left + int(in_k.sum()) * WIDTH
        axes.plot([cut, cut], [FLOOR - 1.5, FLOOR], color=INK, lw=1.2, linestyle=(0, (4, 3)))
        axes.text(cut + 0.06, FLOOR - 1.38, f"top_k = {TOP_K} ends here", fontsize=8.5)
        told = f"top_p = {TOP_P:g} keeps {int(in_p.sum())}"
        axes.add_patch(Rectangle((left + 0.04, FLOOR + 0.62), 0.2, 0.2, facecolor=shade(0.85)))
        axes.text(left + 0.34, FLOOR + 0.72, told, va="center_baseline", fontsize=9)
    return figure


if __name__ == "__main__":
    save(draw(), "pretraining/sampling")
