"""Which messages a classifier takes for which, as a table and as a figure."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from dojo.datasets.messages import LABELS
from dojo.train.curve import INK, PAPER

Counts = Sequence[Sequence[int]]


def counts(logits: Tensor, labels: Tensor) -> list[list[int]]:
    """How often messages of each label, in rows, are taken for each label, in columns."""
    kinds = len(LABELS)
    pairs = (labels * kinds + logits.argmax(-1)).bincount(minlength=kinds * kinds)
    rows: list[list[int]] = pairs.reshape(kinds, kinds).tolist()
    return rows


def table(counts: Counts) -> list[str]:
    """Rows are what the messages are, columns what they are taken for."""
    width = max(map(len, LABELS)) + 2
    lines = ["".join([f"{'':{width}}", *(f"{label:>{width}}" for label in LABELS), "   <- taken for"])]
    for label, row in zip(LABELS, counts, strict=True):
        lines.append("".join([f"{label:{width}}", *(f"{count:>{width}}" for count in row)]))
    return lines


def draw(counts: Counts, title: str) -> Figure:
    """The same as a figure: the darker, the more of a row."""
    figure = Figure(figsize=(4.5, 4), facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(LABELS)), LABELS)
    axes.set_yticks(range(len(LABELS)), LABELS)
    axes.set(xlabel="taken for", ylabel="is")
    axes.set_title(title, fontsize=10, color=INK)
    for down, row in enumerate(counts):
        for right, count in enumerate(row):
            colour = "white" if shares[down][right] > 0.5 else INK
            axes.text(right, down, str(count), ha="center", va="center", color=colour)
    return figure
