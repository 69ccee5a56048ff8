"""`dojo train`: your own pieces learn a text."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from dojo.cli import Command, confirmed
from dojo.commands.numbers import Finite
from dojo.datasets import texts
from dojo.datasets.texts import Text
from dojo.exits import Exit
from dojo.system import devices, terminal
from dojo.train.ingredients import GPT2, MODELS, MODERN, katas
from dojo.train.settings import PRESETS, Settings
from dojo.train.teaching import LARGEST

SIZES = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers", "batch_size", "epochs")
ASK, OWN, BORROW = "ask", "own", "borrow"  # what to do about a learner's piece that would take very long
NOT_RESUMED = "--resume continues a run: of the options only --name, --device and a smaller --learning-rate fit it."
SAMPLES = 4  # in a run
SAMPLE_FROM = 500  # tokens of the held-out text in which their beginning is sought
LEAST_VOCABULARY = 258  # the single bytes, one pair, and the end of a text


@dataclass
class Plan:
    """What the leader of a team has settled for all: the run, where its katas come from, and what it is about."""

    name: str
    rooms: dict[str, str]
    about: dict[str, Any]
    fresh: bool  # whether the run begins here


def size(name: str, text: str) -> Callable[[Command], Command]:
    return click.option(f"--{name.replace('_', '-')}", type=click.IntRange(1), help=text)


@click.command()
@click.option("--text", "path", type=click.Path(path_type=Path), metavar="FILE", help="Any UTF-8 text to learn.")
@click.option("--story", is_flag=True, help="Learn data/story.txt, the text that everyone shares.")
@click.option("--quick", is_flag=True, help="The story with messages, and a small model, within a minute.")
@click.option(
    "--model",
    type=click.Choice(sorted(MODELS)),
    help="gpt2 (default), made of the katas of the GPT; or modern, made of the katas in modern/.",
)
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    help="Sizes by name; by default small, or the one of --quick or --story.",
)
@size("vocab_size", "Tokens in the vocabulary, if it is trained.")
@size("context_length", "Tokens that the model reads at once.")
@size("emb_dim", "Features of a token.")
@size("n_heads", "Attention heads in a block.")
@size("n_layers", "Blocks.")
@size("batch_size", "Windows in a step.")
@size("epochs", "Passes over the text.")
@click.option("--drop-rate", type=Finite(0, 1, max_open=True), help="Dropout of gpt2; below 1.")
@click.option("--learning-rate", type=Finite(0, min_open=True), help="The peak of the schedule.")
@click.option(
    "--seed", type=click.IntRange(0, LARGEST), help="For the weights, the order and the dropout; by default 123."
)
@click.option("--device", default="", help="cpu, cuda or mps; by default a GPU if there is one.")
@click.option("--name", default="", help="What to call the run; by default after its text.")
@click.option("--save-every", type=Finite(0), default=10.0, metavar="S", help="Seconds between saves; by default 10.")
@click.option("--resume", is_flag=True, help="Continue the last run, or that of --name.")
@click.option("--solutions", is_flag=True, help="The reference alone, without your files.")
@click.option(
    "--slow",
    type=click.Choice([ASK, OWN, BORROW]),
    default=ASK,
    help="What to do if a piece of yours would take very long: ask (default), use your own, or borrow the reference's.",
)
def command(
    path: Path | None,
    story: bool,
    quick: bool,
    preset: str | None,
    device: str,
    name: str,
    resume: bool,
    solutions: bool,
    slow: str,
    save_every: float,
    **changes: Any,
) -> int:
    """Train a GPT made of your own pieces on a text, and read what it writes.

    Katas of yours that are green are used; the reference stands in for the others, and you are told which. Without
    --text it learns the reference of the Python language, which comes with every Python: about three minutes on two
    cores. Ctrl-C stops and saves; `dojo train --resume` goes on, also after a crash.

    In several processes: torchrun --nproc-per-node 2 -m dojo.train, with the same options.
    """
    changes = {key: value for key, value in changes.items() if value is not None}
    if resume and (path or story or quick or preset or changes.keys() - {"learning_rate"}):
        raise click.UsageError(NOT_RESUMED)
    if bool(path) + story + quick > 1:
        raise click.UsageError("choose one text: --text, --story or --quick.")
    device = devices.chosen(device, ("cuda", "mps"))

    from dojo.train.parallel import assemble

    team = assemble(device)
    try:
        plan = None
        if team.leads:
            if resume:
                plan = plan_to_resume(name, solutions, device, team.size, changes.get("learning_rate"))
            else:
                settings = settings_of(
                    preset or ("quick" if quick else "story" if story else "small"), changes, team.size
                )
                refuse_the_impossible(settings, device)
                plan = plan_anew(the_text(path, story, quick), settings, name, solutions, device, slow)
        return train(team.share(plan), device, team, save_every)
    finally:
        team.leave()


def settings_of(preset: str, changes: dict[str, Any], processes: int) -> Settings:
    """The settings of a preset with some changed. Raises UsageError where they do not fit each other."""
    without = {"drop_rate": 0.0} if changes.get("model") == MODERN else {}
    settings = replace(PRESETS[preset], **without | changes)
    if why := settings.why_not:
        raise click.UsageError(f"{why}.")
    if settings.tokenizer != GPT2 and settings.vocab_size < LEAST_VOCABULARY:
        raise click.UsageError(
            f"a vocabulary has at least {LEAST_VOCABULARY} tokens: the single bytes, a pair, and the end of a text."
        )
    return shared(settings, processes)


def refuse_the_impossible(settings: Settings, device: str) -> None:
    """Refuse a model that no memory of this machine can hold. Raises UsageError."""
    import psutil

    there, needed = psutil.virtual_memory().total, settings.least_bytes(LEAST_VOCABULARY)
    if device == "cpu" and needed > there:
        raise click.UsageError(
            f"training a model of these sizes takes at least {terminal.number(needed / 1e9)} GB of memory, and this "
            f"machine has {terminal.number(there / 1e9)} GB: take a smaller --emb-dim or --n-layers."
        )


def shared(settings: Settings, processes: int) -> Settings:
    """The settings, if so many processes share a batch evenly. Raises UsageError where they do not."""
    windows = settings.batch_size
    if windows % processes:
        raise click.UsageError(f"a batch of {windows} windows is not shared evenly by {processes} processes.")
    return settings


def the_text(path: Path | None, story: bool, quick: bool) -> Text:
    """The text to learn. Raises ClickException where it cannot be read."""
    if story:
        return texts.story()
    if quick:
        return texts.quick()
    if path is None:
        return texts.language_reference()
    try:
        return texts.read(path)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def name_of(text: Text) -> str:
    """What a run is called after: a text's name, as a folder can be called."""
    known = {
        texts.story().name: "story",
        texts.quick().name: "quick",
        "the language reference that comes with Python": "reference",
    }
    return known.get(text.name) or re.sub(r"\W+", "-", Path(text.name).stem).strip("-").lower() or "text"


