"""The figure of docs/foundations/softmax.md: the weights of the same five scores at three temperatures."""

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from docs.figures.style import FAINT, WARM, cell, panel, save, shade
from katas.foundations.softmax import softmax

SCORES = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0])
TEMPERATURES = (0.5, 1.0, 2.0)
WIDTH, GAP, FLOOR, FULL = 0.5, 0.7, 2.6, 1.7  # inches: of a bar, between panels, of the bars' feet, of weight 1
NAMES = ("sharper", "as they are", "flatter")


def draw() -> Figure:
    figure, axes = panel(9.9, 3.4)
    for number, (temperature, name) in enumerate(zip(TEMPERATURES, NAMES, strict=True)):
        left = 0.75 + number * (5 * WIDTH + GAP)
        axes.text(left, 0.36, f"temperature {temperature:g}", fontsize=12, fontweight="bold")
        axes.text(left, 0.57, name, color=FAINT, fontsize=9)
        for place, weight in enumerate(softmax(SCORES / temperature, dim=0).tolist()):
            x, height = left + place * WIDTH, weight * FULL
            bar = Rectangle((x + 0.04, FLOOR - height), WIDTH - 0.08, height, facecolor=shade(0.35 + 0.65 * weight))
            axes.add_patch(bar)
            told = f"{weight:.{3 if weight > 0.001 else 4}f}"
            axes.text(x + WIDTH / 2, FLOOR - height - 0.06, told, ha="center", fontsize=9)
            score = f"{SCORES[place]:.0f}".replace("-", "−")
            cell(axes, x, FLOOR + 0.1, score, shade(0.4, WARM), WIDTH, 0.42, fontsize=9)
        axes.plot([left, left + 5 * WIDTH], [FLOOR, FLOOR], color=FAINT, lw=1)
    axes.text(0.67, FLOOR + 0.31, "scores", ha="right", va="center_baseline", color=FAINT, fontsize=9)
    return figure


if __name__ == "__main__":
    save(draw(), "foundations/softmax")
