"""What is told when a run has come to its end: the chart, numbers that mean something, and where all of it lies."""

import math
from typing import Any

import torch

from dojo.learner import store
from dojo.system import terminal
from dojo.system.terminal import number
from dojo.train import beside, bigram, curve, pieces, tokens
from dojo.train.chart import chart, smoothed
from dojo.train.history import History
from dojo.train.opening import row
from dojo.train.session import Session, final_loss

RISEN = 0.1  # nats above the lowest held-out loss, from which on a model learns its text by heart


def why(history: History) -> str:
    """Why a model knows less of held-out text than a table of pairs."""
    held_out = history["val_losses"]
    if held_out and held_out[-1] > min(held_out) + RISEN:
        step = int(history["steps"][held_out.index(min(held_out))])
        told = f"the held-out loss was lowest, {min(held_out):.3f}, at step {step}, and has risen since."
        return f"{told} The model learned its text by heart, so fewer `--epochs` help."
    return "there was too little text to learn more than pairs from."


def tell(session: Session, about: dict[str, Any]) -> None:
    """Measure the model on all that was held out, beside a table of pairs, and tell it. Raises CannotSave."""
    size = about["config"]["vocab_size"]
    learned, held_out = tokens.read(session.run, size)
    loss, pairs = final_loss(session), bigram.perplexity(learned, held_out, size)
    # As a tensor: only a further clause of the kata is about floats.
    unsure = float(pieces.module("pretraining/loss").perplexity(torch.tensor(loss, dtype=torch.float64)))
    tell_chart(session, "token")
    row("held out", f"loss {loss:.3f} nats a token, perplexity {unsure:.1f}: as unsure as among {unsure:.0f} tokens")
    row("beside it", f"a table of pairs of tokens: perplexity {pairs:.1f}; blind guessing: {number(size)}")
    if unsure >= pairs:
        row("", f"The table wins: {why(session.history)} More text helps most.")
    if told := beside.other_model(session.run, about, unsure):
        row("", told)
    row("text", f"{terminal.harmless(about['text'])}, SHA-256 {about['sha256']}")
    about["result"] = {"loss": loss, "perplexity": unsure, "bigram_perplexity": pairs}
    session.run.note(about)
    baselines = {"a table of pairs, held out": math.log(pairs)}
    figure = curve.draw(session.history, f"{about['text']}, {number(session.total)} steps", "token", baselines)
    curve.write(session.run.curve, figure)
    row("saved", f"{store.shown(session.run.folder)}: checkpoint, tokenizer, {session.run.curve.name}")


def tell_chart(session: Session, unit: str) -> None:
    """The losses on the way, as a chart of characters."""
    history = session.history
    held_out = list(zip(history["steps"], history["val_losses"], strict=True))
    terminal.say()
    for line in chart(smoothed(history["losses"]), held_out, session.total, unit):
        terminal.say(line)
    terminal.say()
