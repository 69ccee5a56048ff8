"""A sentence on its way to ids and back: split, looked up, and decoded, with one word that is not in the vocabulary."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.figures.style import CARD, FAINT, INK, WARM, cell, panel, save, shade
from katas.text.tokenizer import WordTokenizer, build_vocab, split_words

LEARNED_FROM = "the cat sat, the dog ran--far."
TEXT = "the cat ran, the owl sat."
LEFT, TOP, ROW, GAP = 1.55, 0.3, 0.62, 0.08  # inches: of the boxes, above them, from row to row, between two boxes
HEIGHT, LETTER, MARGIN = 0.42, 0.1, 0.34  # inches: of a box, of a letter in it, beside its letters


def draw() -> Figure:
    vocab = build_vocab(split_words(LEARNED_FROM))
    tokenizer, words = WordTokenizer(vocab), split_words(TEXT)
    ids = tokenizer.encode(TEXT)
    used = set(ids)
    unknown = vocab["<|unk|>"]
    figure, axes = panel(9.4, 4.2)

    label(axes, 0, "text")
    line(axes, 0, TEXT)
    label(axes, 1, "words", "split_words")
    label(axes, 2, "ids", "encode")
    x = LEFT
    for word, token_id in zip(words, ids, strict=True):
        fill, width = colour(token_id, used, unknown), width_of(word)
        cell(axes, x, TOP + ROW, word, fill, width, HEIGHT)
        cell(axes, x, TOP + 2 * ROW, str(token_id), fill, width, HEIGHT)
        x += width + GAP
    label(axes, 3, "text", "decode")
    line(axes, 3, tokenizer.decode(ids))

    y = TOP + 4 * ROW + 0.35
    axes.text(0.3, y + 0.02, "vocabulary", fontsize=12, fontweight="bold")
    axes.text(LEFT, y + 0.02, f"of   {LEARNED_FROM}   sorted, and two special words", color=FAINT)
    x = 0.3
    for word, token_id in vocab.items():
        fill, width = colour(token_id, used, unknown), width_of(word)
        cell(axes, x, y + 0.2, word, fill, width, HEIGHT)
        axes.text(x + width / 2, y + 0.2 + HEIGHT + 0.2, str(token_id), ha="center", color=FAINT)
        x += width + GAP
    return figure


def colour(token_id: int, used: set[int], unknown: int) -> str:
    """Of a word that the text has, of the unknown one, and of a word that the text does not have."""
    return WARM if token_id == unknown else shade(0.3) if token_id in used else CARD


def width_of(word: str) -> float:
    return LETTER * len(word) + MARGIN


def label(axes: Axes, row: int, name: str, made_by: str = "") -> None:
    middle = TOP + row * ROW + HEIGHT / 2
    axes.text(0.3, middle - (0.09 if made_by else 0), name, fontsize=12, fontweight="bold", va="center")
    axes.text(0.3, middle + 0.13, made_by, color=FAINT, fontsize=8, va="center")


def line(axes: Axes, row: int, text: str) -> None:
    axes.text(LEFT + 0.05, TOP + row * ROW + HEIGHT / 2, text, color=INK, fontsize=12, va="center")


if __name__ == "__main__":
    save(draw(), "text/tokenizer")
