"""How `dojo test` tells a verdict: the clauses, the first failure in full, the others in a line each, what is next."""

from collections import Counter
from typing import Any

from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.commands.the_map import what_next
from dojo.learner.standing import FAILED, PASSED, next_of, standings
from dojo.learner.standing import GREEN as IS_GREEN
from dojo.learner.standing import RED as IS_RED
from dojo.system import terminal
from dojo.train import KATAS as TRAINED
from dojo.verdict.running import Verdict

NEXT, SAME, SAME_MISTAKE = "next: ", "the same", "the same mistake"
NOT_WRITTEN = "not written yet: "
NAMED = "your result is the one you get when "
MOST_LINES = 12


def tell(verdict: Verdict, verbose: bool, solutions: bool) -> None:
    """The verdict on the screen."""
    kata = verdict.kata
    where = f"solutions/{kata.address}.py" if solutions else f"katas/{kata.address}.py"
    terminal.say((kata.title, "bold"), "  ", (where, "dim"))
    if verdict.borrowed:
        names = ", ".join(verdict.borrowed)
        terminal.say((f"borrowed from the reference, because they are not done: {names}", "dim"))
    if verdict.records:
        terminal.say()
        tell_clauses(verdict.clauses)
    if verdict.why:
        terminal.say()
        for number, line in enumerate(verdict.why):
            tell_line(line, "bold red" if number == 0 else "")
    if verdict.failures:
        tell_failures(verdict, verbose)
    if verbose and verdict.output:
        terminal.say()
        terminal.say(("what pytest said", "bold"))
        terminal.say(verdict.output.rstrip())
    terminal.say()
    tell_count(verdict)
    if verdict.outcome == IS_GREEN and not solutions:
        celebrate(kata)
    for line in advice(verdict):
        tell_line(line)


