"""What a release changes reaches a learner's file, and what the learner wrote stays."""

import ast
import itertools

import pytest

from dojo.catalog.curriculum import katas
from dojo.catalog.stubs import stub_of
from dojo.update.merge import CannotMerge, is_written, merged

OLD = '''"""Kata: shapes."""

from torch import Tensor

LIMIT = 10


def area(width: float, height: float) -> float:
    """How much it covers.

    Clauses:
        product  The result is width times height.
    """
    raise NotImplementedError


class Box:
    """A box.

    Clauses:
        sides  It has sides.
    """

    def __init__(self, side: float) -> None:
        raise NotImplementedError

    def volume(self) -> float:
        raise NotImplementedError
'''
NEW = (
    OLD.replace("How much it covers.", "How much of the plane it covers.")
    .replace("width times height.\n", "width times height.\n        sign     A negative side raises a ValueError.\n")
    .replace("        sides  It has sides.", "        sides  It has three sides of one length.")
    .replace("from torch import Tensor", "import torch\nfrom torch import Tensor")
)
MINE = '''"""Kata: shapes."""

import math

from torch import Tensor

LIMIT = 10
_SQUARES = {}  # kept between calls


def area(width: float, height: float) -> float:
    """How much it covers.

    Clauses:
        product  The result is width times height.
    """
    # first the product,
    product = width * height  # in square metres

    # and then no more
    return product


def _helper(x):
    return x ** 3


class Box:
    """A box.

    Clauses:
        sides  It has sides.
    """

    def __init__(self, side: float) -> None:
        self.side = side

    def volume(self) -> float:
        raise NotImplementedError
'''


def bodies(source):
    return [
        [ast.unparse(statement) for statement in node.body[ast.get_docstring(node) is not None :]]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and is_written(node)
    ]


def test_an_untouched_stub_becomes_the_new_one():
    assert merged(OLD, OLD, NEW).text == NEW


def test_docstrings_are_new_and_bodies_stay_to_the_letter():
    result = merged(MINE, OLD, NEW)
    expected = (
        MINE.replace("How much it covers.", "How much of the plane it covers.")
        .replace(
            "width times height.\n", "width times height.\n        sign     A negative side raises a ValueError.\n"
        )
        .replace("        sides  It has sides.", "        sides  It has three sides of one length.")
        .replace("from torch import Tensor\n", "from torch import Tensor\nimport torch\n")
    )
    assert result.text == expected
    assert result.notes == []


def test_a_second_update_changes_nothing():
    once = merged(MINE, OLD, NEW).text
    assert merged(once, NEW, NEW).text == once
    assert merged(once, OLD, NEW).text == once


def test_a_new_function_and_a_new_method_come_where_the_release_has_them():
    outline = 'def outline(width: float) -> float:\n    """Around."""\n    raise NotImplementedError\n\n\n'
    opening = "    def open(self) -> None:\n        raise NotImplementedError\n\n"
    new = NEW.replace("class Box:", f"{outline}class Box:").replace("    def volume", f"{opening}    def volume")
    text = merged(MINE, OLD, new).text
    places = [text.index(part) for part in ("def area", "def outline", "class Box", "def open", "def volume")]
    assert places == sorted(places)
    assert bodies(text) == bodies(MINE)


def test_a_function_before_all_others_comes_first():
    first = 'def unit() -> float:\n    """One."""\n    raise NotImplementedError\n\n\n'
    text = merged(MINE, OLD, NEW.replace("def area", f"{first}def area")).text
    assert text.index("def unit") < text.index("def area")
    assert "# kept between calls" in text


def test_what_is_withdrawn_goes_only_where_it_is_not_written():
    new = NEW[: NEW.index("    def volume")].rstrip() + "\n"
    assert "def volume" not in merged(MINE, OLD, new).text
    written = MINE[: MINE.rindex("raise")] + "return self.side ** 3\n"
    result = merged(written, OLD, new)
    assert "return self.side ** 3" in result.text
    assert result.notes == ["the release no longer has Box.volume; yours stays"]


def test_a_new_signature_comes_unless_the_learner_has_one_of_their_own():
    new = NEW.replace("width: float, height: float)", "width: float, height: float, depth: float = 1.0)")
    result = merged(MINE, OLD, new)
    assert "def area(width: float, height: float, depth: float = 1.0) -> float:" in result.text
    assert result.notes == ["the signature of area is new"]
    result = merged(MINE.replace("def area(width: float, height: float)", "def area(width, height)"), OLD, new)
    assert "def area(width, height) -> float:" in result.text
    assert "How much of the plane" in result.text
    assert result.notes == ["the signature of area is your own and stays; the release has another"]


