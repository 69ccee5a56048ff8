"""`dojo status`: the map, as `dojo` alone shows it."""

import click

from dojo.cli import json_option
from dojo.commands import the_map


@click.command()
@json_option()
def command(as_json: bool) -> None:
    """Show where you stand and what to do next, as `dojo` alone does."""
    the_map.show(as_json)
