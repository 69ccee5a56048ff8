"""`dojo hunt`: an edit is hidden in a copy, and can be found; `dojo diff --with`: two solutions beside each other."""

import ast
import json

import pytest

from dojo.catalog.curriculum import katas
from dojo.check.mutants import mutants
from dojo.hunt.edits import edited, function_of, is_hidden, kind
from tests.meta.scratch import DOUBLING

OWN = DOUBLING.replace("return number + number", "return number  +  number  # mine: ᵀ")
COPY = ".dojo/toys/doubling/hunt/doubling.py"


@pytest.mark.parametrize("kata", katas(), ids=lambda kata: kata.address)
def test_every_hidden_edit_changes_the_text_in_one_place_and_nothing_around_it(kata):
    source = kata.solution.read_text(encoding="utf-8")
    found = [mutant for mutant in mutants(source) if is_hidden(mutant)]
    assert len(found) > 10
    for mutant in found[::4]:
        text = edited(source, mutant)
        assert text is not None
        assert ast.dump(ast.parse(text)) == ast.dump(ast.parse(mutant.source)), mutant
        assert sum(text.count(sign) for sign in "#ᵀ") == sum(source.count(sign) for sign in "#ᵀ")


@pytest.mark.parametrize(
    ("line", "after", "what"),
    [
        ("x = (a  +  f(b,'c')) * d", "x = (a  +  f(b,'c')) / d", "an operator, or one of its operands"),
        ("x = (a  +  f(b,'c')) * d", "x = (f(b,'c') + a) * d", "an operator, or one of its operands"),
        ("if a  <  b: x = 1 # why", "if a <= b: x = 1 # why", "a comparison"),
        ("x = f( a, dim = 1 )", "x = f( a, dim = 2 )", "a constant"),
        ("x = ä[ :, : n ]", "x = ä[ :, : ]", "the bounds of a slice"),
        ("x += g(  a )", "x -= g(  a )", "an operator"),
    ],
)
def test_an_edit_keeps_what_the_learner_wrote_around_it(line, after, what):
    source = f"def own(a, b, d, n):\n    {line}\n    return x\n"
    texts = {edited(source, mutant): mutant for mutant in mutants(source)}
    assert kind(source, texts[source.replace(line, after)]) == what
    assert function_of(source, 2) == "own"


@pytest.fixture
def hunted(toys):
    """A copy with an edit in it."""
    toys.write("katas/toys/doubling.py", OWN)
    assert toys.run("dojo", "test", "doubling").returncode == 0
    ended = toys.run("dojo", "hunt", "doubling", "--seed", "1")
    assert ended.returncode == 0, ended.stderr
    assert COPY in ended.stdout
    return toys


def test_a_hunt_leaves_everything_of_the_learners_as_it_is(hunted):
    assert hunted.read("katas/toys/doubling.py") == OWN
    assert "1 of 2 green" in hunted.run("dojo").stdout
    ended = hunted.run("dojo", "hunt")
    assert ended.returncode == 1
    assert "✗" in ended.stdout
    assert "not found yet." in ended.stdout
    assert "Your result is the one" not in ended.stdout
    assert hunted.read("katas/toys/doubling.py") == OWN
    assert json.loads(hunted.read(".dojo/toys/doubling/verdict.json"))["outcome"] == "green"


def test_an_edit_is_found_when_the_copy_is_green(hunted):
    assert hunted.read(COPY) != OWN
    assert hunted.read(COPY).count("# mine: ᵀ") == 1
    hunted.write(COPY, OWN)
    ended = hunted.run("dojo", "hunt")
    assert ended.returncode == 0
    assert "found. It took less than a minute." in ended.stdout
    assert "  yours  return number + number" in ended.stdout
    assert not hunted.path(COPY).exists()
    ended = hunted.run("dojo", "hunt")
    assert (ended.returncode, ended.stderr.partition("?")[0]) == (2, "dojo: in which kata")


def test_three_hints_say_more_each_time_and_giving_up_shows_the_edit(hunted):
    hints = [hunted.run("dojo", "hunt", "--hint").stdout for _ in range(4)]
    assert [hint[:11] for hint in hints] == ["hint 1 of 3", "hint 2 of 3", "hint 3 of 3", "hint 3 of 3"]
    assert "The edit is in double." in hints[0]
    assert "It is in line 11 of the copy as it was written: return " in hints[2]
    ended = hunted.run("dojo", "hunt", "--give-up")
    assert "  copy   return " in ended.stdout
    assert not hunted.path(COPY).exists()


def test_only_code_that_is_green_is_hunted_in(toys):
    ended = toys.run("dojo", "hunt", "doubling")
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "dojo: an edit can be hidden only in code of yours that is green: dojo test doubling"
    )


def test_another_solution_is_run_after_a_question_and_stands_beside_yours(toys, tmp_path):
    toys.write("katas/toys/doubling.py", OWN)
    toys.run("dojo", "test", "doubling")
    other = tmp_path / "other" / "katas" / "toys" / "doubling.py"
    other.parent.mkdir(parents=True)
    for code, outcome in (("2 * number", "green"), ("3 * number", "red")):
        other.write_text(DOUBLING.replace("number + number\n", f"{code}\n"), encoding="utf-8")
        for given in (other, tmp_path / "other", other.parent):
            lines = toys.run("dojo", "diff", "doubling", "--with", str(given), answer="y\n", COLUMNS="120").stdout
            assert lines.startswith(f"This executes {other} on your machine, with your rights.\n")
            assert f"\ntwice  ✓      {'✓' if outcome == 'green' else '✗'}" in lines
            assert f"\ntheirs  {outcome}   " in lines
            row = next(line for line in lines.splitlines() if " | " in line and "# mine" in line)
            assert row.partition(" | ")[2].strip() == f"return {code}"
    assert "theirs:\n\ntwice: The result is number + number.\n" in lines
    assert '"outcome": "green"' in toys.read(".dojo/toys/doubling/verdict.json")


def test_without_a_yes_nothing_is_executed(toys, tmp_path):
    toys.write("katas/toys/doubling.py", OWN)
    run = tmp_path / "run"
    other = tmp_path / "doubling.py"
    other.write_text(f"open({str(run)!r}, 'w')\n", encoding="utf-8")
    ended = toys.run("dojo", "diff", "doubling", "--with", str(other), answer="n\n")
    assert (ended.returncode, run.exists()) == (1, False)
    ended = toys.run("dojo", "diff", "doubling", "--with", str(other), "--yes")
    assert (ended.returncode, run.exists()) == (0, True)
    assert str(other) in ended.stdout.partition("theirs:")[2]  # what is wrong is told about their file
    assert toys.run("dojo", "diff", "doubling", "--with", str(toys.path("docs"))).returncode == 2


def test_control_characters_of_another_file_do_not_reach_the_terminal(toys, tmp_path):
    toys.write("katas/toys/doubling.py", OWN)
    other = tmp_path / "doubling.py"
    other.write_text(DOUBLING + "# \x1b[2J\x07\nprint('\x1b[2J')\nraise ValueError('\x1b[2J')\n", encoding="utf-8")
    for width in ("60", "80"):
        ended = toys.run("dojo", "diff", "doubling", "--with", str(other), "--yes", COLUMNS=width)
        assert ("columns show both side by side." in ended.stdout) == (width == "60")
        assert not {"\x1b", "\x07"} & {*ended.stdout, *ended.stderr}