def tell_clauses(marks: dict[str, str]) -> None:
    """Every clause with its mark, in the order of the specification, in as many columns as fit."""
    width = max((len(slug) for slug in marks), default=0) + 4
    in_a_row = max((terminal.columns() - 1) // width, 1)
    listed = list(marks.items())
    for start in range(0, len(listed), in_a_row):
        parts: list[terminal.Part] = []
        for slug, mark in listed[start : start + in_a_row]:
            parts += [(f"{terminal.glyph(mark)} {slug}", terminal.STYLES[mark]), " " * (width - len(slug) - 2)]
        terminal.say(*parts[:-1])


def tell_failures(verdict: Verdict, verbose: bool) -> None:
    """The first failure in full and the other clauses in a line each; with verbose, every failure in full."""
    failures = verdict.failures
    if unwritten := [record for record in failures if is_unwritten(record)]:
        terminal.say()
        for line in dict.fromkeys(record["told"][0] for record in unwritten):
            tell_line(line)
        failures = [record for record in failures if not is_unwritten(record)]
    told_already: set[tuple[str, ...]] = set()
    for record in failures:
        told = tuple(record["told"])
        if told in told_already or (told_already and not verbose):
            continue
        told_already.add(told)
        terminal.say()
        if verbose:
            terminal.say((record.get("id") or record["test"], "dim"))
        for line in joined(told[:MOST_LINES]):
            if not line.startswith(NEXT):
                tell_line(line)
        for printed in record.get("printed") or ():
            tell_printed(printed)
    if failures and not verbose:
        tell_others(verdict, failures)


def advice(verdict: Verdict) -> list[str]:
    """What to do after a run that is not green: what the first failure says, or to read the specification."""
    told = [record["told"] for record in verdict.failures if not is_unwritten(record)]
    if verdict.failures and not told:
        return [f"{NEXT}dojo spec {curriculum.short(verdict.kata)}"]
    return [line for line in next(iter(told), []) if line.startswith(NEXT)]


def is_unwritten(record: dict[str, Any]) -> bool:
    return any(line.startswith(NOT_WRITTEN) for line in record["told"][:1])


def tell_others(verdict: Verdict, failures: list[dict[str, Any]]) -> None:
    """The clauses that failed beside the first one told, those with the same words in one line."""
    first = failures[0]
    groups: dict[str, list[str]] = {}
    for record in failures[1:]:
        clause = record["clause"] or record["test"]
        if clause != first["clause"] and not any(clause in others for others in groups.values()):
            groups.setdefault(essence(record["told"], first["told"]), []).append(clause)
    if list(groups) == [SAME]:
        return
    if groups:
        terminal.say()
        terminal.say(("also failing", "bold"))
    named = {text: some(slugs) for text, slugs in groups.items()}
    column = max(map(len, named.values()), default=0)
    for text, slugs in named.items():
        names = f"{slugs:{column}}"
        terminal.say("  ", (names, "red"), "  ", terminal.cut(text, max(terminal.columns() - len(names) - 5, 20)))


def some(slugs: list[str]) -> str:
    """The clauses of a group, the first two and how many more where they would not fit."""
    return ", ".join(slugs) if len(slugs) < 4 else f"{slugs[0]}, {slugs[1]} and {len(slugs) - 2} more"


def essence(told: list[str], first: list[str]) -> str:
    """The one line of a failure that says most in little space."""
    if told == first:
        return SAME
    told = joined(tuple(told))
    known = joined(tuple(first))
    if any(line.startswith(NAMED) and line in known for line in told):
        return SAME_MISTAKE
    named = [line.removeprefix(NAMED) for line in told if line.startswith(NAMED)]
    seen = [line.removeprefix("seen: ") for line in told if line.startswith("seen: ")]
    return next(iter(named + seen + told), "")


def joined(told: tuple[str, ...]) -> list[str]:
    """Told lines with those continued that are indented by two: this screen may be narrower than what they fit."""
    lines: list[str] = []
    for line in told:
        if lines and line.startswith("  ") and not line.startswith("   "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return lines


def tell_line(line: str, style: str = "") -> None:
    """One told line, wrapped; its first word stands out where it is a label."""
    label, colon, rest = line.partition(": ")
    width = min(terminal.columns() - 1, 110)
    if label == "your line":  # code is not wrapped
        terminal.say((f"{label}:", "bold"), " " + terminal.cut(rest, width - len(label) - 2))
        return
    if line.startswith(" "):
        terminal.say(line)
        return
    first, *more = terminal.wrapped(line, width, "", "  ")
    if style or not colon or (" " in label.strip() and label != "not written yet"):
        terminal.say((first, style))
    elif label == "next":
        terminal.say((f"{label}: ", "bold"), (rest, "bold cyan"))
        return
    else:
        terminal.say((f"{label}:", "bold"), first.removeprefix(f"{label}:"))
    for line in more:
        terminal.say((line, style))


def tell_printed(printed: str) -> None:
    terminal.say(("your code printed:", "bold"))
    for line in printed.splitlines():
        terminal.say("  ", terminal.cut(line, terminal.columns() - 3))


def tell_count(verdict: Verdict) -> None:
    """How much of the kata holds, and how long it took."""
    marks = list(verdict.clauses.values())
    tests = [record["outcome"] for record in verdict.records]
    known = verdict.outcome in (IS_GREEN, IS_RED)
    ended = f"{len(tests)} test{'' if len(tests) == 1 else 's'} ended"
    parts = [
        f"{marks.count(PASSED)} of {len(marks)} clauses",
        f"{tests.count(PASSED)} of {len(tests)} tests" if known else ended,
        f"{verdict.seconds:.1f} s",
    ]
    word, style = {IS_GREEN: ("green", "bold green"), IS_RED: ("red", "bold red")}.get(
        verdict.outcome, ("no verdict", "bold yellow")
    )
    terminal.say((word, style), "  ", f" {terminal.glyph('dot')} ".join(parts))
    skipped = Counter(" ".join(r["told"]) for r in verdict.records if r["outcome"] not in (PASSED, FAILED))
    for why, times in skipped.items():
        told = f"skipped, {times} test{'' if times == 1 else 's'}: {why}"
        terminal.say((terminal.cut(told, terminal.columns() - 1), "dim"))


def celebrate(kata: Kata) -> None:
    """What a green kata opens."""
    found = standings()
    upcoming, name = next_of(found), curriculum.short(kata)
    terminal.say(
        (f"Every clause of {name} holds. Well done.", "bold green"), f" `dojo diff {name}` shows the reference."
    )
    if kata.address in TRAINED:
        terminal.say(f"{name} is a piece of your own GPT from now on: `dojo train --quick` has it learn a text.")
    terminal.say(*what_next(upcoming))
