"""`dojo list`: every kata, whatever the height of the screen."""

import click

from dojo.cli import json_option
from dojo.commands import the_map


@click.command()
@json_option()
def command(as_json: bool) -> None:
    """Show every kata, with its clauses, its section of the book and its minutes."""
    the_map.show(as_json, whole=True)
