"""`dojo test`: the verdict on one kata, told so that the next step is clear."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import click

from dojo import ROOT
from dojo.catalog.curriculum import Kata
from dojo.catalog.specification import clauses
from dojo.cli import json_option, kata_argument
from dojo.commands.verdict import tell
from dojo.exits import Exit
from dojo.learner import store
from dojo.learner.standing import GREEN, RED, unfinished
from dojo.system import terminal
from dojo.verdict import running
from dojo.verdict.running import Limits, Verdict


@click.command(short_help="Test a kata and tell the verdict.")
@kata_argument()
@click.option("--pdb", is_flag=True, help="Debug: pytest's own --pdb, at the first failure, without limits.")
@click.option("--verbose", "-v", is_flag=True, help="Tell every failure, and show all that pytest says.")
@click.option("--borrow/--no-borrow", default=True, help="Whether unfinished prerequisites come from the reference.")
@click.option("--solutions", is_flag=True, help="Test the reference and not your file; nothing is remembered.")
@click.option("--time-limit", type=click.FloatRange(1), default=120, metavar="S", help="Seconds for the run; 120.")
@click.option("--memory-limit", type=click.IntRange(64), default=4096, metavar="MB", help="All its processes; 4096.")
@json_option()
def command(
    kata: Kata,
    pdb: bool,
    verbose: bool,
    borrow: bool,
    solutions: bool,
    time_limit: float,
    memory_limit: int,
    as_json: bool,
) -> int:
    """Test a kata and tell the verdict.

    Prerequisites that are not done are borrowed from the reference. The exit code is 0 for green, 1 for red and 3 where
    there is no verdict.
    """
    borrowed = unfinished(kata) if borrow and not solutions else ()
    if pdb:
        if as_json:
            raise click.UsageError("--pdb is for people and --json for scripts: choose one.")
        return debug(kata, borrowed, solutions)
    limits = Limits(time_limit, memory_limit)
    with spinner(as_json) as seen:
        verdict = running.run(kata, borrowed, solutions=solutions, verbose=verbose, limits=limits, seen=seen)
    unsaved = "" if solutions else remember(verdict)
    if as_json:
        terminal.say_json(as_data(verdict, unsaved))
    else:
        tell(verdict, verbose, solutions)
        if unsaved:
            terminal.say((f"not remembered: {unsaved}", "yellow"), to_stderr=True)
    return {GREEN: Exit.DONE, RED: Exit.NOT_YET}.get(verdict.outcome, Exit.NO_VERDICT)


def debug(kata: Kata, borrowed: tuple[str, ...], solutions: bool) -> int:
    """Hand the terminal to pytest and its debugger. Returns pytest's exit code."""
    words = running.command(kata, borrowed, solutions, "--pdb", "-x")
    return Exit.NOT_YET if subprocess.call(words, cwd=ROOT, env=running.environment()) else Exit.DONE


def remember(verdict: Verdict) -> str:
    """Keep the verdict; what stands in the way of it, in words."""
    try:
        store.write(verdict.kata.address, "verdict", verdict.as_progress())
    except store.CannotSave as error:
        return str(error)
    return ""


@contextlib.contextmanager
def spinner(silent: bool) -> Iterator[Callable[[int, int], None]]:
    """Tests done of expected, while the run goes on and somebody looks."""
    if silent or not terminal.interactive():
        yield lambda done, of: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting ...", spinner="line") as status:
        yield lambda done, of: status.update(f"{done} of {of} tests" if done else "starting ...")


def as_data(verdict: Verdict, unsaved: str) -> dict[str, Any]:
    """The verdict for scripts."""
    data: dict[str, Any] = {
        "kata": verdict.kata.address,
        "outcome": verdict.outcome,
        "why": verdict.why,
        "clauses": verdict.clauses,
        "sentences": clauses(verdict.kata.address),
        "tests": verdict.records,
        "borrowed": list(verdict.borrowed),
        "seconds": round(verdict.seconds, 3),
    }
    return data | ({"not_remembered": unsaved} if unsaved else {})
