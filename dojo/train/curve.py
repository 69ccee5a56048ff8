"""The losses of a run as a figure."""

import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dojo.train.chart import smoothed

INK, PAPER, GRID = "#2b2a33", "#f6f3ec", "#cfc9bc"
LEARNED, HELD_OUT, BASELINE = "#3d6fa5", "#e0a458", "#a55d7a"


def draw(history: dict[str, Any], bigram: float, title: str) -> Figure:
    """Loss against steps: of each step, of what is held out, and of a table of pairs with that perplexity."""
    figure = Figure(figsize=(8, 4.5), facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="step", ylabel="loss, nats a token", facecolor=PAPER)
    axes.set_title(title, fontsize=10, color=INK)
    axes.grid(color=GRID, linewidth=0.5)
    steps, losses = zip(*smoothed(history["losses"]), strict=True)
    axes.plot(steps, losses, color=LEARNED, linewidth=1.4, label="learned, as it was learned")
    axes.plot(history["steps"], history["val_losses"], color=HELD_OUT, linewidth=2, marker="o", label="held out")
    axes.axhline(math.log(bigram), color=BASELINE, linestyle="--", linewidth=1.2, label="a table of pairs, held out")
    axes.legend(facecolor=PAPER, fontsize=8)
    return figure


def write(path: Path, figure: Figure) -> None:
    """Write a figure as SVG. Raises OSError."""
    figure.savefig(path, metadata={"Date": None})
