"""`dojo watch`: save a file, see the verdict."""

import os
import sys

import click

from dojo.catalog.curriculum import Kata
from dojo.cli import kata_argument


@click.command()
@kata_argument()
@click.option("--plain", is_flag=True, help="Line after line, for screen readers and logs; nothing is redrawn.")
def command(kata: Kata, plain: bool) -> None:
    """Watch the katas: each save is tested at once, and the screen follows the file that was saved last.

    Keys: n next kata, h hint, s specification, d diff, l list, c test all that is begun, x reset, r again, q quit.
    """
    from dojo.watch.screen import Plain, Redrawn, Screen
    from dojo.watch.watching import Watch

    redrawn = sys.stdout.isatty() and not plain and os.environ.get("TERM") != "dumb"
    screen: Screen = Redrawn() if redrawn else Plain()
    with screen:
        Watch(kata, screen).loop()
