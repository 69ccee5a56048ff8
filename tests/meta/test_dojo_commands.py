"""`dojo spec`, `hint`, `reset`, `diff`, `open` and `completion`, and what holds for every command."""

import importlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dojo import ROOT
from dojo.catalog import curriculum, specification
from dojo.catalog.curriculum import find
from dojo.cli import COMMANDS, Deferred, _blamed, dojo
from dojo.commands import spec
from dojo.exits import Exit
from dojo.learner.standing import UNTESTED, stub_text
from dojo.system import terminal
from dojo.verdict import explain
from tests.meta.scratch import DOUBLING

OWN = "def double(number):\n    return number * 2  # mine: ᵀ\n"


def test_spec_shows_the_reference_whatever_the_learners_file_says(toys):
    toys.write("katas/toys/doubling.py", '"""Nothing."""\n')
    lines = toys.run("dojo", "spec", "doubling").stdout.splitlines()
    assert lines == [
        "Doubling  toys/doubling · 5 min",
        "",
        "def double(number: int) -> int:",
        "    Give back a number twice as large.",
        "",
        "    Clauses:",
        "    · twice  The result is number + number.",
        "    · even   The result is even.",
        "",
        "yours: katas/toys/doubling.py · the why: docs/toys/doubling.md",
        "next: dojo test doubling",
    ]


def test_spec_joins_the_lines_of_a_paragraph(toys):
    text = "Give back a number.\n\n    Shapes: an int,\n    and the result.\n    Units: kilograms,\n        or grams."
    toys.write("solutions/toys/doubling.py", DOUBLING.replace("Give back a number twice as large.", text))
    lines = toys.run("dojo", "spec", "doubling").stdout.splitlines()
    assert lines[3:7] == [
        "    Give back a number.",
        "",
        "    Shapes: an int, and the result.",
        "    Units: kilograms, or grams.",
    ]


def test_spec_breaks_what_is_wider_than_the_screen_where_it_has_parts(toys):
    table = "Give back a number.\n\n        one    the first number\n        two, or a pair    the second number"
    source = DOUBLING.replace("Give back a number twice as large.", table)
    source = source.replace("(number: int)", '(number: int = len("a, b"), of: tuple[int, ...] | list[int] = (1, 2))')
    toys.write("solutions/toys/doubling.py", source)
    assert toys.run("dojo", "spec", "doubling", COLUMNS="40").stdout.splitlines()[2:14] == [
        "def double(",
        '    number: int = len("a, b"),',
        "    of: tuple[int, ...]",
        "    | list[int] = (1, 2),",
        ") -> int:",
        "    Give back a number.",
        "",
        "        one",
        "            the first number",
        "        two, or a pair",
        "            the second number",
        "",
    ]


def test_spec_carries_the_marks_of_the_last_verdict(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("number + number", "number + number + (number == 7)"))
    toys.run("dojo", "test", "doubling")
    assert "    ✓ twice " in toys.run("dojo", "spec", "doubling").stdout
    toys.write("katas/toys/doubling.py", DOUBLING)
    shown = toys.run("dojo", "spec", "doubling").stdout
    assert "    ✗ even " in shown
    assert shown.splitlines()[1].startswith("the marks are those of the last test;")
    data = json.loads(toys.run("dojo", "spec", "doubling", "--json").stdout)
    assert data["outdated"] is True
    even = {"clause": "even", "tier": "core", "sentence": "The result is even.", "mark": "failed"}
    assert data["clauses"][1] == even


def words(text):
    return " ".join(re.sub(r"^ *· ", "", text, flags=re.MULTILINE).split())


