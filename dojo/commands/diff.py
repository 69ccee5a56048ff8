"""`dojo diff`: the learner's code against the reference."""

import difflib
from pathlib import Path

import click

from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.cli import KataName, confirmed
from dojo.exits import Exit
from dojo.learner.standing import is_done
from dojo.system import terminal
from dojo.system.files import read_regular

STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


@click.command()
@click.argument("kata", type=KataName())
@click.option("--yes", "-y", is_flag=True, help="Do not ask, though the kata is not green.")
def command(kata: Kata, yes: bool) -> int | None:
    """Compare your code with the reference. It gives the answer away, so it asks first while the kata is not green.

    Lines with - are yours, lines with + the reference's.
    """
    yours, theirs = f"katas/{kata.address}.py", f"solutions/{kata.address}.py"
    name = curriculum.short(kata)
    if not is_done(kata) and not confirmed(f"{name} is not green. Show the reference all the same?", yes):
        terminal.say(("next: ", "bold"), (f"dojo hint {name}", "bold cyan"))
        return Exit.NOT_YET
    own, reference = lines_of(kata.stub, yours), lines_of(kata.solution, theirs)
    different = False
    for line in difflib.unified_diff(own, reference, yours, theirs, lineterm=""):
        different = True
        style = next((style for start, style in STYLES.items() if line.startswith(start)), "")
        terminal.say((line, style))
    if not different:
        terminal.say(f"{yours} is the reference, line by line.")
    return None


def lines_of(path: Path, shown: str) -> list[str]:
    try:
        return read_regular(path).decode("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise click.ClickException(f"{shown} cannot be read: {error.strerror or error}") from None
