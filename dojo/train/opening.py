"""What happens before the first step: pieces, tokenizer, tokens, sizes and an estimate, each told."""

import shutil
from collections.abc import Callable, Iterable, Mapping

from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.datasets.texts import Text
from dojo.errors import DojoError
from dojo.system import terminal
from dojo.system.terminal import number
from dojo.train import pieces, slowness, tokens
from dojo.train.ingredients import needed
from dojo.train.pieces import Pieces
from dojo.train.runs import Run
from dojo.train.session import Session, seconds_per_step
from dojo.train.settings import BPE, Settings

TRAINING, ENCODING = "text/bpe_training", "text/bpe_tokenizer"
LABEL = 12  # columns
COPIES = 2 * 3  # of each parameter in two checkpoints, the old one and the one that takes its place


def chosen_pieces(
    solutions: bool, device: str, katas: Iterable[str], resumed: bool = False, short: bool = False
) -> Pieces:
    """The pieces of a run, told and served. `short`: its text may have fewer pairs to merge than are asked for."""
    if solutions:
        chosen = pieces.reference(katas)
    else:
        chosen = pieces.own_where_green(katas, _say_testing, needed(device, resumed, short=short))
        tell(chosen)
    chosen.serve()
    return chosen


def runs_out(text: Text, settings: Settings) -> bool:
    """Whether a text may have fewer pairs to merge than a run asks for."""
    return slowness.runs_out(text.text, settings.vocab_size if settings.tokenizer == BPE else 0)


def _say_testing(kata: Kata) -> None:
    terminal.say((f"testing {kata.address} ...", "dim"))


def tell(chosen: Pieces) -> None:
    """Which pieces are the learner's own, which are borrowed, and which are not right."""
    rows = [("your own", "green", names(chosen.own)), ("borrowed from the reference", "", names(chosen.borrowed))]
    for title, style, listed in rows:
        if listed:
            terminal.say((title, f"bold {style}".strip()))
            for line in terminal.wrapped(listed, min(terminal.columns() - 1, 100), "  ", "  "):
                terminal.say(line)
    for kata, why in chosen.wrong.items():
        name = curriculum.short(kata)
        terminal.say((f"yours is not right: {name}", "bold red"), f", {why}; the reference stands in for it.")
        terminal.say("  next: ", (f"dojo test {name}", "bold cyan"))
    tell_lacking(chosen)


def tell_lacking(chosen: Pieces, to_stderr: bool = False) -> None:
    """Which green ones the reference stands in for, because what is asked for needs further clauses of them."""
    for kata, slugs in chosen.lacking.items():
        name, clauses = curriculum.short(kata), " and ".join(slugs)
        terminal.say(
            (f"yours is green: {name}", "bold"),
            f", but this run needs {clauses} of its further clauses, so the reference stands in for it.",
            to_stderr=to_stderr,
        )
        terminal.say("  next: ", (f"dojo test {name} --further", "bold cyan"), to_stderr=to_stderr)


def tell_changed(chosen: Pieces, begun_with: dict[str, str]) -> None:
    """Which of the pieces that a run was begun with are others now."""
    hashes = chosen.hashes()
    if changed := [address for address, was in begun_with.items() if hashes.get(address) != was]:
        told = f"changed since the run began: {', '.join(changed)}. Its result may be another than without the change."
        terminal.say((told, "magenta"))


def names(katas: Iterable[Kata]) -> str:
    return ", ".join(curriculum.short(kata) for kata in katas)


def replace_slow(chosen: Pieces, text: Text, settings: Settings, borrows: Callable[[str], bool]) -> None:
    """Borrow the reference's piece in place of a slow one, if `borrows` agrees when it is told how long that takes."""
    for kata, seconds in estimates(chosen, text, settings).items():
        if seconds <= slowness.LIMIT:
            continue
        taken = slowness.in_words(seconds)
        told = f"your {curriculum.short(kata)} would take about {taken} for this text, the reference some seconds."
        if borrows(told):
            terminal.say((f"{told} It is borrowed.", "magenta"))
            chosen.borrow(kata)
            chosen.serve()


def estimates(chosen: Pieces, text: Text, settings: Settings) -> dict[Kata, float]:
    """The seconds that the learner's own pieces of the tokenizer would take for a text."""
    own = {kata.address: kata for kata in chosen.own}
    train_bpe = pieces.module(TRAINING).train_bpe
    found = {}
    if TRAINING in own and settings.tokenizer == BPE:
        found[own[TRAINING]] = slowness.of_train_bpe(train_bpe, text.text, settings.vocab_size)
    if ENCODING in own:
        trained = train_bpe(text.text[: slowness.LARGE], 256 + slowness.MANY)
        tokenizer = pieces.module(ENCODING).BPETokenizer(*trained)
        found[own[ENCODING]] = slowness.of_encoding(tokenizer.encode, text.text)
    return found


def tokenize(run: Run, text: Text, settings: Settings) -> int:
    """Make the tokenizer and the files of tokens. Returns the size of the vocabulary."""
    with terminal.working("training the tokenizer ..."):
        made_of = tokens.vocabulary_for(text, settings)
    with terminal.working("encoding the text ..."):
        tokens.write(run, text, made_of, settings)
    size = len(made_of.vocab)
    learned, held_out = tokens.read(run, size)
    known = len(learned) + len(held_out)
    row("vocabulary", f"{number(size)} tokens; one is {len(text.text.encode()) / known:.1f} bytes of the text")
    row("tokens", f"{number(len(learned))} to learn from, {number(len(held_out))} held out")
    return size


def sizes(settings: Settings) -> str:
    """The sizes of a model in words."""
    return (
        f"{settings.n_layers} blocks, {settings.n_heads} heads, {settings.emb_dim} wide, "
        f"{settings.context_length} tokens at once"
    )


def tell_model(session: Session, about: str) -> None:
    """The model, and how long its training will take here. Raises DojoError where the disk is too full."""
    count = sum(parameter.numel() for parameter in session.model.parameters())
    free = shutil.disk_usage(session.run.folder).free
    if free < (needed := COPIES * 4 * count):
        raise DojoError(
            f"the disk has {number(free / 1e6)} MB free, and the checkpoints of this run take "
            f"{number(needed / 1e6)} MB."
        )
    row("model", f"{number(count)} parameters: {about}")
    if session.unfused == "":
        row("attention", "PyTorch's fused kernel, for speed; it was checked that it gives the same as the model's own")
    elif session.unfused:
        row("attention", f"the model's own, and not PyTorch's fused kernel: {session.unfused}")
    if session.lost:
        row("", session.lost)
    with terminal.working("timing a step ..."):
        seconds = seconds_per_step(session) * (session.total - session.start)
    team = f", {session.team.size} processes" if session.team.size > 1 else ""
    begun = f" from step {number(session.start)}" if session.start else ""
    row(
        "training",
        f"{number(session.total)} steps of {number(session.tokens_in_a_step)} tokens on {session.device.type}{team}"
        f"{begun}: about {slowness.in_words(1.15 * seconds)}",
    )


def tell_slow(slow: Mapping[Kata, float]) -> None:
    """The learner's pieces that make a step long."""
    for kata, times in slow.items():
        told = f"with your {curriculum.short(kata)} a step takes {times:.1f} times as long as with the reference's"
        row("slow", f"{told}. `dojo train --solutions` trains with the reference.")


def row(label: str, text: str) -> None:
    first, *more = terminal.wrapped(text, min(terminal.columns() - 1, 100) - LABEL)
    terminal.say((f"{label:{LABEL}}", "bold"), first)
    for line in more:
        terminal.say(" " * LABEL, line)
