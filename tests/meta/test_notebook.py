"""The notebook door: the template opens a kata, and a real kernel writes, tests and explains it."""

import os

import pytest

from tests.meta.scratch import DOUBLING

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install -e '.[notebook]'")
pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install -e '.[notebook]'")
nbformat = pytest.importorskip("nbformat")

WRONG = DOUBLING.replace("number + number", "number + 1")


@pytest.fixture
def notebook(toys):
    """The notebook that `dojo open` writes for doubling, as a function that runs it with other code in its cell."""
    made = toys.run("dojo", "open", "doubling", "--notebook", PATH=str(toys.root))
    path = toys.path("notebooks/toys-doubling.ipynb")
    assert made.stdout == f"{path}\n"
    nbformat.validate(nbformat.read(path, as_version=4))

    def run(monkeypatch, code=None, more=()):
        book = nbformat.read(path, as_version=4)
        cells = [cell for cell in book.cells if cell.source.startswith("%%kata")]
        assert [cell.source.partition("\n")[0] for cell in cells] == ["%%kata toys/doubling"]
        if code is not None:
            cells[0].source = f"%%kata toys/doubling\n{code}"
        book.cells += [nbformat.v4.new_code_cell(source) for source in more]
        for name in [name for name in os.environ if name.startswith(("KATA_", "PYTEST_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PYTHONPATH", str(toys.root))
        monkeypatch.setenv("PYTHONUTF8", "1")
        monkeypatch.setenv("NO_COLOR", "1")
        client = nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(path.parent)}})
        client.execute()
        return ["".join(told(output) for output in cell.outputs) for cell in book.cells if cell.cell_type == "code"]

    return run


def told(output):
    return output.get("text", "") or str(output.get("data", {}).get("text/plain", ""))


def test_a_right_cell_is_green_under_it_and_what_comes_after_can_import_it(toys, notebook, monkeypatch):
    more = ["from katas.toys.doubling import double\ndouble(21)", f"%%kata doubling\n{WRONG}"]
    more.append("from katas.toys.doubling import double\ndouble(21)")
    _, verdict, hint, answer, second, later = notebook(monkeypatch, DOUBLING, more)
    assert "✓ twice  ✓ even" in verdict
    assert "green   2 of 2 clauses" in verdict
    assert "What is three and three?" in hint
    assert (answer, later) == ("42", "22")
    assert second.startswith(
        "katas/toys/doubling.py was replaced; your file before is kept: dojo reset --undo doubling"
    )
    assert toys.read("katas/toys/doubling.py") == WRONG
    toys.run("dojo", "reset", "--undo", "doubling")
    assert toys.read("katas/toys/doubling.py") == DOUBLING


def test_a_wrong_cell_is_red_and_explained_and_an_untouched_one_is_not_written(toys, notebook, monkeypatch):
    _, verdict, _ = notebook(monkeypatch, WRONG)
    assert "✗ twice" in verdict
    assert "twice: The result is number + number." in verdict
    assert "red   " in verdict
    assert '"outcome": "red"' in toys.read(".dojo/toys/doubling/verdict.json")
    _, verdict, _ = notebook(monkeypatch)  # the cell as the template has it: the stub
    assert "not written yet" in verdict


def test_a_cell_without_a_kata_says_what_to_write(notebook, monkeypatch):
    *_, nameless, unknown = notebook(monkeypatch, DOUBLING, ["%%kata\nx = 1", "%%kata dubling\nx = 1"])
    assert nameless == "dojo: name a kata in the first line, such as %%kata attention/causal\n"
    assert unknown == "dojo: no kata is called 'dubling'. Did you mean doubling?\n"


def test_a_notebook_that_is_there_stays_as_it_is(toys, notebook):
    path = toys.write("notebooks/toys-doubling.ipynb", "mine")
    toys.run("dojo", "open", "doubling", "--notebook", PATH=str(toys.root))
    assert path.read_text(encoding="utf-8") == "mine"
