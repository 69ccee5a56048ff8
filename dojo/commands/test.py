"""`dojo test`: the verdict on one kata, and what to do next."""

import contextlib
import subprocess
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from dojo import ROOT
from dojo.catalog.curriculum import Kata, short
from dojo.catalog.specification import clauses, core_clauses
from dojo.cli import json_option, kata_argument
from dojo.commands.numbers import Finite
from dojo.exits import Exit
from dojo.learner import store
from dojo.learner.standing import GREEN, NOT_STARTED, RED, UNTESTED, standing, unfinished
from dojo.system import terminal
from dojo.verdict import command as commands
from dojo.verdict import memory, render
from dojo.verdict.command import CORE, FURTHER, OFFER, Request
from dojo.verdict.run import Verdict, Watcher, run
from dojo.verdict.supervision import Limits

if TYPE_CHECKING:
    from rich.status import Status

MOST_SECONDS = 7 * 86_400  # what systems can hold a process to is not without bounds


def slugs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The clauses of a kata, for the shell's completion."""
    kata = ctx.params.get("kata")
    return [slug for slug in clauses(kata.address) if slug.startswith(incomplete)] if kata else []


@click.command()
@kata_argument()
@click.option("--clause", metavar="SLUG", shell_complete=slugs, help="Test this clause alone; nothing is remembered.")
@click.option("--further", is_flag=True, help="Test the further clauses too; the exit code is 0 only if all hold.")
@click.option("--pdb", is_flag=True, help="Debug: pytest's own --pdb, at the first failure, without limits.")
@click.option("--verbose", "-v", is_flag=True, help="Show every failure, and all that pytest prints.")
@click.option("--borrow/--no-borrow", default=True, help="Whether unfinished prerequisites come from the reference.")
@click.option("--solutions", is_flag=True, help="Test the reference and not your file; nothing is remembered.")
@click.option(
    "--time-limit", type=Finite(1, MOST_SECONDS), default=120, metavar="S", help="Seconds for the run; by default 120."
)
@click.option(
    "--memory-limit",
    type=click.IntRange(64),
    default=4096,
    metavar="MB",
    help="Memory of all its processes together; by default 4096.",
)
@json_option()
def command(
    kata: Kata,
    clause: str | None,
    further: bool,
    pdb: bool,
    verbose: bool,
    borrow: bool,
    solutions: bool,
    time_limit: float,
    memory_limit: int,
    as_json: bool,
) -> int:
    """Test a kata and show the verdict.

    The core decides. When it is green, the further clauses are tested too, and how many hold is shown as an offer.
    Prerequisites that are not green are borrowed from the reference. The exit code is 0 for green, 1 for red and 3
    where there is no verdict.
    """
    borrowed = unfinished(kata) if borrow and not solutions else ()
    if clause is not None and clause not in clauses(kata.address):
        raise click.UsageError(f"{short(kata)} has no clause '{clause}'. It has {', '.join(clauses(kata.address))}.")
    tiers = CORE if clause else FURTHER if further else OFFER
    request = Request(kata, borrowed, solutions, tiers, verbose, clause=clause or "")
    if pdb:
        if as_json:
            raise click.UsageError("--pdb is for people and --json for scripts: choose one.")
        return debug(request)
    if not solutions and standing(kata).state == NOT_STARTED:
        return not_started(kata, as_json)
    shown = Silent(request) if as_json else Shown(request)
    with shown.spinner():
        verdict = run(request, Limits(time_limit, memory_limit), shown)
    shown.finish(verdict)
    return {GREEN: Exit.DONE, RED: Exit.NOT_YET}.get(verdict.outcome, Exit.NO_VERDICT)


def debug(request: Request) -> int:
    """Hand the terminal to pytest and its debugger. Returns pytest's exit code."""
    words = commands.command(request, "--pdb", "-x")
    return Exit.NOT_YET if subprocess.call(words, cwd=ROOT, env=commands.environment()) else Exit.DONE