@pytest.mark.parametrize("kata", curriculum.katas(), ids=lambda kata: kata.address)
def test_spec_fits_the_screen_and_keeps_every_word_and_number(kata, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(terminal, "_speaks_unicode", lambda: True)
    clauses = specification.clauses(kata.address)
    spec.tell(kata, stub_text(kata), clauses, dict.fromkeys(clauses, UNTESTED), outdated=False)
    shown = capsys.readouterr().out
    assert len(re.findall(r"^ {1,12}· ", shown, re.MULTILINE)) == len(clauses) > 0
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert not re.search(r"\d\n +\d{3}\b", shown)
    for docstring in specification.docstrings(kata.address)[1:]:
        assert words(docstring) in words(shown)


def test_hints_climb_one_rung_each_time_and_stay_on_the_last(toys):
    asked = [toys.run("dojo", "hint").stdout.splitlines() for _ in range(4)]
    assert [lines[0] for lines in asked] == [
        "A question  hint 1 of 3 for doubling",
        "A fact  hint 2 of 3 for doubling",
        "A plan  hint 3 of 3 for doubling",
        "A plan  hint 3 of 3 for doubling",
    ]
    assert asked[0][2:] == ["What is three and three?", "", "more: dojo hint doubling"]
    assert asked[2][2:4] == ["1. Take the number.", "2. Add it to itself."]
    assert asked[2][-2].startswith("that is the last hint.")


def test_hints_can_be_shown_again_and_begin_again(toys):
    assert toys.run("dojo", "hint", "--again").stdout.startswith("A question  hint 1 of 3")
    toys.run("dojo", "hint")
    again = toys.run("dojo", "hint", "--again").stdout
    assert [f"hint {number} of 3" in again for number in (1, 2, 3)] == [True, True, False]
    assert toys.run("dojo", "hint", "--reset").stdout == "the hints of doubling begin again.\n"
    data = json.loads(toys.run("dojo", "hint", "--json").stdout)
    assert (data["rung"], data["of"], data["hints"][0]["text"]) == (1, 3, "What is three and three?")
    assert toys.run("dojo", "hint", "--reset", "--again").returncode == 2


def test_a_page_without_hints_says_so(toys):
    ended = toys.run("dojo", "hint", "quadrupling")
    assert (ended.returncode, ended.stderr) == (2, "dojo: docs/toys/quadrupling.md has no hints.\n")


def test_reset_asks_and_undo_brings_everything_back(toys):
    stub = toys.read("katas/toys/doubling.py")
    path = toys.write("katas/toys/doubling.py", OWN.replace("\n", "\r\n"))
    own = path.read_bytes()
    ended = toys.run("dojo", "reset", "doubling", answer="n\n")
    assert (ended.returncode, path.read_bytes()) == (1, own)
    ended = toys.run("dojo", "reset", "doubling")
    assert (ended.returncode, path.read_bytes()) == (2, own)
    assert "pass --yes if you mean it" in ended.stderr
    ended = toys.run("dojo", "reset", "doubling", answer="y\n")
    assert (ended.returncode, toys.read("katas/toys/doubling.py")) == (0, stub)
    assert toys.run("dojo", "reset", "doubling").stdout == "katas/toys/doubling.py is the stub already.\n"
    ended = toys.run("dojo", "reset", "--undo")
    assert (ended.returncode, path.read_bytes()) == (0, own)
    ended = toys.run("dojo", "reset", "--undo")
    assert (ended.returncode, path.read_bytes()) == (2, own)


def test_what_undo_replaces_comes_back_as_well(toys):
    path = toys.write("katas/toys/doubling.py", "first = 1\n")
    toys.run("dojo", "reset", "doubling", "--yes")
    path.write_text("second = 2\n", encoding="utf-8")
    toys.run("dojo", "reset", "--undo", "doubling")
    assert path.read_text(encoding="utf-8") == "first = 1\n"
    toys.run("dojo", "reset", "--undo", "doubling")
    assert path.read_text(encoding="utf-8") == "second = 2\n"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x00" * 10])
def test_reset_keeps_a_file_that_is_no_text(toys, content):
    path = toys.write("katas/toys/doubling.py", content)
    assert toys.run("dojo", "reset", "doubling", "--yes").returncode == 0
    toys.run("dojo", "reset", "--undo")
    assert path.read_bytes() == content


def test_reset_writes_a_missing_file_without_a_question(toys):
    stub = toys.read("katas/toys/doubling.py")
    toys.path("katas/toys/doubling.py").unlink()
    assert toys.run("dojo", "reset", "doubling").returncode == 0
    assert toys.read("katas/toys/doubling.py") == stub


def test_reset_changes_nothing_where_no_backup_can_be_kept(toys):
    toys.write("katas/toys/doubling.py", OWN)
    toys.write(".dojo", "in the way")
    ended = toys.run("dojo", "reset", "doubling", "--yes")
    assert (ended.returncode, toys.read("katas/toys/doubling.py")) == (2, OWN)
    assert ended.stderr.startswith("dojo: .dojo/toys/doubling/backups cannot be made:")


def test_diff_asks_while_the_kata_is_not_green(toys):
    toys.write("katas/toys/doubling.py", OWN)
    ended = toys.run("dojo", "diff", "doubling", answer="n\n")
    assert ended.returncode == 1
    assert "+    return number + number" not in ended.stdout
    ended = toys.run("dojo", "diff", "doubling", answer="y\n")
    assert "+    return number + number" in ended.stdout
    lines = toys.run("dojo", "diff", "doubling", "--yes").stdout.splitlines()
    assert lines[:2] == ["--- katas/toys/doubling.py", "+++ solutions/toys/doubling.py"]
    assert "-    return number * 2  # mine: ᵀ" in lines
    toys.run("dojo", "test", "doubling")
    assert toys.run("dojo", "diff", "doubling").stdout.splitlines() == lines


def test_diff_of_the_reference_itself_and_of_nothing(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("\n", "\r\n"))
    shown = toys.run("dojo", "diff", "doubling", "--yes").stdout
    assert shown == "katas/toys/doubling.py is the reference, line by line.\n"
    toys.path("katas/toys/doubling.py").unlink()
    ended = toys.run("dojo", "diff", "doubling", "--yes")
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.fixture
def editor(tmp_path):
    """An editor that writes down what it was called with."""
    script = tmp_path / "my editor.py"
    script.write_text("import sys; open(sys.argv[1], 'w').write(sys.argv[-1])", encoding="utf-8")
    noted = tmp_path / "noted"
    quoted = (f'"{part}"' for part in (sys.executable, script, noted))
    return " ".join(quoted), noted


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ((), "katas/toys/doubling.py"),
        (("--test",), "tests/toys/test_doubling.py"),
        (("--page",), "docs/toys/doubling.md"),
    ],
)
def test_open_hands_the_file_to_the_editor(toys, editor, options, path):
    words, noted = editor
    ended = toys.run("dojo", "open", "doubling", *options, VISUAL=words, EDITOR="other")
    assert ended.stdout.startswith(f"opening {path} with ")
    assert Path(noted.read_text(encoding="utf-8")) == toys.path(path)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these systems have an opener of their own")
