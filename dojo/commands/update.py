"""`dojo update`: a release's new katas, docstrings and tests, and not one written body touched."""

import re
from pathlib import Path
from typing import Any

import click

from dojo.catalog import curriculum
from dojo.cli import json_option
from dojo.system import terminal
from dojo.update import origin, plan
from dojo.update.git import GitError, file_at
from dojo.update.plan import FRESH, GONE, KEPT, NEW, CannotUpdate, Change, Update

WORDS = {NEW: "new", KEPT: "left alone", GONE: "no longer a kata"}


@click.command()
@click.argument("release", required=False)
@click.option("--check", is_flag=True, help="Only say what an update would bring.")
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Without git: copy the code that you wrote in another copy of this repository into this one.",
)
@json_option()
def command(release: str | None, check: bool, folder: Path | None, as_json: bool) -> None:
    """Take a release's new katas, docstrings and tests.

    RELEASE is a branch, a tag or a commit; left out, it is the main branch of the remote `upstream`, or else of
    `origin`. Every body that you wrote stays as it is, committed or not; whatever is replaced is kept in .dojo/.
    """
    try:
        if folder is not None:
            if release or check:
                raise click.UsageError("--from takes a folder and nothing else.")
            tell_changes(plan.from_folder(folder), as_json)
            return
        wanted = release or plan.default_release()
        plan.fetch(wanted)
        prepared = plan.prepare(wanted)
        if not check and not prepared.update.nothing:
            plan.apply(prepared)
    except (CannotUpdate, GitError) as error:
        raise click.ClickException(f"{error} Nothing was changed.") from None
    if as_json:
        terminal.say_json(as_data(prepared.update, check))
    else:
        tell(prepared.update, wanted, check)


def tell(update: Update, release: str, check: bool) -> None:
    """What came, and what to do next."""
    if update.nothing:
        terminal.say(f"nothing new: {release} is here already.")
        if advice := origin.advice():
            terminal.say((advice, "magenta"))
        return
    terminal.say(
        (f"{'what would come' if check else 'updated'}: ", "bold"), f"{named(update.before)} to {named(update.after)}"
    )
    for line in update.news:
        for wrapped in terminal.prose(line, "  "):
            terminal.say(wrapped)
    if update.changes:
        terminal.say()
        tell_each(update.changes)
    if check:
        terminal.say()
        terminal.say(("nothing was changed. ", "dim"), ("next: ", "bold"), ("dojo update", "bold cyan"))
        return
    if update.own_commits:
        terminal.say()
        terminal.say(("your own commits and the release are joined in one commit; `git log` shows it.", "dim"))
    terminal.say()
    if update.requirements:
        terminal.say(("next: ", "bold"), ("python -m pip install -c constraints.txt -e .", "bold cyan"))
    elif retest := [change for change in update.changes if change.written and change.tests]:
        terminal.say(("next: ", "bold"), (f"dojo test {last_word(retest[0].address)}", "bold cyan"))
    else:
        terminal.say(("next: ", "bold"), ("dojo", "bold cyan"))


def named(commit: str) -> str:
    """A commit as it is told: its version and the beginning of its hash."""
    stated = re.search(r'^version = "([^"]+)"', file_at(commit, "pyproject.toml") or "", re.MULTILINE)
    return f"{stated[1]} ({commit[:9]})" if stated else commit[:9]


def tell_each(changes: list[Change]) -> None:
    """Each kata in a line, and below it what a learner should know."""
    width = max(len(change.address) for change in changes)
    for change in changes:
        terminal.say(f"  {change.address:{width}}  ", (in_words(change), "magenta" if change.kind == KEPT else "green"))
        for note in change.notes:
            for line in terminal.wrapped(note, terminal.columns() - 1, " " * (width + 4), " " * (width + 4)):
                terminal.say((line, "magenta"))


def in_words(change: Change) -> str:
    if change.kind != FRESH:
        return WORDS[change.kind]
    fresh = "tests fresh" if change.tests else "specification fresh"
    return f"{fresh}, your bodies as they were" if change.written else f"{fresh}, not begun"


def tell_changes(changes: list[Change], as_json: bool) -> None:
    """What was brought over from another copy."""
    if as_json:
        terminal.say_json([as_change(change) for change in changes])
    elif not changes:
        terminal.say("nothing to bring over: no kata is begun there.")
    else:
        tell_each(changes)
        terminal.say()
        terminal.say(("next: ", "bold"), ("dojo", "bold cyan"))


def last_word(address: str) -> str:
    """How a learner names a kata; one that is new here is not in the curriculum that was read."""
    try:
        return curriculum.short(curriculum.find(address))
    except curriculum.UnknownKata:
        return address


def as_data(update: Update, check: bool) -> dict[str, Any]:
    """The update for scripts."""
    return {
        "before": update.before,
        "after": update.after,
        "done": not check and not update.nothing,
        "requirements": update.requirements,
        "news": update.news,
        "advice": origin.advice() if update.nothing else "",
        "katas": [as_change(change) for change in update.changes],
    }


def as_change(change: Change) -> dict[str, Any]:
    return {
        "kata": change.address,
        "change": change.kind,
        "written": change.written,
        "tests": change.tests,
        "notes": change.notes,
    }
