"""`dojo finetune`: a model that you have trained learns to tell wanted messages from unwanted ones."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dojo import ROOT
from dojo.cli import Command, all_of
from dojo.commands.numbers import Finite
from dojo.commands.train import NOT_RESUMED, slower
from dojo.datasets.messages import Message, read_messages, split
from dojo.exits import Exit
from dojo.finetune.recipe import CLASSIFY, DEFAULTS, LAST, LORA, Recipe, check
from dojo.learner import store
from dojo.system import devices, terminal
from dojo.train.teaching import LARGEST

MESSAGES = ROOT / "data" / "messages.tsv"
Parts = tuple[list[Message], list[Message], list[Message]]  # to learn from, to watch, and held out


@click.group()
def command() -> None:
    """Let a model that you have trained learn to tell wanted messages from unwanted ones, on data/messages.tsv.

    classify trains the model with a new head; lora leaves every weight as it is and trains small updates beside
    them. `dojo classify "text"` tries the result.
    """


def common() -> Callable[[Command], Command]:
    """The options of every fine-tuning."""
    return all_of(
        click.option(
            "--run", "base", default="", metavar="NAME", help="The run to begin with; by default the last one."
        ),
        click.option("--data", type=click.Path(path_type=Path), metavar="FILE", help="Messages; data/messages.tsv."),
        click.option("--epochs", type=click.IntRange(1), help="Passes over the messages."),
        click.option("--batch-size", type=click.IntRange(1), help="Messages in a step; by default 16."),
        click.option("--learning-rate", type=Finite(0, min_open=True), help="The peak of the schedule."),
        click.option(
            "--seed",
            type=click.IntRange(0, LARGEST),
            help="For the new weights, the order and the dropout; by default 123.",
        ),
        click.option("--device", default="", help="cpu, cuda or mps; by default a GPU if there is one."),
        click.option("--name", default="", help="What to call the result; by default classify or lora."),
        click.option("--save-every", type=Finite(0), default=10.0, metavar="S", help="Seconds between saves."),
        click.option("--resume", is_flag=True, help="Continue the last run, or that of --name."),
        click.option("--solutions", is_flag=True, help="The reference alone, without your files."),
    )


@command.command(CLASSIFY)
@common()
@click.option("--trainable-blocks", type=click.IntRange(0), help="Train only this many of the last blocks.")
def classify(**options: Any) -> int:
    """Train the model with a new head; with --trainable-blocks the head, the last norm and the last blocks alone."""
    if options["trainable_blocks"] is not None:
        options["learns"] = LAST
    return finetune(CLASSIFY, **options)


@command.command(LORA)
@common()
@click.option("--rank", type=click.IntRange(1), help="The rank of the updates; by default 8.")
@click.option(
    "--alpha", type=Finite(0, min_open=True), help="The updates are multiplied by alpha / rank; by default 16."
)
def lora(**options: Any) -> int:
    """Train a new head, and low-rank updates of the queries and the values, beside weights that stay as they are."""
    return finetune(LORA, **options)


def finetune(
    kind: str,
    base: str,
    data: Path | None,
    device: str,
    name: str,
    save_every: float,
    resume: bool,
    solutions: bool,
    **changes: Any,
) -> int:
    """Fine-tune from a trained model to the end, or to Ctrl-C, and show the result."""
    changes = {key: value for key, value in changes.items() if value is not None}
    if resume and (base or data or changes.keys() - {"learning_rate"}):
        raise click.UsageError(NOT_RESUMED)
    device = devices.chosen(device, ("cuda", "mps"))

    from dojo.finetune.classifier import katas
    from dojo.train import opening, runs

    begun = runs.latest(name, (kind,), f"dojo finetune {kind}") if resume else None
    about = begun.about(check) if begun else anew(kind, runs.latest(base), data or MESSAGES, changes)
    if begun:
        slower(begun, about["recipe"], changes.get("learning_rate"))
        about.pop("diverged", None)
    parts = messages_of(about)
    from_run = runs.latest(about["base"])
    data_name, known_as = terminal.harmless(about["data"]), about["sha256"][:12]
    terminal.say((from_run.name, "bold"), f"  learns {data_name}, SHA-256 {known_as}...")
    if from_run.diverged:
        terminal.say((f"{from_run.diverged}; this begins with its last save.", "magenta"))
    chosen = opening.chosen_pieces(solutions, device, katas(from_run, kind), resume)
    opening.tell_changed(chosen, about.setdefault("pieces", chosen.hashes()))
    with devices.enough_memory("a smaller --batch-size takes less"):
        session, made = prepared(begun, name or kind, from_run, about, parts, device)
        terminal.say()
        return train(session, made, about, parts, save_every)


def prepared(begun: Any, name: str, from_run: Any, about: dict[str, Any], parts: Parts, device: str) -> tuple[Any, Any]:
    """The session and the classifier of a fine-tuning, in a run that is there, or in a new one."""
    from dojo.finetune.classifier import classifier, open_session
    from dojo.train import opening, runs

    learned, watched, held_out = parts
    recipe = Recipe.of_data(about["recipe"])
    try:
        made = classifier(from_run, recipe, device)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    lengths = [len(made.tokenizer.encode(message.text)) for part in parts for message in part]
    made.max_length = about["max_length"] = min(max(lengths), made.max_length)
    if cut := sum(length > made.max_length for length in lengths):
        terminal.say(
            (f"{cut} of {len(lengths)} messages are longer than {made.max_length} tokens, and cut.", "magenta")
        )
    run = begun or runs.new(name)
    try:
        session = open_session(run, made, recipe, learned, watched)
        opening.row("messages", f"{len(learned)} to learn from, {len(watched)} to watch, {len(held_out)} held out")
        opening.tell_model(session, share_of(made.model))
        session.settle(about)
    except BaseException as error:
        if not begun:
            run.discard()
        if isinstance(error, ValueError):
            raise click.ClickException(f"{store.shown(run.folder)}: {error}") from None
        raise
    return session, made


def train(session: Any, made: Any, about: dict[str, Any], parts: Parts, save_every: float) -> int:
    """Train to the end, or to Ctrl-C, and show the result."""
    from dojo.finetune import evaluation
    from dojo.train import narrating
    from dojo.train.loop import Loop

    learned, watched, held_out = parts
    items = made.dataset(watched)
    if session.start < session.total:

        def remark() -> str:
            return f"{made.accuracy(items):.1%} of those watched are right"

        if not Loop(session, narrating.narrator(leads=True), save_every, remark).run():
            return Exit.STOPPED
    evaluation.tell(session, made, about, learned, watched, held_out)
    terminal.say("next: ", ('dojo classify "WIN a free prize now!!!"', "bold cyan"))
    return Exit.DONE


def anew(kind: str, base: Any, data: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """What a new fine-tuning is about."""
    recipe = replace(DEFAULTS[kind], **changes)
    return {
        "kind": kind,
        "base": base.name,
        "data": store.shown(data.resolve()),
        "path": str(data.resolve()),
        "sha256": sha256(data),
        "recipe": recipe.as_data(),
    }


def messages_of(about: dict[str, Any]) -> Parts:
    """The messages, split. Raises ClickException where they cannot be read, or are others than they were."""
    path = Path(about["path"])
    if sha256(path) != about["sha256"]:
        raise click.ClickException(f"{path} has changed since this run was begun.")
    try:
        return split(read_messages(path))
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror or error}") from None


def share_of(model: Any) -> str:
    """How much of a model learns."""
    numbers = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    learned = sum(number for number, learns in numbers if learns)
    return f"{terminal.number(learned)} of them learn, {learned / sum(number for number, _ in numbers):.1%}"
