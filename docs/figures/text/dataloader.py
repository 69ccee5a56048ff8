"""Windows over a text: three windows of four tokens with a stride of two, each with its inputs and its targets."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.figures.style import FAINT, INK, WARM, cell, panel, save, shade
from katas.text.dataloader import SlidingWindowDataset

WORDS = ("the", "cat", "sat", "on", "the", "mat", "and", "slept", "there")
IDS = [0, 5, 7, 3, 0, 6, 1, 8, 4]
CONTEXT_LENGTH, STRIDE = 4, 2
WIDTH, HEIGHT = 0.72, 0.42  # inches: of a cell
LEFT, TOP = 1.75, 0.35  # where the cells begin
STEP = 1.25  # from one window down to the next
INPUT, TARGET = shade(0.35), shade(0.6, WARM)


def draw() -> Figure:
    dataset = SlidingWindowDataset(IDS, CONTEXT_LENGTH, STRIDE)
    figure, axes = panel(LEFT + len(IDS) * WIDTH + 1.0, TOP + 1.0 + len(dataset) * STEP - 0.1)

    axes.text(0.3, TOP + HEIGHT / 2, "text", va="center_baseline", fontsize=12, fontweight="bold")
    for place, (word, token_id) in enumerate(zip(WORDS, IDS, strict=True)):
        cell(axes, x_of(place), TOP, word, width=WIDTH, height=HEIGHT, fontsize=9.5)
        axes.text(x_of(place + 0.5), TOP + HEIGHT + 0.16, str(token_id), ha="center", color=FAINT, fontsize=9)

    for index in range(len(dataset)):
        inputs, targets = dataset[index]
        start, y = index * STRIDE, TOP + 1.0 + index * STEP
        axes.text(0.3, y + HEIGHT, f"item {index}", va="center_baseline", fontsize=12, fontweight="bold")
        row(axes, start, y, "inputs", inputs.tolist(), INPUT)
        row(axes, start + 1, y + HEIGHT, "targets", targets.tolist(), TARGET)
        if index:
            arrow(axes, start - STRIDE, start, y + HEIGHT / 2)
    return figure


def x_of(place: float) -> float:
    return LEFT + place * WIDTH


def row(axes: Axes, start: int, y: float, name: str, ids: list[int], fill: str) -> None:
    """The ids of a window, below the words that they stand for."""
    for place, token_id in enumerate(ids, start):
        cell(axes, x_of(place), y, str(token_id), fill, WIDTH, HEIGHT)
    axes.text(x_of(start + len(ids)) + 0.1, y + HEIGHT / 2, name, va="center_baseline", color=FAINT)


def arrow(axes: Axes, before: int, here: int, y: float) -> None:
    """The stride: from where the window before starts to where this one does."""
    style = {"arrowstyle": "<->", "color": INK, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x_of(here), y), (x_of(before), y), arrowprops=style)
    axes.text((x_of(before) + x_of(here)) / 2, y - 0.08, f"stride {here - before}", ha="center", fontsize=9)


if __name__ == "__main__":
    save(draw(), "text/dataloader")
