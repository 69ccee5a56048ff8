"""`dojo spec`: what a kata asks for, from the reference's docstrings, with the marks of the last verdict."""

import ast
import re
import textwrap
from itertools import pairwise, takewhile

import click

from dojo.catalog import curriculum, specification
from dojo.catalog.curriculum import Kata
from dojo.cli import json_option, kata_argument
from dojo.learner.standing import UNTESTED, fresh, last_verdict, stub_text
from dojo.system import terminal

APART = re.compile(r"[*-]|[A-Z][A-Za-z ]*:( |$)")  # the beginning of a line that is not a part of the paragraph above
COLUMNS = re.compile(" {3,}")  # what separates the columns of a table


@click.command()
@kata_argument()
@json_option()
def command(kata: Kata, as_json: bool) -> int | None:
    """Show a kata's specification, each clause with its mark from the last verdict.

    It is read from the reference, so that an edited docstring in your file changes nothing.
    """
    try:
        clauses, stub = specification.clauses(kata.address), stub_text(kata)
    except (OSError, SyntaxError, ValueError) as error:
        raise click.ClickException(f"solutions/{kata.address}.py cannot be read: {error}") from None
    verdict = last_verdict(kata)
    marks = {slug: verdict.get("clauses", {}).get(slug, UNTESTED) for slug in clauses}
    outdated = bool(verdict) and not fresh(kata, verdict)
    if as_json:
        core = specification.core_clauses(kata.address)
        listed = [
            {"clause": slug, "tier": "core" if slug in core else "further", "sentence": text, "mark": marks[slug]}
            for slug, text in clauses.items()
        ]
        data = {"kata": kata.address, "title": kata.title, "clauses": listed, "outdated": outdated}
        data |= {"not_allowed": list(specification.not_allowed(kata.address)), "stub": stub}
        terminal.say_json(data)
        return None
    tell(kata, stub, clauses, marks, outdated)
    return None


def tell(kata: Kata, stub: str, clauses: dict[str, str], marks: dict[str, str], outdated: bool) -> None:
    """The specification on the screen: signatures, sentences, and a mark before each clause."""
    dot = f" {terminal.glyph('dot')} "
    about = [kata.address, *([f"book {kata.book}"] if kata.book else []), f"{kata.minutes} min"]
    terminal.say_wrapped((kata.title, "bold"), "  ", (dot.join(about), "dim"))
    if outdated:
        terminal.say(("the marks are those of the last test; your file or the tests changed since", "magenta"))
    for depth, shown, docstring in definitions(stub):
        indent = "    " * depth
        if shown:
            terminal.say()
            for line in narrowed(shown, terminal.columns() - len(indent)).splitlines():
                terminal.say((indent + line, "bold"))
        tell_docstring(docstring, indent + ("    " if shown else ""), clauses, marks)
    terminal.say()
    yours, why = f"katas/{kata.address}.py", f"docs/{kata.address}.md"
    terminal.say_wrapped(("yours: ", "bold"), yours, dot, ("the why: ", "bold"), why)
    terminal.say_wrapped(("next: ", "bold"), (f"dojo test {curriculum.short(kata)}", "bold cyan"))


def definitions(stub: str) -> list[tuple[int, str, str]]:
    """What a stub shows, from the top: depth, the signature or the constants as written, and the docstring."""
    lines = stub.splitlines()
    found: list[tuple[int, str, str]] = []

    def visit(body: list[ast.stmt], depth: int) -> None:
        for before, node in pairwise([None, *body]):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                signature = textwrap.dedent("\n".join(lines[first - 1 : node.body[0].lineno - 1]))
                found.append((depth, signature, ast.get_docstring(node) or ""))
                if isinstance(node, ast.ClassDef):
                    visit(node.body, depth + 1)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                shown = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
                if isinstance(before, ast.Assign | ast.AnnAssign):
                    shown = f"{found.pop()[1]}\n{shown}"
                found.append((depth, shown, ""))

    visit(ast.parse(stub).body, 0)
    return found


def narrowed(shown: str, width: int) -> str:
    """A signature, with each argument in a line of its own where a line is longer than `width`."""
    if max(map(len, shown.splitlines())) <= width or "def " not in shown:
        return shown
    end = start = shown.index("(", shown.index("def ")) + 1
    depth, cuts = 1, [start]
    while depth:
        depth += (shown[end] in "([") - (shown[end] in ")]")
        if depth == 0 or (depth == 1 and shown[end] == ","):
            cuts.append(end)
        end += 1
    arguments = [shown[first:last].strip(", \n") for first, last in pairwise(cuts)]
    lines = [f"    {argument}," for argument in arguments if argument]
    lines = [line if len(line) <= width else line.replace(" | ", "\n    | ") for line in lines]
    return "\n".join([shown[:start], *lines, shown[end - 1 :]])


def joined(text: str) -> list[str]:
    """The lines of a docstring, those of a paragraph as one. Apart stays what begins with a label, and an example or
    a table, which is indented after an empty line."""
    lines: list[str] = []
    for line in text.splitlines():
        goes_on = lines and lines[-1] and not lines[-1].startswith(" ") and not lines[-1].endswith(":")
        if goes_on and line and not APART.match(line):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    return lines


def tell_docstring(text: str, indent: str, clauses: dict[str, str], marks: dict[str, str]) -> None:
    """A docstring, its paragraphs wrapped to the screen, with the clauses in a column of their own."""
    width = min(terminal.columns() - 1, 110)
    column = max(map(len, clauses), default=0) + 2
    in_clause = False
    lines = joined(text)
    above = takewhile(lambda line: line != "Clauses:", lines)
    too_wide = any(COLUMNS.search(line.strip()) and len(indent + line) > width for line in above)
    for line in lines:
        words = line.split()
        if line.startswith("    ") and words and line[4] != " " and words[0] in clauses:
            slug, in_clause = words[0], True
            hanging = indent + " " * (column + 2)
            first, *more = terminal.wrapped(clauses[slug], width, hanging, hanging)
            mark, style = terminal.glyph(marks[slug]), terminal.STYLES[marks[slug]]
            terminal.say(indent, (mark, style), " ", (f"{slug:{column}}", "bold"), first[len(hanging) :])
            for rest in more:
                terminal.say(rest)
        elif not (in_clause and line.startswith("     ")):
            in_clause = False
            space = indent + line[: len(line) - len(line.lstrip())]
            below = space + "    " if line.startswith("    ") else space
            first, *more = COLUMNS.split(line.strip()) if too_wide else [line]
            for place, cell in [(space, first), *((below, cell) for cell in more)]:
                for rest in terminal.wrapped(cell, width, place, below) if line else [""]:
                    terminal.say(rest.rstrip())
