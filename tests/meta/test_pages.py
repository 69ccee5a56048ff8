"""What docs/pages.py puts into the pages: each clause beside its why, and figures whose text is text."""

import html
import re
from xml.etree import ElementTree

import pytest

from docs import pages
from dojo import ROOT
from dojo.catalog.curriculum import katas
from dojo.catalog.specification import clauses

FIGURES = sorted((ROOT / "docs" / "figures").rglob("*.svg"))


@pytest.mark.parametrize("kata", katas(), ids=lambda kata: kata.address)
def test_each_clause_stands_beside_its_why(kata):
    shown = pages.complete(kata.address, kata.page.read_text(encoding="utf-8"))
    found = re.findall(r'^- \*\*([a-z0-9-]+)\*\* <span class="clause">(.*)</span>\n\n  \S', shown, re.MULTILINE)
    plain = {slug: re.sub(r"\\(.)", r"\1", sentence) for slug, sentence in found}
    assert plain == clauses(kata.address)


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_a_figure_in_a_page_is_text_without_a_card(path):
    drawn = pages.inline(path, 'what it "shows"')
    assert html.unescape(re.search(r'aria-label="([^"]*)"', drawn)[1]) == 'what it "shows"'
    tree = ElementTree.fromstring(drawn[drawn.index("<svg") : drawn.rindex("</div>")])
    assert any(element.text for element in tree.iter("{http://www.w3.org/2000/svg}text"))
    assert "prefers-color-scheme" not in drawn
    assert 'id="patch_1"' not in drawn
    names = re.findall(r' id="([^"]+)"', drawn)
    assert len(names) == len(set(names))
    if "drawing" in drawn:  # rich names one clip more than it has
        assert set(re.findall(r"url\(#([^)]+)\)", drawn)) <= set(names)


def test_an_index_lists_its_katas():
    first = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert "\nfoundations/index\n" in pages.complete("index", first)
    part = (ROOT / "docs" / "gpt" / "index.md").read_text(encoding="utf-8")
    assert "\nlayernorm\n" in pages.complete("gpt/index", part)


def test_the_glossary_knows_every_axis_of_the_reference():
    shapes = re.compile(r'\[[\w.]+, "([^"]*)"\]')
    sources = (kata.solution.read_text(encoding="utf-8") for kata in katas())
    used = {axis for source in sources for shape in shapes.findall(source) for axis in shape.split()}
    known = re.findall(r"`([^`]+)`", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
    assert {axis for axis in used if not axis.isdigit()} <= set(known)
