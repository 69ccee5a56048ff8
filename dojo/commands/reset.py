"""`dojo reset`: the stub again, and back. What is replaced is always kept."""

import click

from dojo import ROOT
from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata, katas
from dojo.cli import KataName, confirmed
from dojo.exits import Exit
from dojo.learner import store
from dojo.learner.standing import stub_text
from dojo.system import terminal
from dojo.system.files import read_regular

LARGEST = 1 << 30  # bytes of a file that is put aside: whatever a learner may have written


@click.command()
@click.argument("kata", type=KataName(), required=False)
@click.option("--undo", is_flag=True, help="Bring back what the last reset (of KATA) replaced.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(kata: Kata | None, undo: bool, yes: bool) -> int | None:
    """Write a kata's stub again. Your file is kept, and `dojo reset --undo` brings it back."""
    if undo:
        bring_back(kata or last_reset())
        return None
    if kata is None:
        raise click.UsageError("which kata? `dojo reset KATA` writes its stub again.")
    return write_stub(kata, yes)


def write_stub(kata: Kata, yes: bool) -> int | None:
    """Replace the learner's file by the stub. Returns the exit code."""
    name = f"katas/{kata.address}.py"
    try:
        stub = stub_text(kata).encode()
    except (OSError, SyntaxError, ValueError) as error:
        raise click.ClickException(f"solutions/{kata.address}.py gives no stub: {error}") from None
    own = content_of(kata)
    if own is not None and unix(own) == stub:
        terminal.say(f"{name} is the stub already.")
        return None
    if own is not None:
        if not confirmed(f"Replace {name} by the stub? Your file is kept.", yes):
            terminal.say("nothing was changed.")
            return Exit.NOT_YET
        store.keep(kata.address, own)
    put(kata, stub)
    terminal.say(f"{name} is the stub again.")
    if own is not None:
        short = curriculum.short(kata)
        terminal.say(("your file back: ", "bold"), (f"dojo reset --undo {short}", "bold cyan"))
    return None


def bring_back(kata: Kata) -> None:
    """Put the newest backup that differs from the learner's file in its place, and keep what it replaces."""
    own, backups = content_of(kata), store.kept(kata.address)
    newest = next((path for path in backups if path.read_bytes() != own), None)
    if newest is None:
        raise click.ClickException(f"there is nothing to bring back for {curriculum.short(kata)}.")
    wanted = newest.read_bytes()
    if own is not None and not is_stub(kata, own):
        store.keep(kata.address, own)
    put(kata, wanted)
    terminal.say(f"katas/{kata.address}.py is back as it was before the reset.")
    folder = newest.parent.relative_to(ROOT).as_posix()
    terminal.say((f"what it replaced is kept as well; all that was ever kept is in {folder}/", "dim"))


def last_reset() -> Kata:
    """The kata with the newest backup."""
    newest = [(backups[0].name, kata) for kata in katas() if (backups := store.kept(kata.address))]
    if not newest:
        raise click.ClickException("there is nothing to bring back: no kata was reset.")
    return max(newest, key=lambda pair: pair[0])[1]


def content_of(kata: Kata) -> bytes | None:
    """The learner's file; None where there is none."""
    try:
        return read_regular(kata.stub, LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise click.ClickException(f"katas/{kata.address}.py cannot be read: {error.strerror or error}") from None


def put(kata: Kata, content: bytes) -> None:
    """Write the learner's file. Raises CannotSave."""
    try:
        kata.stub.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store.CannotSave(f"{kata.stub.parent} cannot be made: {error.strerror or error}") from None
    store.replace(kata.stub, content)


def is_stub(kata: Kata, content: bytes) -> bool:
    try:
        return unix(content) == stub_text(kata).encode()
    except (OSError, SyntaxError, ValueError):
        return False


def unix(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")
