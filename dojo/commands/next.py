"""`dojo next`: the kata to continue with."""

from typing import Any

import click

from dojo.cli import json_option
from dojo.commands.the_map import as_data, clauses_of, what_next
from dojo.learner.standing import next_of, standings
from dojo.system import terminal


@click.command()
@json_option()
def command(as_json: bool) -> None:
    """Show the kata to continue with: the one that you saved last, or the next that is not started."""
    found = standings()
    one = next_of(found)
    if as_json:
        data: dict[str, Any] = as_data(found)
        terminal.say_json({"next": data["next"]})
        return
    if one is not None:
        dot = f" {terminal.glyph('dot')} "
        book = [f"book {one.kata.book}"] if one.kata.book else []
        about = [one.kata.address, one.state, f"{clauses_of(one)} clauses", *book, f"{one.kata.minutes} min"]
        terminal.say_wrapped((one.kata.title, "bold"), "  ", (dot.join(about), "dim"))
        terminal.say_wrapped(f"You build: {one.kata.builds}." if one.kata.builds else "")
    terminal.say_wrapped(*what_next(one))
