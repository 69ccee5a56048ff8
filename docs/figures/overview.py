"""What stands at the end of the course: every kata in its place, from a text to the model's own sentences."""

from itertools import pairwise

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from docs.figures.style import EDGE, FAINT, INK, WARM, cell, panel, save, shade

WIDTH, HEIGHT = 10.4, 8.7
BOX, TALL = 1.5, 0.5  # inches: a kata's box
ARROW = {"arrowstyle": "-|>", "color": FAINT, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}


def draw() -> Figure:
    figure, axes = panel(WIDTH, HEIGHT)

    def room(x: float, y: float, width: float, height: float, title: str) -> None:
        box = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.1")
        box.set(facecolor=shade(0.06, INK), edgecolor=EDGE, linewidth=1)
        axes.add_patch(box)
        axes.text(x + 0.15, y + 0.24, title, fontsize=11, fontweight="bold", va="center_baseline")

    def kata(x: float, y: float, name: str, width: float = BOX, fill: str = shade(0.22)) -> None:
        cell(axes, x, y, name, fill, width, TALL, fontsize=9.5)

    def arrow(*corners: tuple[float, float]) -> None:
        for here, there in pairwise(corners[:-1]):
            axes.plot([here[0], there[0]], [here[1], there[1]], color=FAINT, linewidth=1.4)
        axes.annotate("", corners[-1], corners[-2], arrowprops=ARROW)

    room(0.3, 0.3, 2.0, 4.05, "From text to tokens")
    for row, name in enumerate(["bpe training", "bpe tokenizer", "dataloader", "embeddings"]):
        kata(0.55, 0.85 + row * 0.85, name)
        if row:
            arrow((1.3, 0.85 + row * 0.85 - 0.33), (1.3, 0.85 + row * 0.85 + 0.01))
    axes.text(0.55, 4.1, "words: tokenizer", color=FAINT, fontsize=9, va="center_baseline")

    room(2.75, 0.3, 4.6, 4.05, "GPT")
    box = FancyBboxPatch((2.95, 0.75), 4.2, 2.5, boxstyle="round,pad=0,rounding_size=0.08")
    box.set(facecolor=shade(0.1, WARM), edgecolor=EDGE, linewidth=1)
    axes.add_patch(box)
    axes.text(3.1, 0.98, "block, n_layers times", fontsize=9.5, va="center_baseline")
    kata(3.1, 1.2, "layernorm", 1.2)
    kata(4.55, 1.2, "multi-head attention", 2.4, shade(0.45, WARM))
    axes.text(4.6, 1.88, "simplified, trainable, causal on the way", color=FAINT, fontsize=8, va="center_baseline")
    kata(3.1, 2.2, "layernorm", 1.2)
    kata(4.55, 2.2, "feedforward", 2.4, shade(0.45, WARM))
    arrow((4.28, 1.45), (4.56, 1.45))
    arrow((4.28, 2.45), (4.56, 2.45))
    axes.text(4.6, 2.95, "each added to its input", color=FAINT, fontsize=8, va="center_baseline")
    kata(2.95, 3.5, "model: final norm and head, one score for each token", 4.2)
    arrow((5.05, 3.23), (5.05, 3.51))
    arrow((2.05, 3.65), (2.6, 3.65), (2.6, 2.0), (2.96, 2.0))

    room(7.8, 0.3, 2.3, 4.05, "The model writes")
    for row, name in enumerate(["softmax", "sampling", "generate"]):
        kata(8.05, 0.85 + row * 0.85, name, 1.8)
        if row:
            arrow((8.95, 0.85 + row * 0.85 - 0.33), (8.95, 0.85 + row * 0.85 + 0.01))
    arrow((7.13, 3.75), (7.58, 3.75), (7.58, 1.1), (8.06, 1.1))
    axes.text(8.05, 3.45, "the next token joins\nthe text, and again", color=FAINT, fontsize=8.5, va="center")

    room(0.3, 4.7, 4.75, 1.0, "Pretraining")
    for column, name in enumerate(["loss", "optimizer", "training", "checkpoint"]):
        kata(0.5 + column * 1.12, 5.08, name, 1.05)
    room(5.35, 4.7, 4.75, 1.0, "Fine-tuning")
    for column, name in enumerate(["classification", "instruction", "lora", "preference"]):
        kata(5.53 + column * 1.13, 5.08, name, 1.08)
    room(0.3, 5.95, 9.8, 1.55, "What changed since GPT-2")
    modern = ["rmsnorm", "rope", "swiglu", "grouped query"]
    modern += ["sliding window", "kv cache", "mixture of experts", "decoder"]
    for number, name in enumerate(modern):
        kata(0.55 + number % 4 * 2.37, 6.35 + number // 4 * 0.55, name, 2.2)
    room(0.3, 7.65, 9.8, 0.75, "Foundations")
    for column, name in enumerate(["tensors", "softmax", "autograd"]):
        kata(2.2 + column * 1.75, 7.78, name)
    axes.text(7.6, 8.03, "used by everything above", color=FAINT, fontsize=9, va="center_baseline")
    arrow((3.9, 4.7), (3.9, 4.37))
    arrow((5.05, 5.2), (5.36, 5.2))
    return figure


if __name__ == "__main__":
    save(draw(), "overview")
