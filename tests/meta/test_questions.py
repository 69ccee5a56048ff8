"""docs/questions/: there are fourteen, and each snippet prints what its page shows."""

import contextlib
import io
import re

import pytest

from dojo import ROOT

FOLDER = ROOT / "docs" / "questions"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.stem != "index")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_snippet_prints_what_the_page_shows(path):
    page = path.read_text(encoding="utf-8")
    ((code, shown),) = re.findall(r"```python\n(.*?)```\n\nIt prints:\n\n```text\n(.*?)```", page, re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, path.name, "exec"), {"__name__": "__main__"})
    assert printed.getvalue() == shown


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_question_leads_to_a_kata(path):
    built = path.read_text(encoding="utf-8").partition("**Build it:** ")[2]
    links = re.findall(r"\]\(\.\./([a-z_0-9/]+)\.md\)", built)
    assert any((ROOT / "solutions" / f"{link}.py").is_file() for link in links)


def test_the_index_lists_the_fourteen_in_order():
    listed = re.findall(r"^([a-z-]+)$", (FOLDER / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    titles = [(FOLDER / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0] for name in listed]
    assert [int(re.match(r"# (\d+)\. ", title)[1]) for title in titles] == list(range(1, 15))
    assert {path.stem for path in PAGES} == set(listed)
