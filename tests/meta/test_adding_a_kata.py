"""The page that says how to add a kata holds: its own example, taken from the page, passes every proof of the page."""

import re

import pytest

from dojo import ROOT
from tests.meta.scratch import Scratch

PAGE = ROOT / "docs" / "contributing" / "adding-a-kata.md"


@pytest.fixture(scope="module")
def added(tmp_path_factory) -> Scratch:
    """A copy of the repository with the page's example added to it, block by block."""
    blocks = re.findall(r"```(python|toml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    solution, test, figure = (text for language, text in blocks if language == "python")
    entry, mistakes, excuse = (text for language, text in blocks if language == "toml")
    scratch = Scratch(tmp_path_factory.mktemp("added") / "clone")
    assert 'address = "foundations/averaging"' in entry
    scratch.write("katas/curriculum.toml", "")
    scratch.add("foundations/averaging", solution, test)
    scratch.write("tests/foundations/averaging.mistakes.toml", mistakes + excuse)
    scratch.write("docs/figures/foundations/averaging.py", figure)
    return scratch


@pytest.mark.parametrize(
    "argv",
    [
        ("mistakes", "averaging", "--drawn", "all", "--write"),
        ("stubs", "averaging"),
        ("hollow", "averaging"),
        ("figures", "--write", "averaging"),
    ],
)
def test_the_pages_example_passes_the_pages_proofs(added, argv):
    run = added.run("dojo.check", *argv)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_page_names_every_check():
    page = PAGE.read_text(encoding="utf-8")
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    (checks,) = re.findall(r"^env_list = (.*)$", tox, re.MULTILINE)
    assert [check for check in checks.split(", ") if f"tox -e {check}" not in page] == []
