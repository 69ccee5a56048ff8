"""The figure of docs/finetuning/classification.md: what of a GPT is learned, and where the class is read."""

import random

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import DataLoader

from docs.figures.style import COOL, FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.finetuning.classification import add_classification_head, last_token_logits
from katas.finetuning.classification_data import ClassificationDataset
from katas.gpt.config import GPTConfig
from katas.gpt.model import GPTModel

TEXTS, LABELS = ["call now and win gold", "see you tonight", "thanks"], [1, 0, 0]
WORDS = ["<pad>", *sorted({word for text in TEXTS for word in text.split()})]
PAD = WORDS.index("<pad>")
BOX, TALL, STEP = 1.75, 0.36, 0.44  # inches: a part of the model
LEFT, TOP, WORD, ROW = 2.75, 1.15, 0.78, 0.72  # inches: the messages
LEARNED = shade(0.75, WARM)
ARROW = {"arrowstyle": "-|>", "color": FAINT, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}


def draw() -> Figure:
    model = made()
    figure, axes = panel(8.9, 4.35)
    axes.text(0.3, 0.4, "what is learned", fontsize=12, fontweight="bold")
    parts(axes, model)
    axes.text(LEFT, 0.4, "where the class is read", fontsize=12, fontweight="bold")
    messages(axes, model)
    return figure


def made() -> GPTModel:
    """A small GPT with a head for two classes, and with numbers that are the same everywhere."""
    config = GPTConfig(len(WORDS), 8, emb_dim=8, n_heads=2, n_layers=4, drop_rate=0.0, qkv_bias=False)
    model = GPTModel(config)
    add_classification_head(model, num_classes=2)
    dealer = random.Random(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.tensor([dealer.uniform(-1, 1) for _ in range(parameter.numel())]).view_as(parameter))
    return model.eval()


def parts(axes: Axes, model: GPTModel) -> None:
    blocks = {f"block {number}": block for number, block in enumerate(model.trf_blocks, start=1)}
    column: dict[str, nn.Module] = {"tok_emb": model.tok_emb, "pos_emb": model.pos_emb, **blocks}
    column |= {"final_norm": model.final_norm, "out_head, 2 classes": model.out_head}
    for number, (name, part) in enumerate(column.items()):
        learned = all(parameter.requires_grad for parameter in part.parameters())
        fill = LEARNED if learned else HIDDEN
        cell(axes, 0.3, 0.6 + STEP * number, name, fill, BOX, TALL, fontsize=9.5)
    cell(axes, 0.3, 4.12, "", HIDDEN, 0.16, 0.16)
    axes.text(0.52, 4.2, "frozen", color=FAINT, va="center_baseline", fontsize=9)
    cell(axes, 1.2, 4.12, "", LEARNED, 0.16, 0.16)
    axes.text(1.42, 4.2, "learned", color=FAINT, va="center_baseline", fontsize=9)


def messages(axes: Axes, model: GPTModel) -> None:
    dataset = ClassificationDataset(TEXTS, LABELS, lambda text: [WORDS.index(word) for word in text.split()], PAD)
    inputs, lengths, _ = next(iter(DataLoader(dataset, batch_size=3)))
    with torch.no_grad():
        logits = last_token_logits(model, inputs, lengths)  # (3, 2)
    scores = LEFT + WORD * dataset.max_length + 0.5
    axes.text(scores + 0.55, TOP - 0.14, "logits", ha="center", color=FAINT, fontsize=9)
    for row, (token_ids, length, line) in enumerate(
        zip(inputs.tolist(), lengths.tolist(), logits.tolist(), strict=True)
    ):
        y = TOP + ROW * row
        for place, token_id in enumerate(token_ids):
            fill = HIDDEN if place >= length else LEARNED if place == length - 1 else shade(0.22, COOL)
            word = "" if place >= length else WORDS[token_id]
            cell(axes, LEFT + WORD * place, y, word, fill, WORD, 0.4, fontsize=9)
        x = LEFT + WORD * (length - 0.5)
        axes.plot([x, x, scores - 0.25], [y + 0.4, y + 0.53, y + 0.53], color=FAINT, lw=1.2)
        axes.annotate("", (scores - 0.02, y + 0.25), (scores - 0.25, y + 0.54), arrowprops=ARROW)
        for number, logit in enumerate(line):
            fill = shade(0.45, COOL) if logit == max(line) else shade(0.0)
            cell(axes, scores + 0.55 * number, y, f"{logit:.1f}", fill, 0.55, 0.4, fontsize=9)
    y = TOP + ROW * 3 + 0.25
    notes = [
        (LEARNED, "the last token of a message: it attends to all of it, so the class is read here"),
        (HIDDEN, "padding: it does not change the logits of the message"),
    ]
    for fill, told in notes:
        cell(axes, LEFT, y, "", fill, 0.16, 0.16)
        axes.text(LEFT + 0.25, y + 0.08, told, color=FAINT, va="center_baseline", fontsize=9)
        y += 0.3


if __name__ == "__main__":
    save(draw(), "finetuning/classification")