def plan_anew(text: Text, settings: Settings, name: str, solutions: bool, device: str, slow: str) -> Plan:
    """Settle the pieces, make the tokens, and open a folder for the run."""
    from dojo.train import opening, runs

    about_it = f"  {terminal.number(len(text.text))} characters, SHA-256 {text.sha256[:12]}..."
    terminal.say((terminal.harmless(text.name), "bold"), about_it)
    short = opening.runs_out(text, settings)
    chosen = opening.chosen_pieces(solutions, device, katas(settings.model), short=short)

    def borrows(told: str) -> bool:
        return confirmed(f"{told} Borrow it?", yes=False) if slow == ASK and terminal.interactive() else slow != OWN

    opening.replace_slow(chosen, text, settings, borrows)
    run = runs.new(name or name_of(text) + (f"-{MODERN}" if settings.model == MODERN else ""))
    try:
        vocab_size = opening.tokenize(run, text, settings)
    except BaseException:
        run.discard()
        raise
    about = {
        "kind": runs.TRAIN,
        "text": text.name,
        "sha256": text.sha256,
        "settings": settings.as_data(),
        "config": settings.config(vocab_size),
        "pieces": chosen.hashes(),
    }
    return Plan(run.name, chosen.rooms, about, fresh=True)


def plan_to_resume(name: str, solutions: bool, device: str, processes: int, rate: float | None) -> Plan:
    """What a run was begun with, and the pieces as they are now."""
    from dojo.train import opening, runs

    run = runs.latest(name)
    about = run.about()
    slower(run, about["settings"], rate)
    about.pop("diverged", None)
    shared(Settings.of_data(about["settings"]), processes)
    terminal.say((f"continuing {run.name}", "bold"), f"  {terminal.harmless(about['text'])}")
    chosen = opening.chosen_pieces(solutions, device, katas(run.model), resumed=True)
    opening.tell_changed(chosen, about["pieces"])
    return Plan(run.name, chosen.rooms, about, fresh=False)


def slower(run: Any, taught: dict[str, Any], rate: float | None) -> None:
    """Let a run continue at a smaller rate. Raises UsageError if it is not smaller, or missing after a divergence."""
    was = taught["learning_rate"]
    if rate is None and run.diverged:
        raise click.UsageError(f"{run.diverged}. Continue with a smaller one: {run.again} --learning-rate {was / 10:g}")
    if rate is not None and rate >= was:
        raise click.UsageError(f"--resume takes a smaller --learning-rate than the run's own, {was:g}.")
    taught["learning_rate"] = was if rate is None else rate


def train(plan: Plan, device: str, team: Any, save_every: float) -> int:
    """Train to the end, or to Ctrl-C, and show the result."""
    from dojo.train import narrating, opening, pace, pieces, runs, summary, tokens
    from dojo.train.loop import Loop
    from dojo.train.session import open_session
    from dojo.train.speaking import Speaker, first_words

    run, about = runs.Run(plan.name), plan.about
    with devices.enough_memory("smaller sizes, or a smaller --batch-size, take less"):
        try:
            pieces.Pieces(rooms=plan.rooms).serve()
            settings = Settings.of_data(about["settings"])
            session = open_session(run, settings, about["config"], device, team)
            speaker = Speaker(session.model, tokens.tokenizer_of(run, about["config"]["vocab_size"]), about["config"])
            if team.leads:
                opening.tell_model(session, opening.sizes(settings))
                with terminal.working("comparing with the reference ..."):
                    slow = pace.slow_pieces(run, settings, about["config"], plan.rooms)
                opening.tell_slow(slow)
                terminal.say()
                session.settle(about)
        except BaseException:
            if plan.fresh and team.leads:
                run.discard()
            raise
        if session.start < session.total:
            held_out = tokens.read(run, about["config"]["vocab_size"])[1]
            prompt = first_words(speaker.tokenizer.decode(held_out[:SAMPLE_FROM].tolist()))
            sample = partial(speaker.sample, prompt)
            if not Loop(session, narrating.narrator(team.leads), save_every, sample, SAMPLES).run():
                return Exit.STOPPED
        if team.leads:
            summary.tell(session, about)
            terminal.say("next: ", ('dojo generate "The"', "bold cyan"), "  and  ", ('dojo look "The"', "bold cyan"))
    return Exit.DONE
