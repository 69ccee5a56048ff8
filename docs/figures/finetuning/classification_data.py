"""The figure of docs/finetuning/classification_data.md: three texts as rows of one length."""

from matplotlib.figure import Figure

from docs.figures.style import COOL, FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.finetuning.classification_data import ClassificationDataset

TEXTS, LABELS = ["call now and win", "see you tonight", "thanks"], [1, 0, 0]
WORDS = ["<pad>", *sorted({word for text in TEXTS for word in text.split()})]
PAD, LENGTH = 0, 3
LEFT, TOP, WORD, ROW = 0.3, 0.62, 0.78, 0.56  # inches


def draw() -> Figure:
    dataset = ClassificationDataset(
        TEXTS, LABELS, lambda text: [WORDS.index(word) for word in text.split()], PAD, max_length=LENGTH
    )
    figure, axes = panel(8.0, 2.75)
    rows, numbers = LEFT + 4 * WORD + 0.45, LEFT + 7 * WORD + 0.65
    for x, title in ((LEFT, "texts"), (rows, f"token_ids, max_length {LENGTH}"), (numbers, "length")):
        axes.text(x, TOP - 0.2, title, fontweight="bold")
    axes.text(numbers + 0.75, TOP - 0.2, "label", fontweight="bold")
    for row, text in enumerate(TEXTS):
        y = TOP + ROW * row
        for place, word in enumerate(text.split()):
            cell(axes, LEFT + WORD * place, y, word, HIDDEN if place >= LENGTH else shade(0.22, COOL), WORD, 0.4)
        token_ids, length, label = dataset[row]
        for place, token_id in enumerate(token_ids.tolist()):
            last = place == length - 1
            fill = HIDDEN if place >= length else shade(0.75, WARM) if last else shade(0.22, COOL)
            cell(axes, rows + WORD * place, y, WORDS[token_id], fill, WORD, 0.4)
        cell(axes, numbers, y, str(length), shade(0.0), 0.55, 0.4)
        cell(axes, numbers + 0.75, y, str(label), shade(0.0), 0.55, 0.4)
    told = "the first text is cut, the last one is padded; the class will be read at the last token of each text"
    axes.text(LEFT, TOP + 3 * ROW + 0.15, told, color=FAINT, fontsize=9)
    return figure


if __name__ == "__main__":
    save(draw(), "finetuning/classification_data")
