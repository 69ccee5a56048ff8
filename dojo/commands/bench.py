"""`dojo bench`: your own pieces on the ladders beside all the other ways, checked before they are timed."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from dojo.cli import json_option
from dojo.exits import Exit
from dojo.learner import store
from dojo.system import devices, terminal

WHAT = ("attention", "tokenizer", "generation", "training")
WITHIN = 35.0  # seconds, after which a quick run begins nothing more
SECONDS = {True: 0.6, False: 3.0}  # that all rungs share at one size for one pass, quick or not


@click.command()
@click.argument("what", type=click.Choice(WHAT))
@click.option("--device", default="", help="cpu, cuda or mps; by default cuda if there is one, else cpu.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    help="For attention and training; by default float32.",
)
@click.option("--batch", type=click.IntRange(1), default=None, help="Texts at once, for attention and training.")
@click.option("--quick", is_flag=True, help="Small sizes and one shape, within a minute.")
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
    """Put your own piece on a ladder beside other ways to write it, from the plain one to the fastest.

    attention: MultiHeadAttention, with its gradients. tokenizer: train_bpe and BPETokenizer, beside the packages
    tokenizers and tiktoken where they are installed. generation: generate_greedy with GPTModel, and generate_cached
    with DecoderModel. training: a step of GPTModel with its loss and optimizer, beside a model like nanoGPT's.

    Each rung is checked first: it gives what the others give. What is not right is shown and not timed. Ends with a
    table, and writes JSON and a figure. The exit code is 1 where yours is not right, or where a ratio that should hold
    does not, measured twice.
    """
    from dojo.ladder.checks import checks
    from dojo.ladder.choosing import ladders
    from dojo.ladder.ladder import FAILED, YOURS, climb
    from dojo.ladder.table import as_json as climbs_as_json
    from dojo.ladder.table import table

    device = devices.chosen(device, ("cuda",) if what != "tokenizer" else ())
    chosen, told = ladders(what, device, dtype, batch, quick, solutions)
    if not as_json:
        for line in told:
            terminal.say((line, "magenta" if "not on" in line else "bold"))
    climbs, checked = [], []
    with spinner(as_json) as tell:
        for ladder in chosen:
            climbs.append(climb(ladder, SECONDS[quick], WITHIN / len(chosen) if quick else math.inf, tell))
            checked += checks(ladder, climbs[-1], tell)
    text = climbs_as_json(climbs, [str(check) for check in checked])
    which = f"{what}-{device}-{dtype}" if what in ("attention", "training") else f"{what}-{device}"
    files = write(out or store.FOLDER / "bench", which + "-quick" * quick, text, climbs)
    if as_json:
        terminal.say(text, end="")
    else:
        for climbed in climbs:
            for line in table(climbed):
                terminal.say(line)
            terminal.say()
        for check in checked:
            terminal.say((str(check), "bold red" if check.fails else ""))
        terminal.say((f"written: {', '.join(store.shown(file) for file in files)}", "dim"))
    wrong = any(cell.state == FAILED and cell.variant == YOURS for climbed in climbs for cell in climbed.cells)
    return Exit.NOT_YET if wrong or any(check.fails for check in checked) else Exit.DONE


def write(folder: Path, name: str, text: str, climbs: list[Any]) -> list[Path]:
    """Write the JSON and a figure for each ladder."""
    from dojo.ladder.drawing import draw

    files = [folder / f"{name}.json"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files[0].write_text(text, encoding="utf-8", newline="\n")
        for climbed in climbs:
            files.append(folder / f"{name}-{climbed.slug}.svg")
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
