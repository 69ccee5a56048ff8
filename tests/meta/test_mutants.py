"""What is drawn from a reference's syntax tree."""

import ast
import textwrap

import pytest

from dojo.catalog.curriculum import katas
from dojo.check.mutants import drawn, mutants


def changes(source):
    return {(mutant.before, mutant.after) for mutant in mutants(textwrap.dedent(source))}


@pytest.mark.parametrize(
    ("statement", "mutated"),
    [
        ("return a < b", "return a <= b"),
        ("return a < b", "return b < a"),
        ("return a == b", "return a != b"),
        ("return a + b", "return a - b"),
        ("return a @ b", "return b @ a"),
        ("return a / b", "return a"),
        ("return -a", "return a"),
        ("return a and b", "return a or b"),
        ("return a[1:]", "return a[2:]"),
        ("return a[1:]", "return a[:]"),
        ("return a[:, 1]", "return a[:, 0]"),
        ("return f(a, b)", "return f(b, a)"),
        ("return f(a, dim=1)", "return f(a)"),
        ("return f(a, keepdim=True)", "return f(a, keepdim=False)"),
        ("return a.contiguous()", "return a"),
        ("return [x for x in a if x]", "return [x for x in a]"),
        ("return max(a, b)", "return min(a, b)"),
        ("return a", "return"),
        ("a += b", "a -= b"),
        ("a = b", "pass"),
        ("f(a)", "pass"),
    ],
)
def test_a_statement_is_mutated(statement, mutated):
    assert (statement, mutated) in changes(f"def g(a, b):\n    {statement}\n")


def test_conditions_are_turned_and_switched_off():
    assert {after for _, after in changes("def g(a):\n    if a:\n        return 1\n")} >= {"if not a:", "if False:"}


def test_defaults_are_mutated():
    assert ("def g(a=False):", "def g(a=True):") in changes("def g(a=False):\n    return a\n")


def test_docstrings_annotations_and_words_of_messages_are_left_alone():
    source = '''
        def g(a: "int | 1") -> "list[2]":
            """Add 1."""
            raise ValueError(f"{a} is below 5")
        '''
    assert {after for _, after in changes(source)} == {"pass", "raise f'{a} is below 5'"}


@pytest.mark.parametrize("kata", katas(), ids=lambda kata: kata.address)
def test_every_mutant_is_valid_python_and_differs_from_all_others(kata):
    source = kata.solution.read_text(encoding="utf-8")
    found = [mutant.source for mutant in mutants(source)]
    assert len(set(found)) == len(found) > 5
    trees = {ast.dump(ast.parse(text)) for text in found}
    assert ast.dump(ast.parse(source)) not in trees


def test_a_sample_is_the_same_each_time():
    source = katas()[0].solution.read_text(encoding="utf-8")
    assert drawn(source, 5) == drawn(source, 5)
    assert len(drawn(source, 5)) == 5
    assert len(drawn(source)) > 20