def test_open_prints_the_path_where_there_is_no_editor(toys, tmp_path):
    (tmp_path / "bin").mkdir()
    nothing = {"VISUAL": "", "EDITOR": "", "PATH": str(tmp_path / "bin"), "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    ended = toys.run("dojo", "open", "doubling", **nothing)
    assert (ended.returncode, ended.stdout) == (0, f"{toys.path('katas/toys/doubling.py')}\n")
    ended = toys.run("dojo", "open", "doubling", EDITOR="no-such-editor")
    assert ended.returncode == 2
    assert ended.stderr.startswith("dojo: the editor 'no-such-editor' was not found. The file: ")
    toys.path("katas/toys/doubling.py").unlink()
    ended = toys.run("dojo", "open", "doubling")
    assert "`dojo reset doubling` writes the stub again" in ended.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_the_shell_can_read(toys, shell, tmp_path):
    script = toys.run("dojo", "completion", shell).stdout
    assert "_DOJO_COMPLETE" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script, encoding="utf-8")
        assert subprocess.run([shell, "-n", str(tmp_path / "script")]).returncode == 0


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("dojo test ", ["doubling", "quadrupling"]),
        ("dojo test qu", ["quadrupling"]),
        ("dojo hint toys/d", ["toys/doubling"]),
        ("dojo he", ["help"]),
        ("dojo sp", ["spec"]),
    ],
)
def test_completion_offers_commands_and_katas(toys, words, offered):
    more = {"_DOJO_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    shown = toys.run("dojo", **more).stdout.split()
    assert [line.partition(",")[2] for line in shown] == offered


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("test", "dubling"), "dojo: no kata is called 'dubling'. Did you mean doubling?"),
        (("spec", "xyzzy"), "dojo: no kata is called 'xyzzy'. `dojo` lists them all."),
        (("hint", "toys"), "dojo: 'toys' could be any of: toys/doubling, toys/quadrupling."),
        (("tset",), "dojo: no command is called 'tset'. Did you mean test"),
        (("doubling",), "dojo: no command is called 'doubling'. Did you mean `dojo test doubling`?"),
        (("test", "--time-limit", "0"), "dojo: Invalid value for '--time-limit'"),
        (("test", "--time-limit", "inf"), "dojo: Invalid value for '--time-limit'"),
        (("train", "--learning-rate", "inf"), "dojo: Invalid value for '--learning-rate': inf is not a finite number"),
        (("generate", "--top-p", "nan"), "dojo: Invalid value for '--top-p': nan is not a finite number"),
        (("--json", "spec"), "dojo: write --json after the command"),
        (("reset",), "dojo: which kata?"),
        (("diff",), "dojo: Missing argument 'KATA'."),
    ],
)
def test_a_wrong_call_is_one_line_and_code_2(toys, argv, told):
    ended = toys.run("dojo", *argv)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(told)
    assert ended.stderr.count("\n") == 1


