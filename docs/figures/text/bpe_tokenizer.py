"""The piece ␣weather encoded with six merges: at each step the ranks of its pairs, and the lowest of them."""

from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.figures.style import FAINT, INK, WARM, cell, panel, save, shade
from katas.text.bpe_tokenizer import BPETokenizer

PIECE = b" weather"
MERGES = [(b"h", b"e"), (b" ", b"w"), (b"e", b"r"), (b"a", b"t"), (b"he", b"r"), (b" w", b"e")]
VOCAB = dict(enumerate([bytes([byte]) for byte in range(256)] + [left + right for left, right in MERGES]))
BYTE, GAP, ROW = 0.42, 0.3, 0.55  # inches: the width of a byte, the gap between two parts, the height of a step
LEFT, TOP = 0.3, 1.72  # inches: beside the steps, above them
RIGHT = LEFT + len(PIECE) * (BYTE + GAP) + 0.15  # where it is told what comes next


def draw() -> Figure:
    figure, axes = panel(9.8, 5.1)
    title(axes, LEFT, 0.42, "merges")
    axes.text(LEFT + 1.0, 0.42, "in their order, the rank of each below", color=FAINT)
    x = LEFT
    for rank, (left, right) in enumerate(MERGES):
        for part in (left, right):
            cell(axes, x, 0.55, shown(part), shade(0.3 if len(part) > 1 else 0), BYTE * len(part), 0.42)
            x += BYTE * len(part)
        middle = x - BYTE * len(left + right) / 2
        axes.text(middle, 1.12, str(rank), ha="center", va="center", color=FAINT)
        x += 2 * GAP
    title(axes, LEFT, TOP - 0.18, "the piece")
    axes.text(LEFT + 1.2, TOP - 0.18, "step by step, with the ranks of its pairs", color=FAINT)
    title(axes, RIGHT, TOP - 0.18, "what comes next")

    known = 0  # merges up to the one joined last: with these alone, the tokenizer gives the parts of the step
    y = TOP
    while True:
        parts = [VOCAB[token_id] for token_id in BPETokenizer(VOCAB, MERGES[:known]).encode(PIECE.decode())]
        ranks = [MERGES.index(pair) if pair in MERGES else None for pair in pairwise(parts)]
        lowest = min((rank for rank in ranks if rank is not None), default=None)
        row(axes, y, parts, ranks, lowest)
        if lowest is None:
            ids = ", ".join(str(token_id) for token_id in BPETokenizer(VOCAB, MERGES).encode(PIECE.decode()))
            axes.text(RIGHT, y + 0.22, f"no pair is left: the ids {ids}", va="center_baseline")
            return figure
        left, right = MERGES[lowest]
        axes.text(RIGHT, y + 0.22, f"join {shown(left)} + {shown(right)}, rank {lowest}", va="center_baseline")
        known, y = lowest + 1, y + ROW


def row(axes: Axes, y: float, parts: list[bytes], ranks: list[int | None], lowest: int | None) -> None:
    """The parts of a step as boxes, and between two of them the rank of their pair."""
    x = LEFT
    following = [*ranks, None]
    before = [None, *ranks]
    for part, behind, ahead in zip(parts, before, following, strict=True):
        joins = lowest is not None and lowest in (behind, ahead)
        width = len(part) * BYTE + (len(part) - 1) * GAP
        cell(axes, x, y, shown(part), WARM if joins else shade(0.3 if len(part) > 1 else 0), width, 0.42)
        x += width
        if ahead is not None:
            chosen = ahead == lowest
            style = {"color": INK, "fontweight": "bold"} if chosen else {"color": FAINT}
            axes.text(x + GAP / 2, y + 0.22, str(ahead), ha="center", va="center_baseline", **style)
        x += GAP


def title(axes: Axes, x: float, y: float, text: str) -> None:
    axes.text(x, y, text, fontsize=12, fontweight="bold")


def shown(token: bytes) -> str:
    return token.decode().replace(" ", "␣")


if __name__ == "__main__":
    save(draw(), "text/bpe_tokenizer")
