"""`dojo group`: the reports that a study group shares, as one table in the terminal and as Markdown."""

from pathlib import Path

import click

from dojo.catalog.curriculum import short
from dojo.cli import json_option
from dojo.exits import Exit
from dojo.group import gathering
from dojo.group.gathering import Gathered, Row, Stuck
from dojo.group.report import Report
from dojo.system import terminal


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--markdown", is_flag=True, help="Print Markdown, for a page that the group shares.")
@json_option()
def command(folder: Path, markdown: bool, as_json: bool) -> int | None:
    """Make one table of the reports in FOLDER and the folders in it.

    A report is what `dojo report --json` prints. The table goes by kata and ranks nobody; names are shown only where a
    report gives one. A file that is not a report is skipped, and its name is shown.
    """
    if markdown and as_json:
        raise click.UsageError("--markdown and --json cannot be used together.")
    found = gathering.gathered(folder)
    for name, why in found.skipped:
        terminal.say((f"skipped {name}: {why}", "magenta"), to_stderr=True)
    if not found.reports:
        terminal.say("there is no report: `dojo report --json > NAME.json` makes one.", to_stderr=True)
        return Exit.UNUSABLE
    if as_json:
        terminal.say_json(as_data(found))
    elif markdown:
        terminal.say(as_markdown(found))
    else:
        tell(found)
    return None


def tell(found: Gathered) -> None:
    """The table on the screen."""
    reports, width = found.reports, terminal.columns() - 1
    rows, hard = gathering.rows(reports), gathering.stuck(reports)
    terminal.say((of_people(reports), "bold"))
    terminal.say()
    name = max([4, *(len(short(row.kata)) for row in rows)])
    terminal.say((f"{'kata':{name}}  green  in progress  not started", "dim"))
    for row in rows:
        counts = f"{row.green:5}  {row.in_progress:11}  {row.waiting:11}"
        terminal.say((f"{short(row.kata):{name}}", "bold"), f"  {counts}")
        for label, names in (("green: ", row.names_green), ("in progress: ", row.names_in_progress)):
            indent = " " * (name + 4)
            for line in terminal.wrapped(label + ", ".join(names), width, indent, indent + "  ") if names else []:
                terminal.say((line, "dim"))
    terminal.say()
    terminal.say(("where several are stuck", "bold"))
    for text in [in_words(one) for one in hard] or ["nowhere: no clause is failed by two or more."]:
        for line in terminal.wrapped(text, width, "  ", "    "):
            terminal.say(line)
    for kata, why, questions in gathering.to_discuss(reports):
        terminal.say()
        terminal.say((f"to discuss next: {kata.title}", "bold"))
        terminal.say((f"  {why}", "dim"))
        for question in questions:
            for line in terminal.wrapped(question, width, "  - ", "    "):
                terminal.say(line)


def as_markdown(found: Gathered) -> str:
    """The same as a page."""
    reports = found.reports
    lines = ["## The group", "", of_people(reports), ""]
    lines += ["| kata | green | in progress | not started |", "|---|---|---|---|"]
    for row in gathering.rows(reports):
        counts = named(row.green, row.names_green), named(row.in_progress, row.names_in_progress), str(row.waiting)
        lines.append(f"| {row.kata.title} (`{row.kata.address}`) | {' | '.join(counts)} |")
    lines += ["", "### Where several are stuck", ""]
    hard = gathering.stuck(reports)
    lines += [f"- {in_words(one)}" for one in hard] or ["Nowhere: no clause is failed by two or more."]
    for kata, why, questions in gathering.to_discuss(reports):
        lines += ["", f"### To discuss next: {kata.title}", "", f"{why}.", "", *(f"- {one}" for one in questions)]
    return "\n".join(lines)


def as_data(found: Gathered) -> dict[str, object]:
    """The same for scripts."""
    reports = found.reports
    return {
        "reports": len(reports),
        "skipped": [{"file": name, "why": why} for name, why in found.skipped],
        "katas": [row_data(row) for row in gathering.rows(reports)],
        "stuck": [
            {"kata": one.kata.address, "clause": one.slug, "failed": one.failed, "begun": one.begun, "also": one.others}
            for one in gathering.stuck(reports)
        ],
        "discuss": [{"kata": kata.address, "questions": asked} for kata, _, asked in gathering.to_discuss(reports)],
    }


def row_data(row: Row) -> dict[str, object]:
    return {
        "kata": row.kata.address,
        "green": row.green,
        "in_progress": row.in_progress,
        "not_started": row.waiting,
        "names_green": row.names_green,
        "names_in_progress": row.names_in_progress,
    }


def of_people(reports: list[Report]) -> str:
    return f"{len(reports)} report{'' if len(reports) == 1 else 's'}, by kata"


def in_words(one: Stuck) -> str:
    also = f" Several also fail {', '.join(one.others)}." if one.others else ""
    return f"{short(one.kata)}, {one.slug}: {one.failed} of {one.begun} fail it. {one.sentence}{also}"


def named(count: int, names: tuple[str, ...]) -> str:
    """A number, and the names that belong to it, as code: so none is a link, a mention or a column."""
    quoted = ", ".join(f"`{plain(name)}`" for name in names)
    return f"{count}: {quoted}" if names else str(count)


def plain(name: str) -> str:
    """A name without what ends a piece of code or a column in Markdown."""
    return name.replace("`", "'").replace("|", "/")
