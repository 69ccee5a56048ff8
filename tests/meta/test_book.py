"""The book's way to write a kata passes its core: tests/meta/book/PART/NAME.py stands in place of katas/PART/NAME.py.

They are our own writing, from the formulas and descriptions of the book's sections.
"""

from pathlib import Path

import pytest

from dojo.catalog import specification
from dojo.check.trials import Trial, run

BOOK = Path(__file__).parent / "book"
ADDRESSES = [path.relative_to(BOOK).with_suffix("").as_posix() for path in sorted(BOOK.rglob("*.py"))]


@pytest.fixture(scope="module")
def results():
    """What the tests of each kata say of the book's way; what it builds on is the reference."""
    trials = [Trial(one, {"*": "solutions", one: f"file:{BOOK / one}.py"}) for one in ADDRESSES]
    return dict(zip(ADDRESSES, run(trials), strict=True))


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_books_way_passes_the_core(results, address):
    result, core = results[address], specification.core_clauses(address)
    assert not result.ended, result.ended
    assert {clause for clause in result.clauses.values() if clause in core} == {*core}, (
        "not every core clause was tested"
    )
    assert [test for test in result.failed if result.clauses[test] in core] == []
