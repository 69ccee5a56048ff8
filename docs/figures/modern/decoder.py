"""GPT-2's block beside that of today, and the parameters of two published models, counted on the reference."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from docs.figures.style import COOL, FAINT, INK, WARM, cell, panel, save, shade
from dojo.system.terminal import number
from katas.gpt.model import count_parameters
from katas.modern.decoder import DecoderConfig, DecoderModel

WIDE, TALL, GAP = 1.9, 0.36, 0.17  # inches: a box, and the way between two
BLOCKS = {
    "GPT-2": ("tok_emb + pos_emb", "LayerNorm", "attention", "LayerNorm", "GELU layers", "LayerNorm", "out_head"),
    "Llama, Qwen3, Mixtral": (
        "tok_emb",
        "RMSNorm",
        "grouped attention",
        "RMSNorm",
        "SwiGLU or experts",
        "RMSNorm",
        "out_head",
    ),
}
NOTES = {2: "queries and keys rotated", 4: "gated"}
MODELS = {
    "Qwen3-0.6B": DecoderConfig(
        151_936, 40_960, 1_024, 3_072, 28, 16, 8, head_dim=128, qk_norm=True, tie_embeddings=True
    ),
    "Llama-3.2-1B": DecoderConfig(128_256, 131_072, 2_048, 8_192, 16, 32, 8, tie_embeddings=True),
}
RIGHT, LONG = 7.35, 2.6


def draw() -> Figure:
    figure, axes = panel(11.4, 5.2)
    for column, (name, boxes) in enumerate(BLOCKS.items()):
        stack(axes, 0.4 + column * 2.5, name, boxes, notes=NOTES if column else {})
    axes.text(RIGHT - 1.15, 0.4, "where the parameters are", fontsize=12, fontweight="bold")
    y = 0.85
    for name, config in MODELS.items():
        y = bars(axes, y, name, config) + 0.35
    return figure


def stack(axes: Axes, left: float, name: str, boxes: tuple[str, ...], notes: dict[int, str]) -> None:
    axes.text(left, 0.4, name, fontsize=12, fontweight="bold")
    y = 0.85
    for place, box in enumerate(boxes):
        fill = shade(0.22) if "Norm" in box else shade(0.45, WARM)
        cell(axes, left, y, box, fill, WIDE, TALL, fontsize=9.5)
        if place in notes:
            axes.text(left + WIDE / 2, y + TALL + 0.11, notes[place], ha="center", color=FAINT, fontsize=8)
        y += TALL + GAP + (0.08 if place in (0, 2, 4) else 0.0)
    axes.text(left, y + 0.12, "boxes 2 to 5 are a block: once a layer", color=FAINT, fontsize=8)


def bars(axes: Axes, y: float, name: str, config: DecoderConfig) -> float:
    """The parts of a model as bars, to the scale of its largest; gives where they end."""
    with torch.device("meta"):  # shapes without numbers
        model = DecoderModel(config)
    axes.text(RIGHT - 1.15, y, f"{name}: {number(count_parameters(model))}", fontsize=10)
    norms = count_parameters(model.final_norm)
    counts = {"tok_emb (tied)": count_parameters(model.tok_emb), "attention": 0, "feedforward": 0}
    for block in model.trf_blocks:
        counts["attention"] += count_parameters(block.att)
        counts["feedforward"] += count_parameters(block.ff)
        norms += count_parameters(block.norm1) + count_parameters(block.norm2)
    assert sum(counts.values()) + norms == count_parameters(model)
    for part, count in counts.items():
        y += 0.13
        axes.text(RIGHT - 0.1, y + 0.15, part, ha="right", va="center_baseline", fontsize=9)
        fill = COOL if part.startswith("tok") else WARM if part == "feedforward" else shade(0.35, INK)
        width = LONG * count / max(counts.values())
        axes.add_patch(Rectangle((RIGHT, y), width, 0.28, facecolor=fill))
        axes.text(RIGHT + width + 0.07, y + 0.15, f"{count / 1e6:.0f} million", va="center_baseline", fontsize=8.5)
        y += 0.28
    cache = 2 * config.num_layers * config.num_kv_heads * (config.head_dim or config.emb_dim // config.num_heads) * 2
    axes.text(RIGHT - 1.15, y + 0.27, f"cache: {number(cache)} bytes a token in bfloat16", color=FAINT, fontsize=9)
    return y + 0.4


if __name__ == "__main__":
    save(draw(), "modern/decoder")
