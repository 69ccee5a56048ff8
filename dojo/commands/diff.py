"""`dojo diff`: the learner's code against the reference, or against somebody else's."""

import difflib
from pathlib import Path

import click

from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.cli import KataName, confirmed
from dojo.commands.test import say
from dojo.exits import Exit
from dojo.learner.standing import is_done, unfinished
from dojo.system import terminal
from dojo.system.files import read_regular
from dojo.verdict import beside, render
from dojo.verdict.command import OFFER, Request
from dojo.verdict.run import run

STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


@click.command()
@click.argument("kata", type=KataName())
@click.option(
    "--with",
    "other",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE-OR-FOLDER",
    help="Somebody else's file of this kata, or their clone. It is executed.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(kata: Kata, other: Path | None, yes: bool) -> int | None:
    """Compare your code with the reference. It gives the answer away, so it asks first while the kata is not green.

    Lines with - are yours, lines with + the reference's. With --with, yours and somebody else's stand side by side,
    with both verdicts, clause by clause.
    """
    if other is not None:
        return review(kata, file_in(other, kata), yes)
    yours, theirs = f"katas/{kata.address}.py", f"solutions/{kata.address}.py"
    name = curriculum.short(kata)
    if not is_done(kata) and not confirmed(f"{name} is not green. Show the reference anyway?", yes):
        terminal.say(("next: ", "bold"), (f"dojo hint {name}", "bold cyan"))
        return Exit.NOT_YET
    own, reference = text_of(kata.stub, yours).splitlines(), text_of(kata.solution, theirs).splitlines()
    different = False
    for line in difflib.unified_diff(own, reference, yours, theirs, lineterm=""):
        different = True
        style = next((style for start, style in STYLES.items() if line.startswith(start)), "")
        terminal.say((line, style))
    if not different:
        terminal.say(f"{yours} is the reference, line by line.")
    return None


def review(kata: Kata, file: Path, yes: bool) -> int | None:
    """Yours and another's: both verdicts, and both texts."""
    shown = terminal.harmless(str(file))
    terminal.say((f"This executes {shown} on your machine, with your rights.", "bold magenta"))
    for line in terminal.prose("dojo is not a sandbox: docs/groups/other-peoples-code.md says how to run it in one."):
        terminal.say(line)
    own, other = text_of(kata.stub, f"katas/{kata.address}.py"), text_of(file, shown)
    asked = "Run it?" if is_done(kata) else f"{curriculum.short(kata)} is not green. Run it, and show their code?"
    if not confirmed(asked, yes):
        terminal.say("nothing was run.")
        return Exit.NOT_YET
    borrowed, width = unfinished(kata), terminal.columns() - 1
    with terminal.working("testing both ..."):
        yours = run(Request(kata, borrowed, tiers=OFFER))
        theirs = run(Request(kata, borrowed, tiers=OFFER, instead=file))
    terminal.say()
    say(beside.verdicts(yours, theirs, min(width, render.WIDEST)))
    terminal.say()
    say(beside.code(own, other, width))
    return None


def file_in(given: Path, kata: Kata) -> Path:
    """The file of a kata in another clone, in a folder of katas, or the file itself."""
    if given.is_file():
        return given.absolute()
    places = [f"katas/{kata.address}.py", f"{kata.address}.py", f"{kata.name}.py"]
    found = next((given / place for place in places if (given / place).is_file()), None)
    if found is None:
        raise click.UsageError(f"{terminal.harmless(str(given))} has none of {', '.join(places)}.")
    return found.absolute()


def text_of(path: Path, shown: str) -> str:
    """A source that somebody else may have written. It is shown, and read the way a run reads it."""
    try:
        return read_regular(path).decode("utf-8", errors="replace")
    except OSError as error:
        raise click.ClickException(f"{shown} cannot be read: {error.strerror or error}") from None
