"""`dojo report`: every kata that is begun, at once."""

import json

from tests.meta.scratch import DOUBLING


def test_only_what_is_begun_is_tested_and_the_map_follows(toys):
    untouched = toys.run("dojo", "report").stdout
    assert untouched == toys.run("dojo").stdout
    toys.write("katas/toys/doubling.py", DOUBLING)
    shown = toys.run("dojo", "report").stdout
    assert shown.splitlines()[0] == "green       toys/doubling  2 of 2 clauses"
    assert "quadrupling" not in shown.splitlines()[1]
    assert shown.endswith(toys.run("dojo").stdout)
    assert "1 of 2 green" in shown


def test_a_kata_in_the_making_is_no_error(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("number + number", "3 * number"))
    done = toys.run("dojo", "report")
    assert done.returncode == 0
    assert done.stdout.startswith("red         toys/doubling  0 of 2 clauses\n")


def test_a_kata_that_ends_the_process_is_told_and_the_others_go_on(toys):
    toys.write("katas/toys/doubling.py", "import os\nos._exit(0)\n")
    toys.write(
        "katas/toys/quadrupling.py", "from .doubling import double\n\n\ndef quadruple(number):\n    return 4 * number\n"
    )
    lines = toys.run("dojo", "report").stdout.splitlines()
    assert lines[0].startswith("no verdict  toys/doubling")
    assert lines[1].startswith("green       toys/quadrupling")


def test_the_map_as_markdown_is_appended_to_a_file(toys):
    toys.write("summary.md", "before\n")
    toys.write("katas/toys/doubling.py", DOUBLING)
    assert toys.run("dojo", "report", "--markdown", "summary.md").returncode == 0
    page = toys.read("summary.md")
    assert page.startswith("before\n## LLM Katas\n\n1 of 2 katas green.\n")
    assert "| ✅ green | Doubling (`toys/doubling`) | 2 of 2 |" in page
    assert "| ⬜ not started | Quadrupling (`toys/quadrupling`) | 0 of 1 |" in page
    assert page.endswith("Next: `dojo spec quadrupling`\n")


def test_a_file_that_cannot_be_written_is_said(toys):
    done = toys.run("dojo", "report", "--markdown", "none/summary.md")
    assert done.returncode == 2
    assert done.stderr.startswith("dojo: none")
    assert "Traceback" not in done.stderr


def test_scripts_get_json(toys):
    toys.write("katas/toys/doubling.py", DOUBLING)
    data = json.loads(toys.run("dojo", "report", "--json").stdout)
    assert data["done"] == 1
    assert data["katas"][0]["state"] == "green"
