"""The way from ids to logits in GPT-2 small, and where its parameters are, counted on the reference."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from docs.figures.style import COOL, EDGE, FAINT, INK, WARM, cell, panel, save, shade
from dojo.system.terminal import number
from katas.gpt.config import GPTConfig
from katas.gpt.model import GPTModel, count_parameters

MIDDLE, BOX, TALL = 2.3, 1.9, 0.42  # inches: the middle of the way, a box
LEFT, LONG = 7.0, 2.6  # of the bars
ARROW = {"arrowstyle": "-|>", "color": FAINT, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}


def draw() -> Figure:
    config = GPTConfig(50_257, 1_024, emb_dim=768, n_heads=12, n_layers=12, drop_rate=0.1, qkv_bias=False)
    with torch.device("meta"):  # shapes without numbers: nothing of 163 million is made
        model = GPTModel(config)
    figure, axes = panel(10.6, 6.0)
    heading(axes, 0.4, 0.36, "from ids to logits", "the shapes are those of GPT-2 small")
    flow(axes)
    heading(axes, 5.2, 0.36, "where the parameters are", f"{number(count_parameters(model))} in all")
    bars(axes, model)
    return figure


def flow(axes: Axes) -> None:
    shapes = {1.0: "(batch, tokens)", 2.42: "(batch, tokens, 768)", 5.6: "(batch, tokens, 50 257)"}
    for y, shape in shapes.items():
        axes.text(MIDDLE + 1.12, y, shape, va="center_baseline", color=FAINT, fontsize=9)
    axes.text(MIDDLE, 1.0, "ids", ha="center", va="center_baseline", fontsize=11)
    for x, name in ((MIDDLE - 1.0, "tok_emb"), (MIDDLE + 1.0, "pos_emb")):
        cell(axes, x - 0.7, 1.35, name, shade(0.45, WARM), 1.4, TALL, fontsize=9.5)
        arrow(axes, (x, 1.35 + TALL), (MIDDLE + 0.1 * (1 if x > MIDDLE else -1), 2.3))
    arrow(axes, (MIDDLE - 0.15, 1.1), (MIDDLE - 1.0, 1.37))
    axes.text(MIDDLE + 1.0, 1.28, "0, 1, 2, ...", ha="center", color=FAINT, fontsize=9)
    axes.plot([MIDDLE], [2.42], marker="o", markersize=17, color=shade(0.22), markeredgecolor=FAINT)
    axes.text(MIDDLE, 2.42, "+", ha="center", va="center_baseline", fontsize=13)
    y = 2.42
    for name, fill in (("drop_emb", 0.22), ("trf_blocks", 0.0), ("final_norm", 0.22), ("out_head", 0.0)):
        arrow(axes, (MIDDLE, y + (0.13 if y == 2.42 else -0.02)), (MIDDLE, y + 0.3))
        y += 0.28
        if name == "trf_blocks":
            for back in (2, 1, 0):  # a pile: twelve of the same kind
                place = (MIDDLE - BOX / 2 + 0.07 * back, y + 0.07 * (2 - back))
                box = FancyBboxPatch(place, BOX, TALL, boxstyle="round,pad=0,rounding_size=0.05")
                box.set(facecolor=shade(0.45, WARM), edgecolor=EDGE, linewidth=0.8)
                axes.add_patch(box)
            axes.text(MIDDLE, y + 0.14 + TALL / 2, "12 blocks", ha="center", va="center_baseline", fontsize=9.5)
            y += 0.14
        else:
            colour = shade(fill) if fill else shade(0.45, WARM)
            cell(axes, MIDDLE - BOX / 2, y, name, colour, BOX, TALL, fontsize=9.5)
        y += TALL
    arrow(axes, (MIDDLE, y - 0.02), (MIDDLE, 5.5))
    axes.text(MIDDLE, 5.6, "logits", ha="center", va="center_baseline", fontsize=11)


def bars(axes: Axes, model: GPTModel) -> None:
    """A bar for each part, to scale."""
    counts = {
        "tok_emb": count_parameters(model.tok_emb),
        "pos_emb": count_parameters(model.pos_emb),
        "attention, 12 times": of_blocks(model, "att"),
        "feedforward, 12 times": of_blocks(model, "ff"),
        "25 norms": of_blocks(model, "norm1") + of_blocks(model, "norm2") + count_parameters(model.final_norm),
        "out_head": count_parameters(model.out_head),
    }
    assert sum(counts.values()) == count_parameters(model)
    scale = LONG / max(counts.values())
    y = 1.1
    for name, count in counts.items():
        axes.text(LEFT - 0.12, y + 0.16, name, ha="right", va="center_baseline", fontsize=9.5)
        fill = shade(0.25, INK) if name == "out_head" else COOL if name.endswith("emb") else WARM
        axes.add_patch(Rectangle((LEFT, y), count * scale, 0.32, facecolor=fill))
        axes.text(LEFT + count * scale + 0.08, y + 0.16, millions(count), va="center_baseline", fontsize=9)
        y += 0.55
    axes.text(5.2, 4.75, "Tied, out_head uses the table of tok_emb,", color=FAINT, fontsize=9)
    axes.text(5.2, 4.95, f"and {number(count_parameters(model, tied=True))} are left.", color=FAINT, fontsize=9)


def of_blocks(model: GPTModel, part: str) -> int:
    return sum(count_parameters(getattr(block, part)) for block in model.trf_blocks.children())


def millions(count: int) -> str:
    return f"{count / 1e6:.1f} million" if count > 50_000 else number(count)


def heading(axes: Axes, x: float, y: float, name: str, what: str) -> None:
    axes.text(x, y, name, fontsize=12, fontweight="bold")
    axes.text(x, y + 0.21, what, color=FAINT, fontsize=9)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops=ARROW)


if __name__ == "__main__":
    save(draw(), "gpt/model")
