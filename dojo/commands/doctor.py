"""`dojo doctor` as a command of the group; the work is in dojo/system/doctor.py, which needs nothing but Python."""

import click

from dojo.cli import json_option


@click.command()
@click.option("--fetch", is_flag=True, help="Download GPT-2's vocabulary first (1.5 MB, with a time limit).")
@json_option()
def command(fetch: bool, as_json: bool) -> int:
    """Check Python, the packages, torch, the clone, write access and GPT-2's vocabulary, and say how to fix each.

    The exit code is 1 where something that is needed is wrong.
    """
    from dojo.system.doctor import examine

    return examine(as_json, fetch)
