"""`dojo generate`: a model that you have trained continues a text."""

from collections.abc import Callable, Mapping, Sequence
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
            metavar="PATH",
            help="A published model instead of a run: the folder of a Llama, Qwen3 or Mixtral, or GPT-2's "
            "safetensors file.",
        ),
        click.option("--device", default="", help="cpu, cuda or mps; by default a GPU if there is one."),
        click.option("--solutions", is_flag=True, help="The reference alone, without your files."),
    )


def opened(
    run: str, weights: Path | None, device: str, solutions: bool, speaks: bool = False, raw: bool = True
) -> tuple[Any, str]:
    """The model that the options name, made of the learner's own pieces where they are green, and what it is called.

    Where it `speaks`, and cannot do so with the learner's cache, that is told. `raw`: not in a chat form.
    """
    if run and weights:
        raise click.UsageError("choose one model: --run or --weights.")
    device = devices.chosen(device, ("cuda", "mps"))
    if weights and weights.is_dir():
        return _published(weights, device, solutions, speaks, raw), str(weights)

    from dojo.train import runs, saved
    from dojo.train.ingredients import GPT2, MODERN, needed

    found = None if weights else runs.latest(run)
    katas = saved.katas(found.model) if found else (*saved.katas(GPT2), saved.WEIGHTS)
    further = needed(device, weights=weights is not None)
    chosen = _chosen(katas, further, solutions, found.name if found else str(weights))
    if found and found.diverged:
        terminal.say((f"{found.diverged}; this is its last save.", "magenta"), to_stderr=True)
    if weights:
        return saved.of_gpt2(weights, device), str(weights)
    assert found is not None
    cached = found.model == MODERN and _cached(chosen, solutions, speaks)
    return saved.of_run(found, device, cached), found.name


def _published(folder: Path, device: str, solutions: bool, speaks: bool, raw: bool) -> Any:
    from dojo.published.model import Published

    published = Published(folder, device)
    chosen = _chosen(published.katas, published.needed, solutions, str(folder))
    cached = _cached(chosen, solutions, speaks)
    with terminal.working("loading the weights ..."), devices.enough_memory("a smaller one takes less"):
        speaker, told = published.speaker(cached, raw)
    for line in told:
        terminal.say((line, "dim"), to_stderr=True)
    return speaker


def _chosen(katas: tuple[str, ...], further: Mapping[str, Sequence[str]], solutions: bool, name: str) -> Any:
    """The pieces of a model, served, with what there is to say about them."""
    from dojo.train import opening, pieces

    chosen = pieces.reference(katas) if solutions else pieces.own_where_green(katas, testing, further)
    chosen.serve()
    for kata, why in chosen.wrong.items():
        terminal.say((f"yours is not right: {curriculum.short(kata)}, {why}", "magenta"), to_stderr=True)
    opening.tell_lacking(chosen, to_stderr=True)
    own = (
        f"{len(chosen.own)} of its {len(katas)} pieces are your own" if chosen.own else "its pieces are the reference's"
    )
    terminal.say((f"{name}; {own}", "dim"), to_stderr=True)
    return chosen


def _cached(chosen: Any, solutions: bool, speaks: bool) -> bool:
    """Whether a model speaks with a cache: with the learner's where that is green."""
    from dojo.train.speaking import CACHE

    cached = solutions or any(kata.address == CACHE for kata in chosen.own)
    if speaks and not cached:
        told = "your kv_cache is not green, so the model reads the whole text again for each token"
        terminal.say((told, "dim"), to_stderr=True)
    return cached


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
@click.option("--raw", is_flag=True, help="Let a published model continue PROMPT as it is, without its chat form.")
@model_options()
def command(
    prompt: str,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    max_tokens: int,
    seed: int | None,
    raw: bool,
    run: str,
    weights: Path | None,
    device: str,
    solutions: bool,
) -> None:
    """Let a model continue PROMPT, token by token.

    The model is that of the last `dojo train`, of another run, or a published one. A published model that was taught
    to chat gets PROMPT in its own chat form, and its answer is shown.
    """
    if raw and not (weights and weights.is_dir()):
        raise click.UsageError("--raw is for a published model: --weights FOLDER.")
    speaker, _ = opened(run, weights, device, solutions, speaks=True, raw=raw)
    answers = getattr(speaker, "form", None)
    if prompt.endswith(" ") and prompt.strip() and not answers:
        told = "the space at the end belongs to the next word: the model reads the prompt without it"
        terminal.say((told, "dim"), to_stderr=True)
    try:
        terminal.say((prompt, "bold"), end="\n" if answers else "")
        for part in speaker.speak(prompt, max_tokens, temperature, top_k, top_p, seed):
            terminal.say(terminal.harmless(part), end="")
        terminal.say()
    except ValueError as error:
        raise click.ClickException(str(error)) from None