def not_started(kata: Kata, as_json: bool) -> int:
    """An untouched stub needs no run."""
    name = f"katas/{kata.address}.py"
    if as_json:
        marks = dict.fromkeys(clauses(kata.address), UNTESTED)
        terminal.say_json(as_data(Verdict(kata, outcome=RED, why=[f"{name} has no code yet"], clauses=marks)))
    else:
        text = f"not started: {name} has no code yet.   "
        following = (f"dojo spec {short(kata)}", "bold cyan")
        terminal.say_wrapped(text, (f"next:{terminal.HELD}", "bold"), following)
    return Exit.NOT_YET


class Silent(Watcher):
    """For scripts: JSON at the end."""

    def __init__(self, request: Request) -> None:
        self.request, self.unsaved = request, ""
        self.on_record = not request.solutions and not request.clause
        self.is_first = self.on_record and memory.own_time(request.kata) is None

    def spinner(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def finish(self, verdict: Verdict) -> None:
        self.remember(verdict)
        data = as_data(verdict)
        terminal.say_json(data | ({"not_remembered": self.unsaved} if self.unsaved else {}))

    def remember(self, verdict: Verdict) -> None:
        """Keep the verdict; returns what prevented that."""
        if self.on_record:
            self.unsaved = remember(verdict)


class Shown(Silent):
    """For people: the verdict as soon as it is known, and then what is still being worked on."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.told, self.width = False, min(terminal.columns() - 1, render.WIDEST)
        self.status: Status | None = None

    @contextlib.contextmanager
    def spinner(self) -> Iterator[None]:
        """What is being done, while somebody looks."""
        if not terminal.interactive():
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status("starting ...", spinner="line") as self.status:
            yield

    def counted(self, done: int, of: int) -> None:
        if self.status and done and not self.told:
            self.status.update(f"{done} of {of} tests")

    def judged(self, verdict: Verdict) -> None:
        self.tell(verdict)
        if self.status:
            more = "the further clauses ..." if verdict.outcome == GREEN else "looking for a known mistake ..."
            self.status.update(more)

    def finish(self, verdict: Verdict) -> None:
        if not self.told:
            self.tell(verdict)
        else:
            self.remember(verdict)
            say(render.named_after(verdict, self.width))
            say(render.output(verdict) if self.request.verbose else [])
        if verdict.outcome == GREEN and self.request.tiers == OFFER:
            say(render.further(verdict, self.width))
        if verdict.outcome == GREEN and self.is_first and (seconds := memory.own_time(verdict.kata)):
            text = f"Your time from the first test to green: {memory.in_words(seconds)}"
            terminal.say((f"{text} (the estimate: {verdict.kata.minutes} minutes).", "dim"))

    def tell(self, verdict: Verdict) -> None:
        self.told = True
        self.remember(verdict)
        where = f"{'solutions' if self.request.solutions else 'katas'}/{verdict.kata.address}.py"
        say(render.verdict(verdict, where, self.width, self.request.verbose))
        if self.unsaved:
            terminal.say((f"not remembered: {self.unsaved}", "magenta"), to_stderr=True)


def say(lines: Iterable[render.Line]) -> None:
    for line in lines:
        terminal.say(*line)


def remember(verdict: Verdict) -> str:
    """Keep the verdict. Returns what prevented that, in words."""
    try:
        memory.remember(verdict)
    except store.CannotSave as error:
        return str(error)
    return ""


def as_data(verdict: Verdict) -> dict[str, Any]:
    """The verdict for scripts. `outcome` is that of the core, or with --further that of everything."""
    address = verdict.kata.address
    core = core_clauses(address)
    listed = [
        {"clause": slug, "tier": "core" if slug in core else "further", "sentence": text, "mark": mark}
        for (slug, text), mark in zip(clauses(address).items(), verdict.clauses.values(), strict=True)
    ]
    return {
        "kata": address,
        "outcome": verdict.outcome,
        "complete": verdict.complete,
        "why": verdict.why,
        "clauses": listed,
        "tests": [test.as_data() | {"named": render.names_of(verdict, test)} for test in verdict.tests],
        "borrowed": list(verdict.borrowed),
        "seconds": round(verdict.seconds, 3),
    }
