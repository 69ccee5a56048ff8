"""The figure of docs/pretraining/schedule.md: a learning rate with a warmup and a cosine."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.figures.style import FAINT, WARM, panel, save
from katas.pretraining.schedule import learning_rate_at

STEPS, WARMUP = 100, 10
WIDTH, HEIGHT = 4.2, 1.75  # inches: of the diagram
FLOOR, LEFT = 2.75, 0.95  # of its foot, and of its left side


def draw() -> Figure:
    figure, axes = panel(5.7, 3.4)
    rates = [learning_rate_at(step, 1.0, 0.1, WARMUP, STEPS) for step in range(STEPS + 21)]
    frame(axes, "the learning rate", "learning_rate_at(step, peak, minimum, 10, 100)")
    curve(axes, rates, 1.0, WARM)
    for value, name in ((1.0, "peak"), (0.1, "minimum"), (0.0, "0")):
        level(axes, value, name)
    for step in (0, WARMUP, STEPS):
        mark(axes, step, len(rates) - 1, str(step))
    return figure


def frame(axes: Axes, name: str, what: str) -> None:
    axes.text(LEFT, 0.38, name, fontsize=12, fontweight="bold")
    axes.text(LEFT, 0.6, what, color=FAINT, fontsize=9)
    axes.plot([LEFT, LEFT + WIDTH], [FLOOR, FLOOR], color=FAINT, lw=1)
    axes.text(LEFT + WIDTH, FLOOR + 0.45, "step", ha="right", color=FAINT, fontsize=9)


def curve(axes: Axes, values: list[float], top: float, colour: str) -> None:
    places = [LEFT + WIDTH * step / (len(values) - 1) for step in range(len(values))]
    axes.plot(places, [FLOOR - HEIGHT * value / top for value in values], color=colour, lw=2.4)


def level(axes: Axes, share: float, name: str) -> None:
    axes.text(LEFT - 0.1, FLOOR - HEIGHT * share, name, ha="right", va="center_baseline", color=FAINT, fontsize=9)


def mark(axes: Axes, step: int, last: int, name: str) -> None:
    place = LEFT + WIDTH * step / last
    axes.plot([place, place], [FLOOR, FLOOR + 0.06], color=FAINT, lw=1)
    axes.text(place, FLOOR + 0.23, name, ha="center", color=FAINT, fontsize=9)


if __name__ == "__main__":
    save(draw(), "pretraining/schedule")
