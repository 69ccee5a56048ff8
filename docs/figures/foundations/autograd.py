"""The figure of docs/foundations/autograd.md: a prediction, its error, and the gradients on the way back."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from docs.figures.style import COOL, FAINT, INK, WARM, cell, panel, save, shade
from katas.foundations.autograd import Value

WIDTH, HEIGHT = 0.84, 0.46  # inches: of a node
PLACES = {
    "w": (0.75, 0.95),
    "x": (0.75, 2.25),
    "w · x": (2.55, 1.6),
    "b": (2.55, 2.75),
    "prediction": (4.5, 1.6),
    "y": (4.5, 2.75),
    "error": (6.45, 1.6),
    "loss": (8.4, 1.6),
}
MADE = {
    "w · x": ("w", "x"),
    "prediction": ("w · x", "b"),
    "error": ("prediction", "y"),
    "loss": ("error",),
}
HOW = {"prediction": "w · x + b", "error": "prediction − y", "loss": "error ** 2"}


def draw() -> Figure:
    values = {"w": Value(2), "x": Value(3), "b": Value(-1), "y": Value(4)}
    values["w · x"] = values["w"] * values["x"]
    values["prediction"] = values["w · x"] + values["b"]
    values["error"] = values["prediction"] - values["y"]
    values["loss"] = values["error"] ** 2
    values["loss"].backward()

    figure, axes = panel(9.2, 3.25)
    cell(axes, 4.05, 0.2, "data", shade(0.3), 0.62, 0.34, fontsize=9)
    axes.text(4.75, 0.37, "of a value, computed from left to right", va="center_baseline", color=FAINT, fontsize=9)
    cell(axes, 4.05, 0.58, "← grad", shade(0.75, WARM), 0.62, 0.34, fontsize=9)
    axes.text(4.75, 0.75, "that comes back to it, from right to left", va="center_baseline", color=FAINT, fontsize=9)
    for result, operands in MADE.items():
        for operand in operands:
            edge(axes, PLACES[operand], PLACES[result], f"← {shown(values[operand].grad)}")
    for name, (x, y) in PLACES.items():
        fill = shade(0.3 if name in MADE else 0.12, COOL)
        cell(axes, x - WIDTH / 2, y - HEIGHT / 2, shown(values[name].data), fill, WIDTH, HEIGHT, fontsize=12)
        axes.text(x, y - HEIGHT / 2 - 0.07, name, ha="center", color=INK, fontweight="bold")
        axes.text(x, y + HEIGHT / 2 + 0.17, HOW.get(name, ""), ha="center", color=FAINT, fontsize=9)
    return figure


def edge(axes: Axes, start: tuple[float, float], end: tuple[float, float], label: str) -> None:
    """An arrow from a value to what was made from it, with what comes back on it."""
    level = start[1] == end[1]
    left = (start[0] + WIDTH / 2, start[1])
    right = (end[0] - WIDTH / 2, end[1] if level else end[1] + (0.12 if start[1] > end[1] else -0.12))
    style = {"arrowstyle": "-|>", "mutation_scale": 10, "color": FAINT, "linewidth": 1.2}
    axes.add_patch(FancyArrowPatch(left, right, shrinkA=1, shrinkB=1, **style))
    x, y = (left[0] + right[0]) / 2 - 0.04, (left[1] + right[1]) / 2
    cell(axes, x - 0.26, y - 0.15, label, shade(0.75, WARM), 0.52, 0.3, fontsize=9)


def shown(number: float) -> str:
    return f"{number:g}".replace("-", "−")


if __name__ == "__main__":
    save(draw(), "foundations/autograd")
