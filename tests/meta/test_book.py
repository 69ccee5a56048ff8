"""The book's way to write a kata passes its core: tests/meta/book/PART/NAME.py stands in place of katas/PART/NAME.py.

They are our own writing, from the formulas and descriptions of the book's sections.
"""

import re
from pathlib import Path

import pytest

from dojo.catalog import specification
from dojo.check.trials import Trial, run
from tests.meta.test_book_page import SECTIONS

# The book calls PyTorch's own here, or lacks a part altogether; what it has of a clause stands on the page in words.
OTHERWISE = {
    "attention/trainable", "finetuning/preference", "foundations/autograd", "pretraining/checkpoint",
    "pretraining/gpt2_weights", "pretraining/loss", "pretraining/optimizer", "pretraining/schedule",
    "text/bpe_tokenizer", "text/bpe_training",
}  # fmt: skip
HOLD = {"finetuning/classification": {"bias"}, "finetuning/lora": {"in-place"}, "text/tokenizer": {"unicode-spaces"}}
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


@pytest.mark.parametrize("address", [address for address in ADDRESSES if address not in OTHERWISE])
def test_the_page_names_the_further_clauses_that_the_books_way_lacks(results, address):
    result, further = results[address], {*specification.further_clauses(address)}
    (text,) = (text for _, text in SECTIONS if f"({address}.md)" in text)
    named = further & set(re.findall(r"\*\*([a-z0-9-]+)\*\*", text))
    assert named - HOLD.get(address, set()) == further & {result.clauses[test] for test in result.failed}
