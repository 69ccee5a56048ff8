"""`dojo report`: test every kata that is begun, and show where you stand, also as Markdown for a page."""

from pathlib import Path

import click

from dojo.catalog import curriculum
from dojo.commands import the_map
from dojo.commands.test import remember
from dojo.group import report
from dojo.learner.standing import (
    COMPLETE,
    DONE,
    FINISHED,
    MISSING,
    NOT_STARTED,
    PASSED,
    Standing,
    command_for,
    next_of,
    standings,
    unfinished,
)
from dojo.learner.standing import GREEN as IS_GREEN
from dojo.learner.standing import NONE as NO_VERDICT
from dojo.system import terminal
from dojo.verdict.command import OFFER, Request
from dojo.verdict.run import Verdict, run


@click.command()
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append the map as Markdown to a file, such as a job's summary.",
)
@click.option("--name", default="", help="Your name, for --json: it is shown in the table of `dojo group`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a report that you may share.")
def command(markdown: Path | None, name: str, as_json: bool) -> None:
    """Test every kata that is begun, and tell where you stand.

    Katas that are still stubs are not run. What is not finished borrows from the reference, as in `dojo test`. The exit
    code is 0 whatever the verdicts are: a kata that is not finished is not an error.

    `dojo report --json > NAME.json` writes a report for a study group. It holds the state of each kata and the marks of
    its clauses; no code, no paths, no account, and your name only if you give it.
    """
    if name and not as_json:
        raise click.UsageError("--name goes into the report that --json prints.")
    begun = [one.kata for one in standings() if one.state not in (NOT_STARTED, MISSING)]
    for kata in begun:
        verdict = run(Request(kata, unfinished(kata), tiers=OFFER))
        unsaved = remember(verdict)
        if not as_json:
            terminal.say(*line(verdict))
            if unsaved:
                terminal.say((f"not remembered: {unsaved}", "magenta"), to_stderr=True)
    found = standings()
    if markdown is not None:
        append(markdown, as_markdown(found))
    if as_json:
        terminal.say_json(report.made_of(found, the_map.as_data(found), name))
        return
    if begun:
        terminal.say()
    the_map.tell(found)


def line(verdict: Verdict) -> list[terminal.Part]:
    """One verdict in a line."""
    style = {IS_GREEN: "green", NO_VERDICT: "magenta"}.get(verdict.outcome, "red")
    word = "no verdict" if verdict.outcome == NO_VERDICT else verdict.outcome
    core, further = [list(marks.values()) for marks in (verdict.core, verdict.further)]
    told = f"{core.count(PASSED)} of {len(core)} clauses"
    told += f", further: {further.count(PASSED)} of {len(further)}" if verdict.outcome == IS_GREEN and further else ""
    why = f"  {verdict.why[0]}" if verdict.why else ""
    return [(f"{word:10}", style), f"  {verdict.kata.address}  {told}", (why, "dim")]


def as_markdown(found: list[Standing]) -> str:
    """The map as a page: how far it is, a table for each part, and what comes next."""
    done = sum(one.state in FINISHED for one in found)
    lines = ["## LLM Katas", "", f"{done} of {len(found)} katas green.", ""]
    for part, title in curriculum.parts().items():
        rows = [one for one in found if one.kata.part == part]
        if rows:
            lines += [f"### {title}", "", "| | kata | clauses | book |", "|---|---|---|---|"]
            lines += [row(one) for one in rows]
            lines.append("")
    if (upcoming := next_of(found)) is not None:
        lines += [f"Next: `{command_for(upcoming)}`", ""]
    return "\n".join(lines)


def row(one: Standing) -> str:
    kata, sign = one.kata, {COMPLETE: "⭐", DONE: "✅", NOT_STARTED: "⬜"}.get(one.state, "🚧")
    return f"| {sign} {one.state} | {kata.title} (`{kata.address}`) | {the_map.clauses_of(one)} | {kata.book} |"


def append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from None
