"""The losses of a run as a figure."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure

from dojo.learner import store
from dojo.train.chart import smoothed

INK, PAPER, GRID = "#2b2a33", "#f6f3ec", "#cfc9bc"
LEARNED, HELD_OUT, BASELINE = "#3d6fa5", "#e0a458", "#a55d7a"


def draw(
    history: dict[str, Any], title: str, unit: str, baselines: Mapping[str, float] = MappingProxyType({})
) -> Figure:
    """Loss against steps: of each step, of what is held out, and of baselines, which stand still, by name."""
    figure = Figure(figsize=(8, 4.5), facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="step", ylabel=f"loss, nats a {unit}", facecolor=PAPER)
    axes.set_title(title, fontsize=10, color=INK)
    axes.grid(color=GRID, linewidth=0.5)
    steps, losses = zip(*smoothed(history["losses"]), strict=True)
    axes.plot(steps, losses, color=LEARNED, linewidth=1.4, label="learned, as it was learned")
    axes.plot(history["steps"], history["val_losses"], color=HELD_OUT, linewidth=2, marker="o", label="held out")
    for name, loss in baselines.items():
        axes.axhline(loss, color=BASELINE, linestyle="--", linewidth=1.2, label=name)
    axes.legend(facecolor=PAPER, fontsize=8)
    return figure


def write(path: Path, figure: Figure) -> None:
    """Write a figure as SVG. Raises CannotSave."""
    try:
        figure.savefig(path, metadata={"Date": None})
    except OSError as error:
        raise store.unwritten(path, error) from None