def test_own_decorators_stay():
    result = merged(MINE.replace("def area", "@functools.cache\ndef area"), OLD, NEW)
    assert "@functools.cache\ndef area" in result.text
    assert "How much of the plane" in result.text
    assert result.notes == []


def test_constants_and_bases_follow_the_release_unless_they_were_changed():
    new = NEW.replace("LIMIT = 10", "LIMIT = 20").replace("class Box:", "class Box(Shape):")
    assert "LIMIT = 20\n_SQUARES" in merged(MINE, OLD, new).text
    assert "class Box(Shape):" in merged(MINE, OLD, new).text
    result = merged(MINE.replace("LIMIT = 10", "LIMIT = 11").replace("class Box:", "class Box(dict):"), OLD, new)
    assert "LIMIT = 11" in result.text
    assert "class Box(dict):" in result.text
    assert len(result.notes) == 2


def test_a_docstring_that_was_deleted_comes_back():
    bare = MINE.replace(MINE[MINE.index('    """How') : MINE.index("    # first")], "")
    assert "How much of the plane it covers." in merged(bare, OLD, NEW).text
    assert "    # first the product," in merged(bare, OLD, NEW).text


@pytest.mark.parametrize(
    "written",
    [
        "def area(width: float, height: float) -> float: return width * height",
        'def area(width: float, height: float) -> float:\n  "mine"\n  return width * height',
        "def area(\n    width: float,\n    height: float,\n) -> float:  # of a box\n\treturn width * height",
        "def area(width: float, height: float) -> float:\n    def inner():\n        return 1\n    return inner()",
        'def area(width: float, height: float) -> float:\n    """Größe."""; größe = "é"; return width',
        "def area(width: float, height: float) -> float:\n    return '''\nnot indented\n'''",
        "def area(width: float, height: float) -> float:\n    return width \\\n  * height",
        "def area(width: float, height: float) -> float:\n    pass",
    ],
    ids=["one line", "two spaces", "tab", "nested", "semicolons", "long string", "backslash", "pass"],
)
def test_however_a_body_is_written_it_stays(written):
    mine = OLD.replace(OLD[OLD.index("def area") : OLD.index("\n\n\nclass Box")], written)
    text = merged(mine, OLD, NEW).text
    assert bodies(text) == bodies(mine)
    assert "How much of the plane it covers." in text


def test_notes_in_a_body_that_is_not_written_stay():
    mine = OLD.replace("    raise", "    # ask about this\n    raise", 1)
    assert "    # ask about this\n    raise NotImplementedError" in merged(mine, OLD, NEW).text


def test_line_ends_stay_those_of_the_learner():
    text = merged(MINE.replace("\n", "\r\n"), OLD, NEW).text
    assert text.count("\r\n") == text.count("\n")
    assert text.replace("\r\n", "\n") == merged(MINE, OLD, NEW).text


def test_a_file_that_python_cannot_read_is_left_alone():
    with pytest.raises(CannotMerge, match="Python cannot read it, line 3"):
        merged("def area(width):\n    x = 1\n  return x\n", OLD, NEW)


@pytest.mark.parametrize("kata", katas(), ids=lambda kata: kata.address)
def test_a_solution_keeps_all_that_it_has_under_a_changed_stub(kata):
    """The hardest learner's file there is: the reference itself, with private helpers, classes and decorators."""
    solution = kata.solution.read_text(encoding="utf-8")
    stub = stub_of(solution)
    changed = stub.replace("Clauses:", "Clauses, anew:")
    assert changed != stub
    result = merged(solution, stub, changed)
    assert result.text == solution.replace("Clauses:", "Clauses, anew:")
    assert result.notes == []


def test_any_mixture_of_written_and_unwritten_bodies_survives():
    names = ["raise NotImplementedError"] * 3
    parts = OLD.split("raise NotImplementedError")
    for choice in itertools.product([False, True], repeat=3):
        own = [f"return {n}  # mine" if written else names[n] for n, written in enumerate(choice)]
        mine = "".join(part + body for part, body in itertools.zip_longest(parts, own, fillvalue=""))
        text = merged(mine, OLD, NEW.replace("import torch\n", "")).text
        assert text == NEW.replace("import torch\n", "").replace("raise NotImplementedError", "{}").format(*own), choice
