"""`dojo`: the map tells where you are and what to do next, on every terminal and in every pipe."""

import json
import os
import subprocess
import sys

import pytest

from tests.meta.scratch import DOUBLING


def states(scratch):
    data = json.loads(scratch.run("dojo", "--json").stdout)
    return {kata["kata"].rpartition("/")[2]: kata["state"] for kata in data["katas"]}, data["next"]["command"]


def test_a_fresh_clone(toys):
    ended = toys.run("dojo")
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == [
        "LLM Katas  ░░░░░░░░░░░░░░░░░░░░  0 of 2 green",
        "",
        "                  kata                      clauses  book  min",
        "Toys",
        "  ○ not started   doubling     Doubling      0 of 2          5",
        "  ○ not started   quadrupling  Quadrupling   0 of 1          5",
        "",
        "next: dojo spec doubling  (what to write in katas/toys/doubling.py)",
    ]


def test_a_kata_goes_through_its_states(toys):
    assert states(toys) == ({"doubling": "not started", "quadrupling": "not started"}, "dojo spec doubling")
    toys.write("katas/toys/doubling.py", DOUBLING)
    assert states(toys) == ({"doubling": "edited since", "quadrupling": "not started"}, "dojo test doubling")
    toys.run("dojo", "test", "doubling")
    assert states(toys) == ({"doubling": "green", "quadrupling": "not started"}, "dojo spec quadrupling")
    toys.write("katas/toys/doubling.py", DOUBLING.replace("\n", "\r\n"))
    assert states(toys)[0]["doubling"] == "green", "other line ends are no edit"
    toys.write("katas/toys/doubling.py", DOUBLING.replace("number + number", "number"))
    assert states(toys)[0]["doubling"] == "edited since"
    toys.run("dojo", "test", "doubling")
    assert states(toys) == ({"doubling": "in progress", "quadrupling": "not started"}, "dojo test doubling")
    toys.path("katas/toys/doubling.py").unlink()
    assert states(toys) == ({"doubling": "missing", "quadrupling": "not started"}, "dojo reset doubling")


def test_tests_that_changed_ask_for_a_new_verdict(toys):
    toys.write("katas/toys/doubling.py", DOUBLING)
    toys.run("dojo", "test", "doubling")
    toys.write("tests/toys/test_doubling.py", toys.read("tests/toys/test_doubling.py") + "\n")
    assert states(toys)[0]["doubling"] == "edited since"


def test_a_stub_that_was_tested_is_still_not_started(toys):
    toys.run("dojo", "test", "doubling")
    assert states(toys)[0]["doubling"] == "not started"
    assert "0 of 2" in toys.run("dojo").stdout


def test_all_done(toys):
    for name in ("doubling", "quadrupling"):
        toys.write(f"katas/toys/{name}.py", toys.read(f"solutions/toys/{name}.py"))
        toys.run("dojo", "test", name)
    shown = toys.run("dojo")
    assert "2 of 2 green" in shown.stdout
    assert shown.stdout.splitlines()[-1].startswith("next: every kata is green.")
    ended = toys.run("dojo", "test")
    assert (ended.returncode, ended.stderr) == (
        2,
        "dojo: every kata is done: name the one you mean.  (`dojo test --help` tells more)\n",
    )


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_screen(scratch, columns):
    shown = scratch.run("dojo", COLUMNS=str(columns)).stdout.splitlines()
    table = [line for line in shown if "○" in line]
    assert table
    assert max(map(len, table)) < columns
    assert any(line.split()[-1:] == ["min"] for line in shown) == (columns >= 80)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_encoding_without_the_signs_gets_ascii(toys, encoding):
    shown = toys.run("dojo", PYTHONIOENCODING=encoding)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "o not started" in shown.stdout
    assert "...................." in shown.stdout
    assert toys.run("dojo", "spec", "doubling", PYTHONIOENCODING=encoding).returncode == 0


def test_colour_comes_when_it_is_asked_for_and_goes_with_no_color(toys):
    assert "\x1b[" not in toys.run("dojo").stdout
    assert "\x1b[" in toys.run("dojo", FORCE_COLOR="1", NO_COLOR="", TERM="xterm").stdout
    assert "\x1b[" not in toys.run("dojo", FORCE_COLOR="1", NO_COLOR="1", TERM="xterm").stdout


@pytest.mark.parametrize(
    "damage", ["{}", "[]", '{"outcome": "green", "clauses": [1]}', '{"outcome": 3, "clauses": {}}', "{"]
)
def test_a_damaged_memory_costs_the_verdict_and_nothing_else(toys, damage):
    toys.write("katas/toys/doubling.py", DOUBLING)
    toys.write(".dojo/toys/doubling/verdict.json", damage)
    toys.write(".dojo/toys/doubling/hints.json", damage)
    toys.write(".dojo/reference.json", damage)
    assert states(toys)[0]["doubling"] == "edited since"
    assert toys.run("dojo", "hint", "doubling").returncode == 0
    assert toys.run("dojo", "spec", "doubling").returncode == 0


def test_a_damaged_reference_does_not_hide_the_map(toys):
    toys.write("solutions/toys/quadrupling.py", "def quadruple(:\n")
    assert "quadrupling" in toys.run("dojo").stdout


def test_stubs_are_worked_out_once(toys):
    toys.run("dojo")
    kept = toys.path(".dojo/reference.json").stat().st_mtime_ns
    toys.run("dojo")
    assert toys.path(".dojo/reference.json").stat().st_mtime_ns == kept
    toys.write("solutions/toys/doubling.py", DOUBLING.replace("twice as large", "two times as large"))
    assert states(toys)[0]["doubling"] == "edited since", "the stub is another one now"


def test_nothing_heavy_is_imported(toys):
    for command in ([], ["hint", "doubling"], ["spec", "doubling"], ["reset", "doubling"], ["--help"]):
        code = (
            "import sys; sys.argv = ['dojo', *sys.argv[1:]]\n"
            "from dojo.__main__ import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "heavy = {'torch', 'numpy', 'pytest', 'rich', 'psutil', 'hypothesis'} & set(sys.modules)\n"
            "print(heavy, file=sys.stderr)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code, *command],
            cwd=toys.root,
            env=toys.environment(),
            capture_output=True,
            encoding="utf-8",
        )
        assert ended.stderr == "set()\n", command


@pytest.mark.skipif(os.name == "nt", reason="a pipe of the shell")
def test_a_reader_that_leaves_is_no_error(toys):
    words = f"{sys.executable} -m dojo | head -n 1; {sys.executable} -m dojo --help | true"
    ended = subprocess.run(["sh", "-c", words], cwd=toys.root, env=toys.environment(), capture_output=True, text=True)
    assert ended.stderr == ""
    assert ended.stdout.startswith("LLM Katas")


def test_another_clone_is_noticed(toys, tmp_path):
    (tmp_path / "other" / "katas").mkdir(parents=True)
    (tmp_path / "other" / "katas" / "curriculum.toml").write_text("", encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "dojo"],
        cwd=tmp_path / "other" / "katas",
        env=toys.environment(PYTHONPATH=str(toys.root)),
        capture_output=True,
        encoding="utf-8",
    )
    assert ended.stderr.startswith(f"note: this is the dojo of {toys.root}; for {tmp_path / 'other'} run")
    assert ended.returncode == 0
