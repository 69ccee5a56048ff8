"""The figure of docs/pretraining/loss.md: what a token costs, by the probability that it was given."""

import math

import torch
from matplotlib.figure import Figure

from docs.figures.style import CARD, COOL, FAINT, WARM, panel, save
from dojo.system import terminal
from katas.pretraining.loss import cross_entropy, perplexity

VOCAB = 50_257
WIDTH, HEIGHT = 8.3, 3.9  # inches
LEFT, RIGHT, UPPER, LOWER = 0.75, 6.0, 0.6, 3.2  # inches: the edges of the plot
MOST = 12.0  # nats
POINTS = {0.75: "3/4", 0.25: "1/4", 0.01: "1/100"}
STEPS = (0, 3, 6, 9, 12)


def cost(probability: float) -> float:
    """What the reference charges for the second of two tokens, which has that probability."""
    logits = torch.tensor([0.0, math.log(probability / (1 - probability))], dtype=torch.float64)
    return cross_entropy(logits, torch.tensor(1)).item()


def draw() -> Figure:
    figure, axes = panel(WIDTH, HEIGHT)

    def at(probability: float, nats: float) -> tuple[float, float]:
        return LEFT + probability * (RIGHT - LEFT), LOWER - nats / MOST * (LOWER - UPPER)

    axes.text(LEFT, 0.32, "what a token costs, in nats", fontsize=12, fontweight="bold")
    axes.text(RIGHT + 0.15, 0.32, "as surprising as a choice among", color=FAINT, fontsize=9)
    for nats in STEPS:
        height = at(0, nats)[1]
        axes.plot([LEFT, RIGHT], [height, height], color=FAINT, lw=0.5, alpha=0.5)
        axes.text(LEFT - 0.1, height, f"{nats}", color=FAINT, ha="right", va="center_baseline", fontsize=9)
        number = round(float(perplexity(float(nats))))
        axes.text(RIGHT + 0.15, height, terminal.number(number), color=FAINT, va="center_baseline", fontsize=9)
    for tenths in range(0, 11, 2):
        axes.text(at(tenths / 10, 0)[0], LOWER + 0.22, f"{tenths / 10:g}", color=FAINT, ha="center", fontsize=9)
    axes.text((LEFT + RIGHT) / 2, LOWER + 0.5, "probability that the model gave to it", ha="center", fontsize=9)

    # Equal steps of the cost, not of the probability: the curve is steep where the probability is small.
    curve = [math.exp(-MOST * step / 400) for step in range(1, 401)]
    places = [at(1, 0), *(at(p, cost(p)) for p in curve)]
    axes.plot([x for x, _ in places], [y for _, y in places], color=COOL)

    logits = torch.zeros(1, VOCAB, dtype=torch.float64)
    start = cross_entropy(logits, torch.tensor([0])).item()
    height = at(0, start)[1]
    axes.plot([LEFT, RIGHT], [height, height], color=WARM, lw=1.4, linestyle=(0, (5, 3)))
    told = f"ln 50 257 = {start:.2f}: GPT-2's vocabulary, before anything is learned"
    axes.text(RIGHT - 0.05, height + 0.2, told, ha="right", fontsize=9)
    for probability, name in POINTS.items():
        x, y = at(probability, cost(probability))
        axes.plot([x], [y], "o", color=WARM, markeredgecolor=CARD, markersize=8)
        axes.text(x + 0.12, y - 0.12, f"{name} costs {cost(probability):.2f}", fontsize=9)
    return figure


if __name__ == "__main__":
    save(draw(), "pretraining/loss")
