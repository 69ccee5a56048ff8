"""The figure of docs/finetuning/instruction.md: the layout of a task, and what of a batch is learned."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from docs.figures.style import COOL, EDGE, FAINT, HIDDEN, WARM, cell, panel, save, shade
from katas.finetuning.instruction import collate, format_prompt

ENTRY = {"instruction": "Name the colour.", "input": "grass", "output": "Green."}
ITEMS = [([5, 6, 7, 8, 9], 3), ([4, 2], 1)]
PAD = 0
PROMPT, ANSWER, PADDING = shade(0.22, COOL), shade(0.75, WARM), HIDDEN
LEFT, BOX, LINE = 0.3, 3.55, 0.235  # inches: the text
GRID, WIDTH, TALL = 5.55, 0.62, 0.4  # inches: the batch


def draw() -> Figure:
    figure, axes = panel(9.1, 4.1)
    axes.text(LEFT, 0.4, "one text", fontsize=12, fontweight="bold")
    layout(axes)
    axes.text(4.4, 0.4, "a batch of two", fontsize=12, fontweight="bold")
    batch(axes)
    return figure


def layout(axes: Axes) -> None:
    """The prompt of the reference, with its first line broken to fit, and the answer."""
    preamble, *rest = format_prompt(ENTRY).split("\n")
    words, lines = preamble.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 42:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    lines += [*rest, "", "### Response:"]
    y = 0.62
    for fill, part in ((PROMPT, lines), (ANSWER, [ENTRY["output"]])):
        height = LINE * len(part) + 0.16
        box = FancyBboxPatch((LEFT, y), BOX, height, boxstyle="round,pad=0,rounding_size=0.05")
        box.set(facecolor=fill, edgecolor=EDGE, linewidth=0.8)
        axes.add_patch(box)
        for number, line in enumerate(part):
            place = y + 0.08 + LINE * (number + 0.5)
            axes.text(LEFT + 0.12, place, line, va="center_baseline", fontsize=9)
        y += height + 0.04


def batch(axes: Axes) -> None:
    inputs, targets = (part.tolist() for part in collate(ITEMS, PAD, mask_prompt=True))
    y = 0.75
    for (token_ids, prompt_length), read, said in zip(ITEMS, inputs, targets, strict=True):
        for name, row in (("inputs", read), ("targets", said)):
            axes.text(GRID - 0.15, y + TALL / 2, name, ha="right", va="center_baseline", color=FAINT, fontsize=9)
            for place, token_id in enumerate(row):
                if name == "inputs":
                    behind = place >= len(token_ids)
                    fill = PADDING if behind else PROMPT if place < prompt_length else ANSWER
                else:
                    fill = PADDING if token_id == -100 else ANSWER
                style = {"color": FAINT} if fill == PADDING else {}
                cell(axes, GRID + WIDTH * place, y, f"{token_id}", fill, WIDTH, TALL, fontsize=9.5, **style)
            y += TALL + 0.06
        y += 0.28
    notes = [
        (PROMPT, "prompt: read, and with mask_prompt not learned"),
        (ANSWER, "answer, and as a target the first end of text, 0: learned"),
        (PADDING, "padding in the inputs, and targets that do not count"),
    ]
    for fill, told in notes:
        cell(axes, 4.4, y, "", fill, 0.16, 0.16)
        axes.text(4.65, y + 0.08, told, color=FAINT, va="center_baseline", fontsize=9)
        y += 0.27


if __name__ == "__main__":
    save(draw(), "finetuning/instruction")
