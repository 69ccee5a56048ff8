"""A ladder as a figure: time and memory against length, both axes logarithmic, the growth beside each name."""

from matplotlib.figure import Figure

from dojo.ladder.ladder import Climb, growth
from dojo.ladder.measuring import BOTH
from dojo.ladder.table import title
from dojo.ladder.variants import YOURS

COLOURS = ("#3d6fa5", "#e0a458", "#5b8c5a", "#a55d7a", "#7a6fa5", "#8c7853", "#4fa3a5", "#b5533c", "#6f6b78", "#2b2a33")


def draw(climbed: Climb) -> Figure:
    """Forward with backward: the work of training."""
    figure = Figure(figsize=(11, 5), facecolor="#f6f3ec", layout="constrained")
    figure.suptitle(f"Forward and backward, {title(climbed)}", fontsize=10)
    time, memory = figure.subplots(1, 2)
    for axes, what in ((time, "seconds"), (memory, "memory in MiB")):
        axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel=what, facecolor="#f6f3ec")
        axes.set_xticks(climbed.lengths, [str(length) for length in climbed.lengths])
        axes.minorticks_off()
        axes.grid(color="#cfc9bc", linewidth=0.5)
    for index, name in enumerate(climbed.variants()):
        cells = climbed.of(name, BOTH)
        if not cells:
            continue
        style = {"color": COLOURS[index % len(COLOURS)], "linewidth": 3.0 if name == YOURS else 1.4, "marker": "o"}
        style |= {"markersize": 3, "linestyle": "-" if index < len(COLOURS) else "--"}
        tokens = [cell.tokens for cell in cells]
        time.plot(
            tokens, [cell.seconds for cell in cells], label=_label(name, growth(cells, lambda c: c.seconds)), **style
        )
        if all(cell.memory for cell in cells):
            held = [cell.memory / 2**20 for cell in cells]
            memory.plot(tokens, held, label=_label(name, growth(cells, lambda c: c.memory)), **style)
    time.legend(fontsize=7, facecolor="#f6f3ec", title="growth", title_fontsize=7)
    memory.legend(fontsize=7, facecolor="#f6f3ec", title="growth", title_fontsize=7)
    return figure


def _label(name: str, rate: float | None) -> str:
    return name if rate is None else f"{name}  n^{rate:.1f}"
