"""A text of five tokens grows by three, through a window of four: what the model reads, and what it appends."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor, nn

from docs.figures.style import FAINT, INK, WARM, cell, panel, save, shade
from katas.gpt.generate import generate_greedy

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "slept")
FOLLOWS = {  # what the model has learned: after a word, three words with their scores
    "the": {"mat": 4.0, "cat": 3.0, "a": 1.0},
    "cat": {"sat": 4.0, "slept": 3.0, "and": 2.0},
    "sat": {"on": 5.0, "and": 2.0, "a": 1.0},
    "on": {"the": 5.0, "a": 4.0, "mat": 1.0},
    "mat": {"and": 4.0, "a": 2.0, "the": 1.0},
    "and": {"slept": 4.0, "sat": 3.0, "the": 2.0},
}
PROMPT, NEW, CONTEXT = ("the", "cat", "sat", "on", "the"), 3, 4
SIDE, LOW, STEP = 0.74, 0.42, 1.1  # inches: a word, its height, from one call to the next
LEFT, TOP, BARS = 0.55, 1.15, 7.35


class Follower(nn.Module):
    """A model that knows which words follow on which, and keeps what it was given and what it answered."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[Tensor] = []
        self.logits: list[Tensor] = []

    def forward(self, token_ids: Tensor) -> Tensor:
        logits = torch.zeros(*token_ids.shape, len(WORDS))
        for place, token in enumerate(token_ids[0].tolist()):
            for word, score in FOLLOWS[WORDS[token]].items():
                logits[0, place, WORDS.index(word)] = score
        self.windows.append(token_ids[0])
        self.logits.append(logits[0])
        return logits


def draw() -> Figure:
    model = Follower()
    prompt = torch.tensor([[WORDS.index(word) for word in PROMPT]])
    result = generate_greedy(model, prompt, NEW, CONTEXT)[0].tolist()
    figure, axes = panel(10.4, 5.4)
    heading(
        axes,
        LEFT,
        "the text, call by call",
        "framed: what the model is given, context_length = 4; below: what it expects next, at each position",
    )
    heading(axes, BARS, "logits of the last position", "the greatest one is appended")
    for call in range(NEW + 1):
        top, tokens = TOP + call * STEP, len(PROMPT) + call
        for place, token in enumerate(result[:tokens]):
            fill = shade(0.22) if place < len(PROMPT) else shade(0.6, WARM)
            cell(axes, LEFT + place * SIDE, top, WORDS[token], fill, SIDE, LOW, fontsize=9.5)
        if call < NEW:
            assert model.windows[call].tolist() == result[tokens - CONTEXT : tokens]
            frame(axes, LEFT + (tokens - CONTEXT) * SIDE, top)
            for place, guess in enumerate(model.logits[call].argmax(dim=-1).tolist(), start=tokens - CONTEXT):
                style = {"color": INK, "fontweight": "bold"} if place == tokens - 1 else {"color": FAINT}
                axes.text(LEFT + (place + 0.5) * SIDE, top + LOW + 0.24, WORDS[guess], ha="center", fontsize=9, **style)
            scores(axes, top, model.logits[call][-1])
    last = TOP + NEW * STEP
    axes.text(BARS, last + LOW / 2, "the result: prompt and new tokens", va="center_baseline", color=FAINT, fontsize=9)
    return figure


def frame(axes: Axes, x: float, top: float) -> None:
    box = FancyBboxPatch(
        (x - 0.02, top - 0.06), CONTEXT * SIDE + 0.04, LOW + 0.12, boxstyle="round,pad=0,rounding_size=0.08"
    )
    box.set(facecolor="none", edgecolor=INK, linewidth=1.6)
    axes.add_patch(box)


def scores(axes: Axes, top: float, logits: Tensor) -> None:
    """The three greatest logits with their words; the first is taken."""
    values, tokens = logits.topk(3)
    for rank, (value, token) in enumerate(zip(values.tolist(), tokens.tolist(), strict=True)):
        x = BARS + rank * 0.95
        fill = shade(0.6, WARM) if rank == 0 else shade(0.1, INK)
        cell(axes, x, top, f"{WORDS[token]} {value:.0f}", fill, 0.9, LOW, fontsize=9)


def heading(axes: Axes, x: float, name: str, what: str) -> None:
    axes.text(x, 0.42, name, fontsize=12, fontweight="bold")
    axes.text(x, 0.63, what, color=FAINT, fontsize=9)


if __name__ == "__main__":
    save(draw(), "gpt/generate")
