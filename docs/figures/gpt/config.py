"""Where the parameters of gpt2-small are, in the model and in one of its blocks, and those of the larger sizes."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from docs.figures.style import EDGE, FAINT, WARM, cell, panel, save, shade
from dojo.system.terminal import number
from katas.gpt.config import GPTConfig

LEFT, WIDTH, HEIGHT = 0.3, 9.2, 0.52  # inches: of every bar
MODEL, BLOCK, SIBLINGS = 0.72, 2.22, 3.72  # inches: the upper edges of the three rows
TABLE, POSITIONS, NORMS = shade(0.75, WARM), shade(1.0, WARM), shade(0.1)
ATTENTION, FEEDFORWARD = shade(0.35), shade(0.8)


def draw() -> Figure:
    config = GPTConfig.preset("gpt2-small")
    figure, axes = panel(9.8, 4.6)
    whole, block = model_parts(config), block_parts(config)
    total, within = sum(count for _, count, _ in whole), sum(count for _, count, _ in block)

    axes.text(LEFT, MODEL - 0.32, "gpt2-small", fontsize=12, fontweight="bold")
    axes.text(LEFT + 1.15, MODEL - 0.32, f"{number(total)} parameters", color=FAINT, fontsize=9)
    places = bar(axes, MODEL, whole, total)
    first = places["0"]
    corners = [(first[0], MODEL + HEIGHT), (LEFT, BLOCK), (LEFT + WIDTH, BLOCK), (first[1], MODEL + HEIGHT)]
    axes.add_patch(Polygon(corners, facecolor=shade(0.12), edgecolor=EDGE, linewidth=0.8, zorder=0))

    axes.text(LEFT + 3.55, BLOCK - 0.3, "one block", fontsize=12, fontweight="bold")
    axes.text(LEFT + 4.6, BLOCK - 0.3, f"{number(within)} parameters", color=FAINT, fontsize=9)
    bar(axes, BLOCK, block, within)
    third = WIDTH / 3
    axes.text(LEFT + third / 2, BLOCK + HEIGHT + 0.2, "attention, a third", ha="center", color=FAINT, fontsize=9)
    axes.text(LEFT + 2 * third, BLOCK + HEIGHT + 0.2, "feedforward, two thirds", ha="center", color=FAINT, fontsize=9)

    axes.text(LEFT, SIBLINGS - 0.32, "all sizes", fontsize=12, fontweight="bold")
    axes.text(
        LEFT + 1.2, SIBLINGS - 0.32, "the share of the blocks grows with width and depth", color=FAINT, fontsize=9
    )
    for place, name in enumerate(("gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl")):
        parts = model_parts(GPTConfig.preset(name))
        all_of_it = sum(count for _, count, _ in parts)
        tables = sum(count for label, count, _ in parts if not label.isdigit())
        left, width = LEFT + place * 2.33, 2.2
        split = width * (1 - tables / all_of_it)
        cell(axes, left, SIBLINGS, f"{1 - tables / all_of_it:.0%} blocks", FEEDFORWARD, split, 0.36, fontsize=9)
        cell(axes, left + split, SIBLINGS, "", TABLE, width - split, 0.36)
        million = f"{number(all_of_it / 1e6)} million"
        axes.text(left + 0.02, SIBLINGS + 0.56, f"{name}, {million}", color=FAINT, fontsize=8.5)
    return figure


def model_parts(config: GPTConfig) -> list[tuple[str, int, str]]:
    """Name, number of parameters and colour of each part of a model, in the order of the data; its norm is too thin."""
    table, positions = config.vocab_size * config.emb_dim, config.context_length * config.emb_dim
    block = sum(count for _, count, _ in block_parts(config))
    blocks = [(str(number), block, shade(0.58)) for number in range(config.n_layers)]
    last = 2 * config.emb_dim
    return [
        ("tok_emb", table, TABLE),
        ("pos_emb", positions, POSITIONS),
        *blocks,
        ("final_norm", last, NORMS),
        ("out_head", table, TABLE),
    ]


def block_parts(config: GPTConfig) -> list[tuple[str, int, str]]:
    """Those of a block: each linear layer with its bias, and the two norms."""
    width, bias = config.emb_dim, config.emb_dim
    projections = [(name, width**2 + config.qkv_bias * bias, ATTENTION) for name in ("W_query", "W_key", "W_value")]
    return [
        *projections,
        ("out_proj", width**2 + bias, ATTENTION),
        ("ff.layers.0", 4 * width**2 + 4 * bias, FEEDFORWARD),
        ("ff.layers.2", 4 * width**2 + bias, FEEDFORWARD),
        ("norms", 4 * width, NORMS),
    ]


def bar(axes: Axes, top: float, parts: list[tuple[str, int, str]], total: int) -> dict[str, tuple[float, float]]:
    """A cell for each part, as wide as its share; a part too thin for its number has none. Returns where each lies."""
    places, left = {}, LEFT
    for name, count, fill in parts:
        width = WIDTH * count / total
        places[name] = left, left + width
        if width > 0.2:
            text = f"{name}\n{count / 1e6:.1f} million" if width > 1 else name
            cell(axes, left, top, text, fill, width, HEIGHT, fontsize=8.5, va="center")
        elif width > 0.02:
            axes.add_patch(Rectangle((left, top + 0.02), width, HEIGHT - 0.04, color=fill))
            text = f"{name}, {count / 1e6:.1f} million"
            axes.text(left + width / 2, top - 0.08, text, ha="center", color=FAINT, fontsize=8.5)
        left += width
    return places


if __name__ == "__main__":
    save(draw(), "gpt/config")
