"""`dojo bench attention`: your attention on the ladder beside all the others, checked before it is timed."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from dojo.catalog.curriculum import find
from dojo.cli import json_option
from dojo.exits import Exit
from dojo.learner import store
from dojo.learner.standing import unfinished
from dojo.system import devices, terminal

WHAT = ("attention",)
SECONDS = {True: 0.6, False: 3.0}  # that all variants share at one length for one pass, quick or not


@click.command()
@click.argument("what", type=click.Choice(WHAT))
@click.option("--device", default="", help="cpu, cuda or mps; left out, cuda where there is one, else cpu.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", help="float32.")
@click.option("--batch", type=click.IntRange(1), default=None, help="Texts at once; 1, and 4 on a GPU.")
@click.option("--quick", is_flag=True, help="Short texts and one shape, within a minute.")
@click.option("--solutions", is_flag=True, help="The reference alone, without your file.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Where to; .dojo/bench/.")
@json_option()
def command(
    what: str,
    device: str,
    dtype: str,
    batch: int | None,
    quick: bool,
    solutions: bool,
    out: Path | None,
    as_json: bool,
) -> int:
    """Put your MultiHeadAttention on the ladder beside other ways to write it.

    Each variant is first compared with PyTorch's own attention, on this device and in this dtype: output, gradients and
    causality. What is not right is shown and not timed. Ends with a table, and writes JSON and a figure. The exit code
    is 1 where your attention is not right, or where a ratio that should hold does not.
    """
    import torch

    from dojo.ladder import classes
    from dojo.ladder.checks import checks
    from dojo.ladder.ladder import FAILED, SHAPES, climb, lengths_for
    from dojo.ladder.table import as_json as climbs_as_json
    from dojo.ladder.table import table
    from dojo.ladder.variants import YOURS, variants

    device = devices.chosen(device)
    own, why = (None, "") if solutions else classes.own(unfinished(find("attention/multihead")))
    rungs = variants(classes.reference(), own)
    folder = out or store.FOLDER / "bench"
    climbs = []
    with spinner(as_json) as tell:
        for heads, head_dim in SHAPES[: 1 if quick else None]:
            climbs.append(
                climb(
                    rungs,
                    device=device,
                    dtype=getattr(torch, dtype),
                    heads=heads,
                    head_dim=head_dim,
                    batch=batch or (1 if device == "cpu" else 4),
                    lengths=lengths_for(device, quick),
                    budget=SECONDS[quick],
                    tell=tell,
                )
            )
    checked = [check for climbed in climbs for check in checks(climbed)]
    text = climbs_as_json(climbs, [str(check) for check in checked])
    files = write(folder, f"{what}-{device}-{dtype}{'-quick' if quick else ''}", text, climbs)
    if as_json:
        terminal.say(text, end="")
    else:
        for climbed in climbs:
            for line in table(climbed):
                terminal.say(line)
            terminal.say()
        for check in checked:
            terminal.say((str(check), "" if check.holds else "bold red"))
        if why:
            terminal.say((f"yours is not on the ladder: {why}", "yellow"))
        terminal.say((f"written: {', '.join(store.shown(file) for file in files)}", "dim"))
    wrong = any(cell.state == FAILED and cell.variant == YOURS for climbed in climbs for cell in climbed.cells)
    return Exit.NOT_YET if wrong or not all(check.holds for check in checked) else Exit.DONE


def write(folder: Path, name: str, text: str, climbs: list[Any]) -> list[Path]:
    """Write the JSON and a figure for each shape."""
    from dojo.ladder.drawing import draw

    files = [folder / f"{name}.json"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files[0].write_text(text, encoding="utf-8", newline="\n")
        for climbed in climbs:
            files.append(folder / f"{name}-{climbed.heads}x{climbed.head_dim}.svg")
            draw(climbed).savefig(files[-1])
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written: {error.strerror or error}") from None
    return files


@contextlib.contextmanager
def spinner(silent: bool) -> Iterator[Callable[[str], None]]:
    """What is measured just now, and for how long it has been going on, while somebody looks."""
    if silent or not terminal.interactive():
        yield lambda what: None
        return
    from rich.console import Console

    begun = time.monotonic()
    with Console(stderr=True).status("starting ...", spinner="line") as status:
        yield lambda what: status.update(f"{time.monotonic() - begun:3.0f} s  {what}")
