"""`dojo generate`: a model that you have trained continues a text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dojo.catalog import curriculum
from dojo.cli import Command, all_of
from dojo.commands.numbers import Finite
from dojo.system import devices, terminal


def model_options() -> Callable[[Command], Command]:
    """Which model: that of a run, or GPT-2 from a file."""
    return all_of(
        click.option("--run", "run", default="", metavar="NAME", help="A run's name; by default the last run."),
        click.option(
            "--weights",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="GPT-2's weights, a safetensors file in Hugging Face's layout, instead of a run.",
        ),
        click.option("--device", default="", help="cpu, cuda or mps; by default a GPU if there is one."),
        click.option("--solutions", is_flag=True, help="The reference alone, without your files."),
    )


def opened(run: str, weights: Path | None, device: str, solutions: bool, speaks: bool = False) -> tuple[Any, str]:
    """The model that the options name, made of the learner's own pieces where they are green, and what it is called.

    Where it `speaks`, and cannot do so with the learner's cache, that is told.
    """
    if run and weights:
        raise click.UsageError("choose one model: --run or --weights.")
    device = devices.chosen(device, ("cuda", "mps"))

    from dojo.train import opening, pieces, runs, saved
    from dojo.train.ingredients import GPT2, MODERN, needed
    from dojo.train.speaking import CACHE

    found = None if weights else runs.latest(run)
    katas = saved.katas(found.model) if found else (*saved.katas(GPT2), saved.WEIGHTS)
    further = needed(device, weights=weights is not None)
    chosen = pieces.reference(katas) if solutions else pieces.own_where_green(katas, testing, further)
    chosen.serve()
    for kata, why in chosen.wrong.items():
        terminal.say((f"yours is not right: {curriculum.short(kata)}, {why}", "yellow"), to_stderr=True)
    opening.tell_lacking(chosen, to_stderr=True)
    own = (
        f"{len(chosen.own)} of its {len(katas)} pieces are your own" if chosen.own else "its pieces are the reference's"
    )
    terminal.say((f"{found.name if found else weights}; {own}", "dim"), to_stderr=True)
    if found and found.diverged:
        terminal.say((f"{found.diverged}; this is its last save.", "yellow"), to_stderr=True)
    if weights:
        return saved.of_gpt2(weights, device), str(weights)
    assert found is not None
    cached = found.model == MODERN and (solutions or any(kata.address == CACHE for kata in chosen.own))
    if speaks and found.model == MODERN and not cached:
        told = "your kv_cache is not green, so the model reads the whole text again for each token"
        terminal.say((told, "dim"), to_stderr=True)
    return saved.of_run(found, device, cached), found.name


def testing(kata: curriculum.Kata) -> None:
    terminal.say((f"testing {kata.address} ...", "dim"), to_stderr=True)


@click.command()
@click.argument("prompt", default="")
@click.option(
    "--temperature", type=Finite(0), default=0.8, help="Temperature; 0 takes the likeliest token; by default 0.8."
)
@click.option("--top-k", type=click.IntRange(1), help="Choose among this many of the likeliest tokens.")
@click.option("--top-p", type=Finite(0, 1, min_open=True), help="Choose among the likeliest tokens that sum to this.")
@click.option("--max-tokens", type=click.IntRange(1), default=200, help="How many tokens at most; by default 200.")
@click.option("--seed", type=int, help="The same seed gives the same text.")
@model_options()
def command(
    prompt: str,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    max_tokens: int,
    seed: int | None,
    run: str,
    weights: Path | None,
    device: str,
    solutions: bool,
) -> None:
    """Let a model continue PROMPT, token by token.

    The model is that of the last `dojo train`, of another run, or GPT-2.
    """
    speaker, _ = opened(run, weights, device, solutions, speaks=True)
    if prompt.endswith(" ") and prompt.strip():
        told = "the space at the end belongs to the next word: the model reads the prompt without it"
        terminal.say((told, "dim"), to_stderr=True)
    try:
        terminal.say((prompt, "bold"), end="")
        for part in speaker.speak(prompt, max_tokens, temperature, top_k, top_p, seed):
            terminal.say(terminal.harmless(part), end="")
        terminal.say()
    except ValueError as error:
        raise click.ClickException(str(error)) from None
