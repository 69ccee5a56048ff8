"""The losses of a run as a figure."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from dojo.learner import store
from dojo.system import terminal
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
    # A name may hold anything: dollars do not make a formula, and half a character cannot be written.
    axes.set_title(terminal.harmless(title), fontsize=10, color=INK, parse_math=False)
    axes.grid(color=GRID, linewidth=0.5)
    learned = smoothed(history["losses"])
    steps, losses = [step for step, _ in learned], [loss for _, loss in learned]
    axes.plot(steps, losses, color=LEARNED, linewidth=1.4, label="learned, smoothed")
    axes.plot(history["steps"], history["val_losses"], color=HELD_OUT, linewidth=2, marker="o", label="held out")
    for name, loss in baselines.items():
        axes.axhline(loss, color=BASELINE, linestyle="--", linewidth=1.2, label=name)
    axes.legend(facecolor=PAPER, fontsize=8)
    return figure


def write(path: Path, figure: Figure) -> None:
    """Write a figure as SVG. Raises CannotSave.

    Its words stay words, which the viewer draws: matplotlib's own font lacks most of the world's signs, and warns.
    """
    try:
        with matplotlib.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure.savefig(path, metadata={"Date": None})
    except OSError as error:
        raise store.unwritten(path, error) from None
