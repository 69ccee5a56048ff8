"""Five tokens and four experts: what the router gives, which two each token is read by, and what that saves."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from docs.figures.style import COOL, FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.modern.mixture_of_experts import MoE, load_balancing_loss

TOKENS = ("the", "cat", "sat", "and", "slept")
SCORES = torch.tensor(
    [[2.0, 1.0, 0.0, 0.0], [0.0, 2.0, 0.5, 1.5], [1.0, 0.0, 2.5, 0.5], [2.5, 1.5, 0.0, 0.5], [0.0, 0.5, 2.0, 1.0]]
)
SIDE, LOW = 0.66, 0.42  # inches: the width of a cell, its height
LEFT, MIDDLE, RIGHT, TOP = 0.85, 4.6, 8.4, 1.2


def draw() -> Figure:
    weights = weights_of(SCORES)
    figure, axes = panel(11.2, 4.0)
    heading(axes, LEFT, "router", "softmax over all experts")
    table(axes, LEFT, SCORES.softmax(dim=-1), weights > 0)
    heading(axes, MIDDLE, "weights", "the best two, divided by their sum")
    table(axes, MIDDLE, weights, weights > 0)
    y = TOP + len(TOKENS) * LOW
    read = (weights > 0).sum(dim=0).tolist()
    for expert, tokens in enumerate(read):
        axes.text(MIDDLE + (expert + 0.5) * SIDE, y + 0.25, f"{tokens}", ha="center", fontsize=10)
    axes.text(MIDDLE - 0.08, y + 0.25, "tokens", ha="right", color=FAINT, fontsize=9)
    loss = load_balancing_loss(SCORES, 2).item()
    axes.text(MIDDLE, y + 0.6, f"balancing loss {loss:.2f}; with equal use 2", color=FAINT, fontsize=9)
    heading(axes, RIGHT, "Mixtral 8x7B", "parameters of its feedforward parts")
    expert = sum(one.numel() for one in meta(4_096, 14_336).experts[0].parameters())
    bar(axes, TOP + 0.15, "held: 8 experts a layer", 32 * 8 * expert, WARM)
    bar(axes, TOP + 1.15, "used by a token: 2", 32 * 2 * expert, COOL)
    return figure


def weights_of(scores: torch.Tensor) -> torch.Tensor:
    """The weights by which the reference mixes its experts: token t reads one-hot, and expert e gives a one at e."""
    tokens, experts = scores.shape
    moe = MoE(tokens, 1, experts, top_k=2)
    one = torch.nn.functional.silu(torch.tensor(1.0))
    with torch.no_grad():
        moe.router.weight.copy_(scores.mT)
        for number, expert in enumerate(moe.experts):
            expert.gate_proj.weight.fill_(1.0)
            expert.up_proj.weight.fill_(1.0)
            expert.down_proj.weight.zero_()[number] = 1 / one
        return moe(torch.eye(tokens))[:, :experts]


def meta(emb_dim: int, hidden_dim: int) -> MoE:
    with torch.device("meta"):
        return MoE(emb_dim, hidden_dim, 8, 2)


def heading(axes: Axes, left: float, name: str, what: str) -> None:
    axes.text(left, 0.4, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.62, what, color=FAINT, fontsize=9)


def table(axes: Axes, left: float, numbers: torch.Tensor, chosen: torch.Tensor) -> None:
    for expert in range(numbers.shape[1]):
        axes.text(left + (expert + 0.5) * SIDE, TOP - 0.08, f"expert {expert}", ha="center", color=FAINT, fontsize=8)
    for row, token in enumerate(TOKENS):
        y = TOP + row * LOW
        axes.text(left - 0.08, y + LOW / 2, token, ha="right", va="center_baseline", color=FAINT, fontsize=9)
        for expert, number in enumerate(numbers[row].tolist()):
            fill = shade(0.25 + 0.6 * number) if chosen[row, expert] else HIDDEN
            style = {} if chosen[row, expert] else {"color": FAINT}
            cell(axes, left + expert * SIDE, y, f"{number:.2f}", fill, SIDE, LOW, fontsize=9, **style)


def bar(axes: Axes, y: float, name: str, count: int, colour: str) -> None:
    axes.text(RIGHT, y, name, fontsize=9.5)
    axes.add_patch(Rectangle((RIGHT, y + 0.12), count / 2.6e10, 0.34, facecolor=colour))
    axes.text(RIGHT, y + 0.66, f"{count / 1e9:.1f} billion", color=FAINT, fontsize=9)


if __name__ == "__main__":
    save(draw(), "modern/mixture_of_experts")
