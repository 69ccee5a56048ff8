"""The figure of docs/finetuning/preference.md: what of a row is added up, and the loss over the margin."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from docs.figures.style import CARD, COOL, FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.finetuning.preference import dpo_loss, sequence_log_prob

WIDTH, HEIGHT = 8.3, 5.6  # inches
LEFT, RIGHT, UPPER, LOWER = 0.75, 7.9, 2.55, 4.85  # inches: the edges of the plot
FAR, MOST = 30.0, 4.0  # nats: the margin, and the loss
BETAS = {0.1: COOL, 0.5: WARM}
WORDS = ["Name", "a", "fruit", ":", "an", "apple", "."]  # inputs are all but the last, targets all but the first
PROBABILITIES = [0.02, 0.1, 0.3, 0.6, 0.25, 0.8]
MASK = [False, False, False, True, True, True]


class Given(nn.Module):
    """A model of two tokens, whose second one has these probabilities at the places of a row."""

    def forward(self, ids: Tensor) -> Tensor:
        found = torch.tensor([PROBABILITIES], dtype=torch.float64)
        return torch.stack([1 - found, found], dim=-1).log()


def draw() -> Figure:
    figure, axes = panel(WIDTH, HEIGHT)
    row(axes)
    curves(axes)
    return figure


def row(axes: Axes) -> None:
    ones = torch.ones(1, len(MASK), dtype=torch.int64)
    each = [sequence_log_prob(Given(), ones, ones, mask[None]).item() for mask in torch.eye(len(MASK)).bool()]
    total = sequence_log_prob(Given(), ones, ones, torch.tensor([MASK])).item()
    axes.text(LEFT, 0.4, "the log-probability of an answer", fontsize=12, fontweight="bold")
    for place, (word, log_prob, counts) in enumerate(zip(WORDS[1:], each, MASK, strict=True)):
        x = LEFT + 0.95 * place
        cell(axes, x, 0.85, word, shade(0.35) if counts else HIDDEN, 0.9, 0.4)
        number = f"{log_prob:.2f}".replace("-", "\u2212")
        axes.text(x + 0.45, 1.5, number, ha="center", color=None if counts else FAINT, fontsize=9)
    axes.text(LEFT - 0.1, 1.05, "targets", ha="right", va="center_baseline", color=FAINT, fontsize=9)
    axes.text(LEFT - 0.1, 1.5, "ln p", ha="right", color=FAINT, fontsize=9)
    axes.text(LEFT + 1.4, 0.72, "prompt: not counted", ha="center", color=FAINT, fontsize=9)
    axes.text(LEFT + 4.25, 0.72, "answer", ha="center", color=FAINT, fontsize=9)
    axes.text(LEFT + 5.85, 1.5, f"sum {total:.2f}".replace("-", "\u2212"), fontweight="bold", fontsize=9)


def curves(axes: Axes) -> None:
    def at(margin: float, nats: float) -> tuple[float, float]:
        return LEFT + (margin + FAR) / (2 * FAR) * (RIGHT - LEFT), LOWER - nats / MOST * (LOWER - UPPER)

    axes.text(LEFT, 2.2, "the loss of a pair, in nats", fontsize=12, fontweight="bold")
    for nats in range(5):
        height = at(0, nats)[1]
        axes.plot([LEFT, RIGHT], [height, height], color=FAINT, lw=0.5, alpha=0.5)
        axes.text(LEFT - 0.1, height, f"{nats}", color=FAINT, ha="right", va="center_baseline", fontsize=9)
    for tens in range(-3, 4):
        number = f"{10 * tens}".replace("-", "\u2212")
        axes.text(at(10 * tens, 0)[0], LOWER + 0.22, number, color=FAINT, ha="center", fontsize=9)
    told = "margin, in nats: how much more the policy prefers the chosen answer than the reference does"
    axes.text((LEFT + RIGHT) / 2, LOWER + 0.5, told, ha="center", fontsize=9)

    for beta, colour in BETAS.items():
        margins = [step / 4 for step in range(-int(4 * FAR), int(4 * FAR) + 1)]
        points = [at(margin, cost) for margin in margins if (cost := loss(margin, beta)) <= MOST]
        axes.plot([x for x, _ in points], [y for _, y in points], color=colour)
        x, y = at(-21.0, 2.45) if beta == 0.1 else at(-5.6, 3.3)
        axes.text(x + 0.15, y, f"beta {beta}", fontsize=9, fontweight="bold")
    x, y = at(0, loss(0.0, 0.1))
    axes.plot([x], [y], "o", color=CARD, markeredgecolor=FAINT, markersize=8)
    axes.text(x + 0.18, y - 0.28, f"ln 2 = {loss(0.0, 0.1):.2f}: policy and reference agree", fontsize=9)


def loss(margin: float, beta: float) -> float:
    """What the reference charges for one pair."""
    nothing = torch.zeros(1, dtype=torch.float64)
    return dpo_loss(nothing + margin, nothing, nothing, nothing, beta).item()


if __name__ == "__main__":
    save(draw(), "finetuning/preference")
