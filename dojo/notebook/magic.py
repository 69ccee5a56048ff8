"""`%%kata attention/causal` in Jupyter: the cell becomes the kata's file, and the verdict appears under it.

`%load_ext dojo` calls `load`. What the cell replaces is kept, and `dojo reset --undo` brings it back.
"""

from typing import Any

from dojo.catalog.curriculum import Kata, find, short
from dojo.errors import DojoError
from dojo.learner import store
from dojo.learner.standing import GREEN, stub_text, unfinished
from dojo.serving.finder import forget
from dojo.system import terminal
from dojo.system.files import read_regular
from dojo.verdict import memory, render
from dojo.verdict.command import OFFER, Request
from dojo.verdict.run import run

USAGE = "name a kata in the first line, such as %%kata attention/causal"


def load(shell: Any) -> None:
    """Give a notebook the magic."""
    shell.register_magic_function(kata_cell, magic_kind="cell", magic_name="kata")


def kata_cell(line: str, cell: str) -> None:
    """Write the cell to a kata's file, and show the verdict."""
    try:
        if not line.strip():
            raise DojoError(USAGE)
        _test(_written(find(line), cell))
    except DojoError as error:
        terminal.say(f"dojo: {error}")


def _written(kata: Kata, cell: str) -> Kata:
    """Put the cell in place of the kata's file, and keep what was there. Raises CannotSave."""
    content, own = cell.encode(), _content(kata)
    name = store.shown(kata.stub)
    if own != content:
        if own is not None and own != stub_text(kata).encode():
            store.keep(kata.address, own)
            terminal.say(f"{name} was replaced; your file before is kept: dojo reset --undo {short(kata)}")
        store.replace(kata.stub, content)
    forget()  # so that an import in a later cell gets this code
    return kata


def _content(kata: Kata) -> bytes | None:
    """The kata's file as it is; None where there is none."""
    try:
        return read_regular(kata.stub)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DojoError(f"{store.shown(kata.stub)} cannot be replaced: {error.strerror or error}") from None


def _test(kata: Kata) -> None:
    verdict = run(Request(kata, unfinished(kata), tiers=OFFER))
    memory.remember(verdict)
    lines = render.verdict(verdict, store.shown(kata.stub), render.IN_A_PIPE)
    lines += render.further(verdict, render.IN_A_PIPE) if verdict.outcome == GREEN else []
    for line in lines:
        terminal.say(*line)
