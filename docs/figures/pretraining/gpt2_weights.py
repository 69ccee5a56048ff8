"""Which of GPT-2's tensors goes where: c_attn cut in three and transposed, with the numbers the reference gives."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from docs.figures.style import COOL, FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.gpt.config import GPTConfig
from katas.gpt.model import GPTModel
from katas.pretraining.gpt2_weights import load_gpt2_weights

THIRDS = (shade(0.35), shade(0.55, WARM), shade(0.75))
NAMES = ("W_query", "W_key", "W_value")
SIDE, LOW = 0.42, 0.34
LEFT, RIGHT = 0.35, 5.3


def draw() -> Figure:
    weight, bias = torch.arange(1.0, 13.0).reshape(2, 6), torch.arange(13.0, 19.0)
    model = loaded(weight, bias)
    figure, axes = panel(9.6, 5.3)
    title(axes, LEFT, "GPT-2", "x @ weight + bias, weight (in, out)")
    title(axes, RIGHT, "GPTModel", "nn.Linear: weight (out, in)")

    axes.text(LEFT, 1.14, "h.0.attn.c_attn.weight (2, 6)", fontsize=9)
    grid(axes, LEFT, 1.22, weight)
    axes.text(LEFT, 2.24, "h.0.attn.c_attn.bias (6)", fontsize=9)
    grid(axes, LEFT, 2.32, bias[None])
    arrow(axes, LEFT + 6 * SIDE + 0.15, 1.22 + LOW, "cut in three, each transposed")
    arrow(axes, LEFT + 6 * SIDE + 0.15, 2.32 + LOW / 2, "cut in three")
    for third, name in enumerate(NAMES):
        left = RIGHT + third * (2 * SIDE + 0.5)
        state = model.state_dict()
        axes.text(left, 1.14, name, fontsize=9)
        grid(axes, left, 1.22, state[f"trf_blocks.0.att.{name}.weight"], third)
        grid(axes, left, 2.32, state[f"trf_blocks.0.att.{name}.bias"][None], third)

    rows = [
        ("wte.weight", "as it is", "tok_emb.weight", HIDDEN),
        ("wpe.weight", "as it is", "pos_emb.weight", HIDDEN),
        ("h.0.ln_1, h.0.ln_2, ln_f: weight, bias", "as they are", "norm1, norm2, final_norm: scale, shift", HIDDEN),
        ("h.0.attn.c_proj.weight", "transposed", "trf_blocks.0.att.out_proj.weight", THIRDS[0]),
        (
            "h.0.mlp.c_fc.weight, h.0.mlp.c_proj.weight",
            "transposed",
            "ff.layers.0.weight, ff.layers.2.weight",
            THIRDS[0],
        ),
        ("lm_head.weight, or wte.weight", "as it is", "out_head.weight", HIDDEN),
    ]
    for number, (theirs, how, mine, fill) in enumerate(rows):
        top = 2.98 + number * (LOW + 0.03)
        cell(axes, LEFT, top, theirs, fill, 3.25, LOW, fontsize=8.5)
        arrow(axes, LEFT + 3.35, top + LOW / 2, how, 1.45)
        cell(axes, RIGHT, top, mine, fill, 3.95, LOW, fontsize=8.5)
    return figure


def loaded(weight: Tensor, bias: Tensor) -> GPTModel:
    """A model of width 2 with these numbers of c_attn in it, and zeros elsewhere."""
    config = GPTConfig(vocab_size=3, context_length=2, emb_dim=2, n_heads=1, n_layers=1, drop_rate=0.0, qkv_bias=True)
    tensors = {"wte.weight": torch.zeros(3, 2), "wpe.weight": torch.zeros(2, 2)}
    for name, shape in {"attn.c_proj": (2, 2), "mlp.c_fc": (2, 8), "mlp.c_proj": (8, 2)}.items():
        tensors |= {f"h.0.{name}.weight": torch.zeros(shape), f"h.0.{name}.bias": torch.zeros(shape[1])}
    for name in ("h.0.ln_1", "h.0.ln_2", "ln_f"):
        tensors |= {f"{name}.weight": torch.ones(2), f"{name}.bias": torch.zeros(2)}
    model = GPTModel(config)
    load_gpt2_weights(model, {**tensors, "h.0.attn.c_attn.weight": weight, "h.0.attn.c_attn.bias": bias})
    return model


def title(axes: Axes, left: float, name: str, what: str) -> None:
    axes.text(left, 0.42, name, fontsize=12, fontweight="bold")
    axes.text(left, 0.68, what, color=FAINT, fontsize=9)


def grid(axes: Axes, left: float, top: float, numbers: Tensor, third: int | None = None) -> None:
    """A cell for each number, in the colour of its third: the one given, or that of its column."""
    for row, line in enumerate(numbers.tolist()):
        for column, number in enumerate(line):
            fill = THIRDS[column // 2 if third is None else third]
            cell(axes, left + column * SIDE, top + row * LOW, f"{number:.0f}", fill, SIDE, LOW, fontsize=9)


def arrow(axes: Axes, start: float, y: float, how: str, length: float = 1.9) -> None:
    axes.annotate("", (start + length, y), (start, y), arrowprops={"arrowstyle": "->", "color": COOL, "lw": 1.4})
    axes.text(start + length / 2, y - 0.06, how, ha="center", color=FAINT, fontsize=8)


if __name__ == "__main__":
    save(draw(), "pretraining/gpt2_weights")