def test_no_number_of_any_command_may_be_nan_or_infinite():
    found, waiting = [], [dojo.get_command(click.Context(dojo), name) for name in COMMANDS]
    while waiting:
        command = waiting.pop()
        if isinstance(command, Deferred):
            command = importlib.import_module(f"dojo.commands.{command.name}").command
        waiting += getattr(command, "commands", {}).values()
        found += [one for one in command.params if isinstance(one.type, click.FloatRange | type(click.FLOAT))]
    assert {"time_limit", "drop_rate", "alpha", "temperature"} <= {one.name for one in found}
    for option in found:
        for value in ("nan", "inf", "-inf"):
            with pytest.raises(click.BadParameter):
                option.type.convert(value, option, None)


def test_help_tells_the_exit_codes(toys):
    shown = toys.run("dojo", "--help").stdout
    for code in ("0 ", "1 ", "2 ", "3 ", "130"):
        assert f"\n    {code}" in shown
    assert toys.run("dojo", "--version").stdout.startswith("dojo 0.")


HELP = """
import contextlib, io, sys
from dojo.cli import COMMANDS, dojo
words = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()):
    dojo.main([*words, "--help"], standalone_mode=False)
own = {name.split(".")[2] for name in sys.modules if name.startswith("dojo.commands.")}
heavy = {"torch", "numpy", "pytest", "rich", "hypothesis", "matplotlib", "psutil", "pydoc_data"} & set(sys.modules)
print(*sorted(own), "|", *sorted(heavy))
"""


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_that_it_does_not_need(command):
    words = [sys.executable, "-c", HELP, *command.split()]
    commands, heavy = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("|")
    assert heavy.split() == [], f"dojo {command} --help imports {heavy}"
    assert command or not commands.split(), f"the list of commands imports {commands}"


def test_a_missing_list_of_katas_is_told(toys):
    toys.path("katas/curriculum.toml").unlink()
    ended = toys.run("dojo")
    assert ended.returncode == 2
    assert "pip install -e" in ended.stderr


@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", lambda: 0)() == 0, reason="nothing is read-only here")
def test_a_read_only_kata_is_told(toys):
    toys.write("katas/toys/doubling.py", OWN)
    toys.path("katas/toys").chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        ended = toys.run("dojo", "reset", "doubling", "--yes")
    finally:
        toys.path("katas/toys").chmod(0o700)
    assert ended.returncode == 2
    assert ended.stderr.startswith("dojo: katas/toys/doubling.py cannot be written")


WITHOUT = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from dojo.__main__ import main
sys.argv = ["dojo", *{argv!r}]
main()
"""


def without(toys, missing, *argv):
    """Run dojo as if these packages were not installed."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing, argv=argv)],
        cwd=toys.root,
        env=toys.environment(),
        capture_output=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    ("missing", "argv"),
    [
        (("click",), ()),
        (("click",), ("test",)),
        (("psutil",), ("test", "doubling")),
        (("pytest",), ("test", "doubling")),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(toys, missing, argv):
    toys.write("katas/toys/doubling.py", DOUBLING)
    ended = without(toys, missing, *argv)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"dojo needs the package '{missing[0]}', which this Python does not have.")
    assert "python -m pip install -c constraints.txt -e ." in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_map_needs_no_package_but_click(toys):
    ended = without(toys, ("rich", "psutil", "pytest", "torch"))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_error_in_a_learners_file_names_its_line_and_its_kata(capsys, monkeypatch):
    path = str(find("causal").stub)
    monkeypatch.setattr(explain, "served_files", lambda: {path})
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile("1 / 0", path, "exec"), {})
    assert _blamed(caught.value) == Exit.UNUSABLE
    told = capsys.readouterr().err
    assert "your line: katas/attention/causal.py:1" in told
    assert "next: dojo test causal" in told


def test_an_error_in_a_file_that_is_not_a_kata_is_nobodys():
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile("1 / 0", str(ROOT / "katas" / "attention" / "own.py"), "exec"), {})
    with pytest.raises(ZeroDivisionError):
        _blamed(caught.value)
