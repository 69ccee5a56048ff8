"""`dojo hunt`: one edit is hidden in a copy of the learner's own green code; find it by reading and testing."""

import time

import click

from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.cli import KataName
from dojo.commands.test import say
from dojo.exits import Exit
from dojo.hunt import hiding
from dojo.hunt.hiding import Hunt
from dojo.learner.standing import GREEN, NONE
from dojo.learner.store import shown
from dojo.system import terminal
from dojo.verdict import memory, render


@click.command()
@click.argument("kata", type=KataName(), required=False)
@click.option("--hint", is_flag=True, help="Show the next of three hints.")
@click.option("--give-up", is_flag=True, help="Show the edit, and end the hunt.")
@click.option("--seed", type=int, metavar="N", help="Hide the same edit each time, for a group that hunts together.")
def command(kata: Kata | None, hint: bool, give_up: bool, seed: int | None) -> int | None:
    """Hide one edit in a copy of your own green code, and find it again.

    The first call makes the copy. You fix the copy, and each call after that tests it, until its core is green. KATA
    may be left out while one hunt goes on. Your own file, your progress and your verdicts stay as they are.
    """
    if hint and give_up:
        raise click.UsageError("--hint and --give-up cannot be used together.")
    hunt = hiding.current(kata) if kata else only_one()
    if hunt is None:
        if hint or give_up:
            raise click.UsageError("there is no hunt in progress: `dojo hunt KATA` begins one.")
        assert kata is not None
        begin(kata, seed)
        return None
    if hint:
        rung, text = hiding.hint(hunt)
        terminal.say((f"hint {rung} of {len(hunt.hints)}  ", "dim"), text)
        return None
    if give_up:
        hiding.end(hunt)
        tell_edit(hunt)
        return None
    return examine(hunt)


def only_one() -> Hunt:
    """The hunt in progress, if there is exactly one."""
    found = hiding.going_on()
    if len(found) != 1:
        which = ", ".join(curriculum.short(hunt.kata) for hunt in found) or "none goes on"
        raise click.UsageError(f"in which kata? `dojo hunt KATA` hides an edit in one that is green ({which}).")
    return found[0]


def begin(kata: Kata, seed: int | None) -> None:
    """Make the copy, and say what to do."""
    with terminal.working("looking for an edit that a clause of the core notices ..."):
        hunt = hiding.begin(kata, seed)
    name = curriculum.short(kata)
    terminal.say(f"One edit is hidden in a copy of katas/{kata.address}.py, and the core of the copy is red:")
    terminal.say(f"  {shown(hunt.file)}")
    terminal.say("Find it there and fix it. Your own file is not touched.")
    terminal.say()
    terminal.say(("test the copy: ", "bold"), (f"dojo hunt {name}", "bold cyan"))
    terminal.say(("three hints: ", "bold"), (f"dojo hunt {name} --hint", "bold cyan"))


def examine(hunt: Hunt) -> int:
    """Test the copy, and say whether the edit is found."""
    kata, name = hunt.kata, curriculum.short(hunt.kata)
    with terminal.working("testing your copy ..."):
        verdict = hiding.test(hunt)
    width = min(terminal.columns() - 1, render.WIDEST)
    say(render.heading(kata, width, shown(hunt.file)))
    say(render.marks(verdict.core, width))
    if verdict.outcome == GREEN:
        hiding.end(hunt)
        terminal.say()
        terminal.say(("found. ", "bold green"), f"It took {memory.in_words(time.time() - hunt.begun)}.")
        tell_edit(hunt)
        return Exit.DONE
    say([[line] for line in ["", *verdict.why]] if verdict.why else [])
    say(render.failures(verdict, width, verbose=False))
    terminal.say()
    more = "--hint" if hunt.rung < len(hunt.hints) else "--give-up"
    terminal.say(("not found yet.   ", "bold red"), ("next: ", "bold"), (f"dojo hunt {name} {more}", "bold cyan"))
    return Exit.NO_VERDICT if verdict.outcome == NONE else Exit.NOT_YET


def tell_edit(hunt: Hunt) -> None:
    """What was done to the copy."""
    terminal.say(f"The edit was in line {hunt.line}{f', in {hunt.function}' if hunt.function else ''}:")
    terminal.say((f"  yours  {hunt.before}", "green"))
    terminal.say((f"  copy   {hunt.after}", "red"))
