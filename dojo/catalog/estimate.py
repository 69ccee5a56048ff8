"""How many minutes a first attempt at a kata's core takes: an estimate by a formula, until people have been timed."""

import ast

from dojo.catalog import specification
from dojo.catalog.curriculum import Kata
from dojo.catalog.stubs import NOT_WRITTEN, stub_of

READING, A_CLAUSE, A_LINE, AN_IDEA = 5, 1.5, 0.4, 5  # minutes
STEP = 5


def minutes(kata: Kata) -> int:
    """READING, and for each clause of the core, each line to write, and each idea that is new, some more."""
    core = len(specification.core_clauses(kata.address))
    exact = READING + A_CLAUSE * core + A_LINE * lines_to_write(kata) + AN_IDEA * kata.new
    return max(STEP * round(exact / STEP), STEP)


def lines_to_write(kata: Kata) -> int:
    """The lines of code that the reference has in place of each body that the stub leaves open."""
    solution = kata.solution.read_text(encoding="utf-8")
    stub = stub_of(solution)
    return _lines_of_code(solution) - _lines_of_code(stub) + stub.count(NOT_WRITTEN)


def _lines_of_code(source: str) -> int:
    """The lines with code: no comments, docstrings or blank lines."""
    return len(ast.unparse(_without_docstrings(ast.parse(source))).splitlines())


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0] = ast.Pass()
    return tree
