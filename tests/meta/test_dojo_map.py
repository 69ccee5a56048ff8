"""`dojo`: the map tells where you are and what to do next, on every terminal and in every pipe."""

import contextlib
import io
import json
import os
import subprocess
import sys

import pytest

from dojo.catalog.curriculum import katas, short
from dojo.commands import the_map
from dojo.learner.standing import DONE, NOT_STARTED, Standing
from dojo.system import terminal
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
        "                 kata                      clauses  book  min",
        "Toys",
        "  ○ not started  doubling     Doubling      0 of 2          5",
        "  ○ not started  quadrupling  Quadrupling   0 of 1          5",
        "",
        "next: dojo spec doubling  (what to write in katas/toys/doubling.py)",
    ]


def test_a_kata_goes_through_its_states(toys):
    assert states(toys) == ({"doubling": "not started", "quadrupling": "not started"}, "dojo spec doubling")
    toys.write("katas/toys/doubling.py", DOUBLING)
    assert states(toys) == ({"doubling": "in progress", "quadrupling": "not started"}, "dojo test doubling")
    toys.run("dojo", "test", "doubling")
    assert states(toys) == ({"doubling": "green", "quadrupling": "not started"}, "dojo spec quadrupling")
    toys.write("katas/toys/doubling.py", DOUBLING.replace("\n", "\r\n"))
    assert states(toys)[0]["doubling"] == "green", "other line ends are no edit"
    toys.write("katas/toys/doubling.py", DOUBLING.replace("number + number", "number"))
    assert states(toys)[0]["doubling"] == "edited"
    toys.run("dojo", "test", "doubling")
    assert states(toys) == ({"doubling": "in progress", "quadrupling": "not started"}, "dojo test doubling")
    toys.path("katas/toys/doubling.py").unlink()
    assert states(toys) == ({"doubling": "missing", "quadrupling": "not started"}, "dojo reset doubling")


def test_without_a_name_it_is_the_file_saved_last_that_its_verdict_does_not_know(toys):
    for place, name in enumerate(("doubling", "quadrupling")):
        path = toys.write(
            f"katas/toys/{name}.py", toys.read(f"solutions/toys/{name}.py").replace("return", "return 1 +")
        )
        os.utime(path, (1000 + place, 1000 + place))
    ended = toys.run("dojo", "test")
    assert (ended.stderr, ended.stdout.split()[0]) == ("quadrupling: saved last\n", "Quadrupling")
    ended = toys.run("dojo", "test")
    assert (ended.stderr, ended.stdout.split()[0]) == ("doubling: saved last\n", "Doubling")
    assert toys.run("dojo", "spec").stderr == "quadrupling: saved last\n", "both have their verdict"
    assert states(toys)[1] == "dojo test quadrupling"
    assert toys.run("dojo", "next").stdout.splitlines()[-1] == "next: dojo test quadrupling"
    toys.write("katas/toys/doubling.py", DOUBLING)
    toys.run("dojo", "test")
    assert states(toys) == ({"doubling": "green", "quadrupling": "in progress"}, "dojo test quadrupling")


def test_status_list_and_help_are_what_their_names_say(toys):
    assert toys.run("dojo", "status").stdout == toys.run("dojo").stdout == toys.run("dojo", "list").stdout
    assert toys.run("dojo", "help").stdout == toys.run("dojo", "--help").stdout
    assert toys.run("dojo", "help", "spec").stdout == toys.run("dojo", "spec", "--help").stdout
    assert json.loads(toys.run("dojo", "next", "--json").stdout)["next"]["command"] == "dojo spec doubling"
    assert toys.run("dojo", "help", "tset").stderr.startswith("dojo: no command is called 'tset'. Did you mean test")


def test_tests_that_changed_ask_for_a_new_verdict(toys):
    toys.write("katas/toys/doubling.py", DOUBLING)
    toys.run("dojo", "test", "doubling")
    toys.write("tests/toys/test_doubling.py", toys.read("tests/toys/test_doubling.py") + "\n")
    assert states(toys)[0]["doubling"] == "edited"


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
    assert toys.run("dojo", "next").stdout == shown.stdout.splitlines()[-1] + "\n"
    ended = toys.run("dojo", "test")
    assert (ended.returncode, ended.stderr) == (
        2,
        "dojo: every kata is done: name the one you mean.  (`dojo test --help` tells more)\n",
    )


def drawn(done, columns=80, lines=24, whole=False):
    """What the map shows when so many katas are green, in lines."""
    screen = {"COLUMNS": str(columns), "LINES": str(lines)}
    found = [Standing(kata, DONE if place < done else NOT_STARTED, 0, 5, 0, 5) for place, kata in enumerate(katas())]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        for name, value in screen.items():
            patch.setenv(name, value)
        patch.setattr(terminal, "_speaks_unicode", lambda: True)
        the_map.tell(found, whole)
    return out.getvalue().splitlines(), the_map.next_of(found)


@pytest.mark.parametrize("lines", [18, 24, 40])
@pytest.mark.parametrize("columns", [60, 80])
def test_bar_and_next_kata_are_on_every_screen(columns, lines):
    for done in range(len(katas()) + 1):
        shown, upcoming = drawn(done, columns, lines)
        assert len(shown) < lines, f"{done} green: no room for the prompt"
        assert max(map(len, shown)) < columns
        assert f"{done} of {len(katas())} green" in shown[0]
        assert ("█" in shown[0]) == (done > 0)
        if upcoming:
            assert any(short(upcoming.kata) in line.split() and "○" in line for line in shown)
            assert any(line.startswith("next: dojo ") for line in shown)


def test_a_part_that_is_done_or_far_away_is_one_line():
    shown, _ = drawn(done=9)
    assert "✓ Foundations  3 of 3 green" in shown
    assert "○ Fine-tuning  0 of 5 green, about 4 hours left" in shown
    assert shown[0].endswith("all: dojo list")


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_list_shows_every_kata_and_breaks_no_title_within_a_word(columns):
    shown, _ = drawn(9, columns, whole=True)
    table = [line for line in shown if "○" in line or "✓" in line]
    assert len(table) == len(katas())
    assert max(map(len, shown)) < columns
    for line, kata in zip(table, katas(), strict=True):
        begun = line.partition("...")[0].split()[-1]
        assert kata.title in line or (columns < 80 and begun in kata.title.split()), line


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
    assert states(toys)[0]["doubling"] == "in progress"
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
    assert states(toys)[0]["doubling"] == "in progress", "the stub is another one now"


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
