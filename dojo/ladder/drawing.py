"""A ladder as a figure: time and memory against size, both axes logarithmic, the growth beside each name."""

from matplotlib.figure import Figure

from dojo.ladder.ladder import YOURS, Cell, Climb, growth
from dojo.ladder.table import has_memory, title
from dojo.system.terminal import number

COLOURS = ("#3d6fa5", "#e0a458", "#5b8c5a", "#a55d7a", "#7a6fa5", "#8c7853", "#4fa3a5", "#b5533c", "#6f6b78", "#2b2a33")


def draw(climbed: Climb) -> Figure:
    """The last pass of a ladder: that of attention is forward with backward, the work of training."""
    which, panels = climbed.passes[-1], ["seconds"] + ["memory in MiB"] * has_memory(climbed)
    figure = Figure(figsize=(5.5 * len(panels), 5), facecolor="#f6f3ec", layout="constrained")
    figure.suptitle(f"{which.capitalize()}, {title(climbed)}", fontsize=10, wrap=True)
    drawn = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, what in zip(drawn, panels, strict=True):
        axes.set(xscale="log", yscale="log", xlabel=climbed.unit, ylabel=what, facecolor="#f6f3ec")
        axes.set_xticks(climbed.sizes, [number(size) for size in climbed.sizes])
        axes.minorticks_off()
        axes.grid(color="#cfc9bc", linewidth=0.5)
    for index, name in enumerate(climbed.variants()):
        style = {"color": COLOURS[index % len(COLOURS)], "linewidth": 3.0 if name == YOURS else 1.4, "marker": "o"}
        style |= {"markersize": 3, "linestyle": "-" if index < len(COLOURS) else "--"}
        cells = climbed.of(name, which)
        for axes, value in zip(drawn, (_seconds, _memory), strict=False):
            if cells and all(value(cell) for cell in cells):
                label = _label(name, growth(cells, value))
                axes.plot([cell.size for cell in cells], [value(cell) for cell in cells], label=label, **style)
    for axes in drawn:
        axes.legend(fontsize=7, facecolor="#f6f3ec", title="growth", title_fontsize=7)
    return figure


def _seconds(cell: Cell) -> float:
    return cell.seconds


def _memory(cell: Cell) -> float:
    return cell.memory / 2**20


def _label(name: str, rate: float | None) -> str:
    return name if rate is None else f"{name}  n^{rate:.1f}"
