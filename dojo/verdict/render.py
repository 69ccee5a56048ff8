"""Explanations and verdicts as lines for the width at hand; nothing is wrapped before this."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from dojo.catalog import curriculum
from dojo.catalog.curriculum import Kata
from dojo.learner.standing import FAILED, GREEN, PASSED, RED, command_for, next_of, standings
from dojo.system import terminal
from dojo.system.terminal import Part
from dojo.verdict.command import FURTHER
from dojo.verdict.diagnosis import fails, sentences
from dojo.verdict.explain import UNWRITTEN, WRONG, Explanation
from dojo.verdict.record import Outcome
from dojo.verdict.run import Verdict

WIDEST = 110
IN_A_PIPE = 100  # columns of plain pytest's text, whoever shows it
INDENT = "  "
Line = Sequence[Part]


def as_text(found: Explanation, names: Sequence[str] = ()) -> str:
    """An explanation as plain text, for pytest and for editors."""
    lines = ["".join(part if isinstance(part, str) else part[0] for part in line) for line in explanation(found, names)]
    return "\n".join([*lines, f"next: {found.next}"] if found.next else lines)


def explanation(found: Explanation, names: Sequence[str] = (), width: int = IN_A_PIPE) -> Iterable[Line]:
    """An explanation in lines, all but what to do next."""
    first, *more = terminal.wrapped(_printable(found.headline), width, "", INDENT)
    slug, colon, rest = first.partition(": ")
    yield [(f"{slug}:", "bold red"), f" {rest}"] if colon and " " not in slug else [(first, "bold")]
    yield from ([line] for line in more)
    for line in found.code:
        yield [INDENT * 2, terminal.cut(_printable(line), width - 2 * len(INDENT))]
    if found.place:
        place, code = f"your line: {found.place}", _printable(found.line)
        if len(INDENT + place) + 20 < width:
            yield [INDENT, f"{place}  ", terminal.cut(code, width - len(INDENT + place) - 2)]
        else:
            yield from ([line] for line in terminal.wrapped(place, width, INDENT, INDENT * 2))
            yield [INDENT * 2, terminal.cut(code, width - 2 * len(INDENT))]
    for detail in found.details:
        yield from ([line] for line in terminal.wrapped(_printable(detail), width, INDENT, INDENT * 2))
    yield from named(names, width)


def named(names: Sequence[str], width: int) -> Iterable[Line]:
    """What the known mistakes say, below a failure."""
    for sentence in names:
        for line in terminal.wrapped(sentence, width, INDENT, INDENT * 2):
            yield [(line, "bold")]


def verdict(found: Verdict, where: str, width: int, verbose: bool = False) -> list[Line]:
    """A verdict: the kata, its clauses, the first failure in full and the others in a line each, and the count.

    A diagnosis that is there is told with the failures.
    """
    lines: list[Line] = _heading(found.kata.title, where, width)
    if found.borrowed:
        text = f"not green yet, so taken from the reference: {', '.join(found.borrowed)}"
        lines += [[(line, "dim")] for line in terminal.wrapped(text, width, "", INDENT)]
    if found.tests:
        lines += marks(found.core, width)
        if found.tiers == FURTHER and found.further:
            lines += marks(found.further, width, "further: ")
    if found.why:
        first, *rest = found.why
        lines += [[], *([(line, "bold red")] for line in terminal.wrapped(_printable(first), width, "", INDENT))]
        lines += [[line] for text in rest for line in terminal.wrapped(_printable(text), width, INDENT, INDENT * 2)]
    lines += failures(found, width, verbose)
    lines += output(found) if verbose else []
    return [*lines, *ending(found, width)]


def ending(found: Verdict, width: int) -> list[Line]:
    """The last lines of a verdict."""
    return [[], *count(found, width), *skips(found, width)]


def heading(kata: Kata, width: int, where: str = "") -> list[Line]:
    """The title of a kata, and its file, or where the file is that stands in its place."""
    return _heading(kata.title, where or f"katas/{kata.address}.py", width)


def output(found: Verdict) -> list[Line]:
    """What pytest printed, once the run has ended."""
    text = found.output.rstrip().splitlines()
    return [[], [("what pytest printed", "bold")], *([_printable(line)] for line in text)] if text else []


def _heading(title: str, where: str, width: int) -> list[Line]:
    gap = min(width, 80) - len(title) - len(where)
    return [[(title, "bold"), " " * gap, (where, "dim")]] if gap >= 2 else [[(title, "bold")], [(where, "dim")]]


def marks(found: dict[str, str], width: int, heading: str = "") -> list[Line]:
    """Clauses with their marks, as many in a line as fit."""
    lines: list[list[Part]] = [[]]
    room = width - len(heading)
    for slug, mark in found.items():
        text = f"{terminal.glyph(mark)} {slug}"
        if lines[-1] and room < len(INDENT + text):
            lines.append([])
            room = width - len(heading)
        lines[-1] += [INDENT if lines[-1] else "", (text, terminal.STYLES[mark])]
        room -= len(INDENT + text)
    return [[(heading if place == 0 else " " * len(heading), "dim"), *line] for place, line in enumerate(lines)]


def failures(found: Verdict, width: int, verbose: bool) -> list[Line]:
    """What is not written yet, the first failure in full, and the other clauses in a line each."""
    explained = [(test, test.explanation) for test in found.failures if test.explanation]
    unwritten = [one for _, one in explained if one.kind == UNWRITTEN]
    rest = [(test, one) for test, one in explained if one.kind != UNWRITTEN]
    lines: list[Line] = [[]] if unwritten else []
    for one in dict.fromkeys(unwritten):
        lines += explanation(one, width=width)
    shown: set[Explanation] = set()
    for test, one in rest:
        if one in shown or (shown and not verbose):
            continue
        shown.add(one)
        lines += [[], *([[(test.id, "dim")]] if verbose else []), *explanation(one, names_of(found, test), width)]
        lines += [[INDENT, "your code printed:"]] if test.printed else []
        lines += [[INDENT * 2, _printable(line)] for text in test.printed for line in text.splitlines()]
    if rest and not verbose:
        lines += _others([test for test, _ in rest], width)
        lines += [] if names_of(found, rest[0][0]) else named_after(found, width)
    outside = [test for test in found.failures if test.explanation is None]  # not in any test's own code
    return [*lines, *([_printable(test.why)] for test in outside[:1])]


def names_of(found: Verdict, test: Outcome) -> list[str]:
    return sentences(found.kata.address, test.id, found.named) if found.named else []


def _others(failed: Sequence[Outcome], width: int) -> list[Line]:
    """The clauses that failed beside the first one, those with the same words in one line."""
    first, groups = failed[0], defaultdict[str, list[str]](list)
    told = {first.clause}
    for test in failed[1:]:
        if test.clause not in told:
            told.add(test.clause)
            groups[_essence(test, first)].append(test.clause)
    groups.pop("", None)
    lines: list[Line] = [[], [("also failing", "bold")]] if groups else []
    for text, slugs in groups.items():
        slug = f"{INDENT}{', '.join(slugs)}: "
        head, *more = terminal.wrapped(slug + text, width, "", INDENT * 2)
        lines += [[(head[: len(slug)], "red"), head[len(slug) :]], *([line] for line in more)]
    return lines


def _essence(test: Outcome, first: Outcome) -> str:
    """One line that says why a test failed; empty where it says nothing that the first failure did not say."""
    explanation = test.explanation
    if explanation is None or explanation == first.explanation:
        return ""
    return _printable(explanation.details[0] if explanation.kind == WRONG else explanation.headline)


def named_after(found: Verdict, width: int) -> list[Line]:
    """What the known mistakes say, below a verdict that was shown before they were looked for."""
    failed = [test for test in found.failures if test.explanation and test.explanation.kind == WRONG]
    first = next((test for test in failed if names_of(found, test)), None)
    if first is None or found.named is None:
        return []
    about = "" if first.clause == failed[0].clause else f"{first.clause}: "
    lines = list(named([about + name for name in names_of(found, first)], width))
    whole, address = found.named.whole, found.kata.address
    also = dict.fromkeys(t.clause for t in failed if whole and fails(address, whole, t.id) and t.clause != first.clause)
    if also:
        lines += [[line] for line in terminal.wrapped(f"It also fails {', '.join(also)}.", width, INDENT, INDENT * 2)]
    return lines


def count(found: Verdict, width: int) -> list[Line]:
    """The outcome, how many clauses hold, how long it took, and what to do next."""
    held = [mark == PASSED for mark in found.wanted.values()]
    word, style = {GREEN: ("green", "bold green"), RED: ("red", "bold red")}.get(
        found.outcome, ("no verdict", "bold magenta")
    )
    text = f"   {sum(held)} of {len(held)} clauses   {found.seconds:.1f} s"
    following = next_command(found)
    gap = max(40 - len(word + text), 3)
    if not following:
        return [[(word, style), text]]
    if len(word + text) + gap + len(following) + 6 > width:
        return [[(word, style), text], [("next: ", "bold"), (following, "bold cyan")]]
    return [[(word, style), text, " " * gap, ("next: ", "bold"), (following, "bold cyan")]]


def next_command(found: Verdict) -> str:
    """What to type next: after a green verdict, for the next kata."""
    if found.outcome == GREEN and found.clause:
        return f"dojo test {curriculum.short(found.kata)}"
    if found.outcome == GREEN:
        upcoming = next_of(standings())
        return command_for(upcoming) if upcoming else "dojo train"
    explained = [test.explanation for test in found.failures if test.explanation]
    wrong = [explanation for explanation in explained if explanation.kind != UNWRITTEN]
    return next((explanation.next for explanation in [*wrong, *explained]), "")


def further(found: Verdict, width: int) -> list[Line]:
    """The further clauses as an offer, below a green core."""
    if not found.further:
        return []
    name, held = curriculum.short(found.kata), sum(mark == PASSED for mark in found.further.values())
    total, command = len(found.further), (f"dojo test {name} --further", "cyan")
    if found.complete:
        parts: list[Part] = [(f"complete: all {total} further clauses hold, too.", "green")]
    elif found.complete is None:
        parts = [("further: no verdict", "magenta"), "   ", command, " tells why"]
    else:
        text = f"further: {held} of {total} hold"
        parts = [text, " " * max(35 - len(text), 3), command, " shows the rest"]
    return list(terminal.flowed(parts, width))


def skips(found: Verdict, width: int) -> list[Line]:
    """Why tests were skipped, each reason once."""
    skipped = Counter(test.why for test in found.tests if test.outcome not in (PASSED, FAILED))
    lines: list[Line] = []
    for why, times in skipped.items():
        text = f"skipped, {times} test{'' if times == 1 else 's'}: {_printable(why)}"
        lines += [[(line, "dim")] for line in terminal.wrapped(text, width, "", INDENT)]
    return lines


def _printable(text: str) -> str:
    """A text of a learner's without control characters, which could change the terminal."""
    return terminal.harmless(re.sub(r"[\t\x0b\x0c]", " ", text))
