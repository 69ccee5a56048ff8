"""The figure of docs/pretraining/training.md: batches, the steps they make, evaluations, and a continued run."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from docs.figures.style import COOL, EDGE, FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.pretraining.training import History, train

COUNTED = (4, 1, 3, 2, 4)  # targets that count in each batch of an epoch
EPOCHS, ACCUMULATE, EVAL_EVERY, TAKEN_UP = 2, 2, 4, 4
WIDTH, HEIGHT, GAP, LEFT = 0.66, 0.42, 0.45, 1.85  # inches: of a batch, between epochs, of the first batch
ROWS = {"batches": 0.85, "shares": 1.55, "steps": 2.0, "evaluated": 2.7, "continued": 3.35}
NOTES = {
    "batches": "targets that count",
    "shares": "of its step",
    "steps": f"accumulate={ACCUMULATE}",
    "evaluated": f"eval_every={EVAL_EVERY}",
    "continued": f"start_step={TAKEN_UP}",
}


def draw() -> Figure:
    whole, history = run(0)
    rest, _ = run(TAKEN_UP)
    figure, axes = panel(LEFT + EPOCHS * len(COUNTED) * WIDTH + GAP + 0.35, 4.1)
    for name, y in ROWS.items():
        axes.text(0.3, y + (0.1 if name != "shares" else 0.02), name, va="center_baseline", fontweight="bold")
        axes.text(
            0.3, y + (0.33 if name != "shares" else 0.22), NOTES[name], va="center_baseline", color=FAINT, fontsize=8
        )
    for epoch in range(EPOCHS):
        axes.text(x_of(epoch, 0), 0.5, f"epoch {epoch + 1}", fontsize=12, fontweight="bold")
        starts = range(0, len(COUNTED), ACCUMULATE)
        for number, start in enumerate(starts, start=1 + epoch * len(starts)):
            a_step(axes, epoch, start, number, whole, history, rest)
    return figure


def a_step(
    axes: Axes, epoch: int, start: int, number: int, whole: list[int], history: History, rest: list[int]
) -> None:
    """A step with its batches above it, and below it what is measured, and what is done again."""
    assert number in whole
    counted = COUNTED[start : start + ACCUMULATE]
    left, width = x_of(epoch, start), len(counted) * WIDTH
    for place, count in enumerate(counted):
        x = left + place * WIDTH
        cell(axes, x, ROWS["batches"], str(count), shade(0.12 + 0.1 * count), WIDTH, HEIGHT)
        axes.text(x + WIDTH / 2, ROWS["shares"] + 0.1, f"{count}/{sum(counted)}", ha="center", va="center", fontsize=9)
    cell(axes, left, ROWS["steps"], f"{number}", shade(0.75, WARM), width, HEIGHT)
    if number in history.steps:
        seen = history.tokens_seen[history.steps.index(number)]
        middle = left + width / 2
        axes.plot([middle, middle], [ROWS["steps"] + HEIGHT, ROWS["evaluated"] + 0.02], color=COOL, lw=1.6)
        axes.text(middle, ROWS["evaluated"] + 0.2, f"{seen} tokens seen", ha="center", color=COOL, fontsize=8.5)
    again = number in rest
    style = {} if again else {"color": FAINT}
    cell(axes, left, ROWS["continued"], f"{number}", shade(0.75, WARM) if again else HIDDEN, width, HEIGHT, **style)
    if number == TAKEN_UP + 1:
        axes.plot([left, left], [ROWS["continued"] - 0.1, ROWS["continued"] + HEIGHT + 0.1], color=EDGE, lw=1.6)


def x_of(epoch: int, batch: int) -> float:
    return LEFT + (epoch * len(COUNTED) + batch) * WIDTH + epoch * GAP


def run(start_step: int) -> tuple[list[int], History]:
    """The numbers of the steps that are done from a step on, and what is measured on the way."""
    model, steps = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 5)), []
    batches = [a_batch(count) for count in COUNTED]
    history = train(
        model, batches, batches, torch.optim.SGD(model.parameters(), 0.1), EPOCHS, EVAL_EVERY, None,
        accumulate=ACCUMULATE, start_step=start_step, on_step=lambda step, loss, _: steps.append(step),
    )  # fmt: skip
    return steps, history


def a_batch(count: int) -> tuple[Tensor, Tensor]:
    targets = torch.full((1, 4), -100)
    targets[:, :count] = 1
    return torch.arange(4)[None], targets


if __name__ == "__main__":
    save(draw(), "pretraining/training")
