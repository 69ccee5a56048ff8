"""docs/book.md names clauses by their slugs: each is one of the kata that its section links to."""

import re

import pytest

from dojo import ROOT
from dojo.catalog import specification

PAGE = (ROOT / "docs" / "book.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^### (?P<title>.*)\n(?P<text>(?:(?!^##).*\n?)*)", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("title", "text"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_a_section_names_clauses_that_exist(title, text):
    katas = re.findall(r"\]\((\w+/\w+)\.md\)", text)
    further = {slug for kata in katas for slug in specification.further_clauses(kata)}
    core = {slug for kata in katas for slug in specification.core_clauses(kata)}
    named = set(re.findall(r"\*\*([a-z0-9-]+)\*\*", text))
    assert named <= further | core, f"no clauses of {katas}: {sorted(named - further - core)}"
