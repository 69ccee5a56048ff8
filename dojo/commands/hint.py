"""`dojo hint`: the page's help, one rung more each time it is called."""

import click

from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.catalog.hints import rungs
from dojo.cli import json_option, kata_argument
from dojo.learner import store
from dojo.system import terminal


@click.command()
@kata_argument()
@click.option("--again", is_flag=True, help="Show the hints that you have seen, and no new one.")
@click.option("--reset", is_flag=True, help="Forget which hints you have seen.")
@json_option()
def command(kata: Kata, again: bool, reset: bool, as_json: bool) -> None:
    """Show a hint: first a question, then a fact, then a plan, one rung more each time you ask."""
    if again and reset:
        raise click.UsageError("--again and --reset cannot be used together.")
    ladder = rungs(kata)
    if not ladder:
        raise click.ClickException(f"docs/{kata.address}.md has no hints.")
    if reset:
        store.forget(kata.address, "hints")
        if as_json:
            terminal.say_json({"kata": kata.address, "rung": 0, "of": len(ladder), "hints": []})
        else:
            terminal.say(f"the hints of {curriculum.short(kata)} begin again.")
        return
    seen = seen_so_far(kata, len(ladder))
    rung = max(seen, 1) if again else min(seen + 1, len(ladder))
    unsaved = "" if rung == seen else remember(kata, rung)
    if as_json:
        hints = [{"name": name, "text": text} for name, text in ladder[:rung]]
        terminal.say_json({"kata": kata.address, "rung": rung, "of": len(ladder), "hints": hints})
        return
    name = curriculum.short(kata)
    for number, (title, text) in enumerate(ladder[:rung] if again else ladder[rung - 1 : rung], 1 if again else rung):
        terminal.say((title, "bold"), (f"  hint {number} of {len(ladder)} for {name}", "dim"))
        terminal.say()
        for line in terminal.prose(text):
            terminal.say(line)
        terminal.say()
    if rung < len(ladder):
        terminal.say(("more: ", "bold"), (f"dojo hint {name}", "bold cyan"))
    else:
        line = f"that is the last hint. The page has the figure and the reasons: docs/{kata.address}.md"
        terminal.say_wrapped((line, "dim"))
    if unsaved:
        terminal.say((f"not remembered: {unsaved}", "magenta"), to_stderr=True)


def seen_so_far(kata: Kata, most: int) -> int:
    """How many rungs were shown already."""
    rung = store.read(kata.address, "hints").get("rung")
    return min(max(rung, 0), most) if isinstance(rung, int) else 0


def remember(kata: Kata, rung: int) -> str:
    """Keep how far the learner climbed. Returns what prevented that, in words."""
    try:
        store.write(kata.address, "hints", {"rung": rung})
    except store.CannotSave as error:
        return str(error)
    return ""
