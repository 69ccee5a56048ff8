"""`dojo look`: what a trained model does with a text, as a page for a browser."""

import webbrowser
from pathlib import Path

import click

from dojo.commands.generate import model_options, opened
from dojo.learner import store
from dojo.system import terminal


@click.command()
@click.argument("prompt")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to; .dojo/look.html.")
@click.option("--open", "open_it", is_flag=True, help="Open the page in a browser.")
@model_options()
def command(
    prompt: str, out: Path | None, open_it: bool, run: str, weights: Path | None, device: str, solutions: bool
) -> None:
    """Draw what a model does with PROMPT, as one page of HTML that needs no network.

    It shows the likeliest next tokens, what each block would say if the model ended there, where every attention head
    looks, and what changes when a head is switched off.
    """
    speaker, name = opened(run, weights, device, solutions)

    from dojo.look.page import page
    from dojo.look.seeing import LONGEST, see

    try:
        seen = see(speaker, prompt)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    path = out or store.FOLDER / "look.html"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(seen, name), encoding="utf-8", newline="\n")
    except OSError as error:
        raise store.unwritten(path, error) from None
    if len(seen.tokens) == LONGEST:
        terminal.say((f"only the last {LONGEST} tokens are looked at.", "magenta"))
    for token, likely in list(zip(seen.guess.tokens, seen.guess.probabilities, strict=True))[:5]:
        terminal.say(f"{100 * likely:5.1f}%  ", (repr(token), "bold"))
    terminal.say("written: ", (store.shown(path), "bold cyan"))
    if open_it and not webbrowser.open(path.resolve().as_uri()):
        terminal.say("no browser was found: open the file in one.")
