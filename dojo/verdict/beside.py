"""Two solutions of a kata side by side: their verdicts clause by clause, and their code."""

import ast
import contextlib
import difflib
import itertools
import textwrap
from collections.abc import Iterable, Iterator

from dojo.catalog import specification
from dojo.catalog.stubs import last_line
from dojo.learner.standing import NONE, PASSED, UNTESTED
from dojo.system import terminal
from dojo.verdict import render
from dojo.verdict.render import Line
from dojo.verdict.run import Verdict

YOURS, THEIRS = "yours", "theirs"
GAP = " | "
LEAST = 36  # columns for each text; below that the two stand one above the other


def verdicts(yours: Verdict, theirs: Verdict, width: int) -> Iterator[Line]:
    """Each clause with both marks, and what the one whose core is not green fails first."""
    address = yours.kata.address
    further = specification.further_clauses(address)
    tested = [slug for slug in further if {yours.clauses.get(slug), theirs.clauses.get(slug)} - {None, UNTESTED}]
    room = max(len(slug) for slug in specification.clauses(address))
    yield [(f"{'':{room}}  {YOURS:{len(YOURS) + 2}}{THEIRS}", "dim")]
    for slug in [*specification.core_clauses(address), *tested]:
        marks = [one.clauses.get(slug, UNTESTED) for one in (yours, theirs)]
        signs = [(f"{terminal.glyph(mark):{len(YOURS) + 2}}", terminal.STYLES[mark]) for mark in marks]
        tier = [("further", "dim")] if slug in further else []
        yield [(f"{slug:{room}}", "" if marks[0] == marks[1] else "bold"), "  ", *signs, *tier]
    yield []
    for name, one in ((YOURS, yours), (THEIRS, theirs)):
        outcome = "no verdict" if one.outcome == NONE else one.outcome
        held = sum(mark == PASSED for mark in one.core.values())
        style = terminal.STYLES["green" if one.outcome == "green" else "failed"]
        yield [f"{name:{len(THEIRS)}}  ", (outcome, style), f"   {held} of {len(one.core)} clauses"]
    for name, one in ((YOURS, yours), (THEIRS, theirs)):
        told = [
            [line] for text in one.why for line in terminal.wrapped(terminal.harmless(text), width - 2, "  ", "    ")
        ]
        lines = [*told, *render.failures(one, width, verbose=False)]
        yield from [[], [(f"{name}:", "bold")], *lines] if lines else []


def code(yours: str, theirs: str, width: int) -> Iterator[Line]:
    """Both texts without their docstrings, which are the specification; lines that differ are marked."""
    left, right = (bare(text) for text in (yours, theirs))
    half = (width - len(GAP)) // 2
    if half < LEAST:
        yield [(f"{2 * LEAST + len(GAP) + 1} columns show both side by side.", "dim")]
        for line in difflib.unified_diff(left, right, YOURS, THEIRS, lineterm=""):
            yield [(terminal.harmless(line), {"+": "green", "-": "red"}.get(line[:1], ""))]
        return
    yield [(f"{YOURS:{half}}{GAP}{THEIRS}", "bold")]
    for tag, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        same = tag == "equal"
        for mine, other in itertools.zip_longest(_pieces(left[a:b], half), _pieces(right[c:d], half), fillvalue=""):
            yield [(f"{mine:{half}}", "dim" if same else "red"), GAP, (other, "dim" if same else "green")]


def bare(source: str) -> list[str]:
    """The lines of a source without docstrings and empty lines; of one that Python cannot read, all its lines."""
    said: set[int] = set()
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.walk(ast.parse(source)):
            body = getattr(node, "body", None)
            match body[0] if isinstance(body, list) and body else None:
                case ast.Expr(value=ast.Constant(value=str())) as docstring:
                    said.update(range(docstring.lineno, last_line(docstring) + 1))
    lines = enumerate(source.expandtabs(4).split("\n"), 1)
    return [terminal.harmless(line.rstrip()) for number, line in lines if number not in said and line.strip()]


def _pieces(lines: Iterable[str], width: int) -> Iterator[str]:
    """Lines wrapped to the width; what does not fit goes on below, two columns further in."""
    for line in lines:
        indent = " " * min(len(line) - len(line.lstrip()), width // 2)
        yield from textwrap.wrap(
            line.strip(), width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
        )
