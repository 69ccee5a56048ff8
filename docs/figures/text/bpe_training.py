"""Four merges on "low lower lowest": how the reference builds tokens from bytes, and which pairs were tied."""

import regex
from matplotlib.figure import Figure

from docs.figures.style import FAINT, WARM, cell, panel, save, shade
from katas.text.bpe_training import SPLIT_PATTERN, merge_pair, pair_counts, train_bpe

TEXT, MERGES = "low lower lowest", 4
BYTE, ROW = 0.36, 0.52  # inches: the width of a byte, the height of a step
LEFT, TOP, GAP = 1.5, 0.75, 0.3  # inches: beside the pieces, above them, between two of them


def draw() -> Figure:
    vocab, merges = train_bpe(TEXT, 256 + MERGES)
    id_of = {token: token_id for token_id, token in vocab.items()}
    pieces = [list(piece.encode()) for piece in regex.findall(SPLIT_PATTERN, TEXT)]
    figure, axes = panel(9.8, 3.6)
    axes.text(0.3, 0.4, "merge", fontsize=12, fontweight="bold")
    axes.text(LEFT, 0.4, "the pieces, a row after each merge", fontsize=12, fontweight="bold")
    right = LEFT + sum(map(len, pieces)) * BYTE + len(pieces) * GAP
    axes.text(right, 0.4, "count", fontsize=12, fontweight="bold")
    for step in range(MERGES + 1):
        y, newest = TOP + step * ROW, 255 + step
        if step == 0:
            axes.text(0.3, y + ROW / 2, "bytes", va="center_baseline", color=FAINT)
        else:
            left, second = merges[step - 1]
            pair = id_of[left], id_of[second]
            counts = pair_counts({tuple(piece): 1 for piece in pieces})
            rivals = [rival for rival in counts if counts[rival] == counts[pair] and rival != pair]
            told = f"{counts[pair]}" + "".join(f", like {shown(vocab[a])} + {shown(vocab[b])}" for a, b in rivals)
            axes.text(0.3, y + ROW / 2, f"{shown(left)} + {shown(second)}", va="center_baseline")
            axes.text(right, y + ROW / 2, told, va="center_baseline", color=FAINT)
            pieces = [merge_pair(piece, pair, newest) for piece in pieces]
        x = LEFT
        for piece in pieces:
            for token_id in piece:
                width = len(vocab[token_id]) * BYTE
                fill = WARM if token_id == newest > 255 else shade(0.3 if token_id > 255 else 0)
                cell(axes, x, y + 0.05, shown(vocab[token_id]), fill, width, ROW - 0.1)
                x += width
            x += GAP
    return figure


def shown(token: bytes) -> str:
    return token.decode().replace(" ", "␣")


if __name__ == "__main__":
    save(draw(), "text/bpe_training")
