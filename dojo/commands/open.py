"""`dojo open`: a kata's file in the editor."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click

from dojo import ROOT
from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.cli import kata_argument
from dojo.exits import Exit
from dojo.notebook import template
from dojo.system import terminal

NOTEBOOKS = (["jupyter-lab"], ["jupyter-notebook"], ["code", str(ROOT), "--goto"])


@click.command()
@kata_argument()
@click.option("--test", "which", flag_value="tests", help="Open its tests.")
@click.option("--page", "which", flag_value="page", help="Open its page.")
@click.option("--notebook", is_flag=True, help="Open it as a notebook, notebooks/PART-NAME.ipynb.")
def command(kata: Kata, which: str | None, notebook: bool) -> int | None:
    """Open a kata's file: with $VISUAL or $EDITOR, with VS Code where it is installed, or as the system does it.

    A notebook is opened with JupyterLab, Jupyter Notebook or VS Code, whichever is there.
    """
    if notebook:
        return open_notebook(kata, which)
    path: Path = getattr(kata, which or "stub")
    shown = path.relative_to(ROOT).as_posix()
    if not path.exists():
        mend = f": `dojo reset {curriculum.short(kata)}` writes the stub again" if which is None else ""
        raise click.ClickException(f"{shown} is missing{mend}.")
    words = editor()
    if words is None and sys.platform == "win32":
        # "edit" and not "open": opening a Python file would run it.
        os.startfile(path, "edit" if path.suffix == ".py" else "open")
    elif words is None:
        terminal.say(str(path))
        terminal.say(("no editor was found: set EDITOR to yours, or open the path above", "dim"), to_stderr=True)
    else:
        return start(words, path)
    return None


def open_notebook(kata: Kata, which: str | None) -> int | None:
    """Write the kata's notebook, and open it where something on this machine can."""
    if which is not None:
        raise click.UsageError("--notebook cannot be used together with --test or --page.")
    path = template.write(kata)
    for program, *words in NOTEBOOKS:
        if found := shutil.which(program):
            return start([found, *words], path)
    terminal.say(str(path))
    told = "no JupyterLab, Jupyter Notebook or VS Code was found: docs/notebooks.md says how to install one"
    terminal.say((told, "dim"), to_stderr=True)
    return None


def editor() -> list[str] | None:
    """The command that opens a file, as words; None where none is known."""
    for name in ("VISUAL", "EDITOR"):
        if chosen := os.environ.get(name, "").strip():
            return shlex.split(chosen, posix=os.name == "posix")
    if code := shutil.which("code"):
        return [code, str(ROOT), "--goto"]
    if sys.platform == "darwin":
        return ["open", "-t"]
    on_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform != "win32" and on_screen and (opener := shutil.which("xdg-open")):
        return [opener]
    return None


def start(words: list[str], path: Path) -> int | None:
    """Run an editor until it ends or hands the file to its window. Returns the exit code."""
    program = shutil.which(words[0])
    if program is None:
        raise click.ClickException(f"the editor '{words[0]}' was not found. The file: {path}")
    terminal.say(f"opening {path.relative_to(ROOT).as_posix()} with {Path(program).stem}")
    sys.stdout.flush()
    try:
        ended = subprocess.call([program, *words[1:], str(path)])
    except OSError as error:
        raise click.ClickException(f"'{words[0]}' could not be started: {error}. The file: {path}") from None
    if ended:
        terminal.say(f"'{words[0]}' ended with code {ended}. The file: {path}", to_stderr=True)
        return Exit.NO_VERDICT
    return None
