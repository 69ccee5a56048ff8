"""The checks find what they are there to find: each is shown a repository in which one thing is wrong."""

import json
import re

import pytest

from tests.meta.scratch import DOUBLING, TEST_OF_DOUBLING

TRIPLED = """[[mistake]]
name = "tripled"
breaks = "twice"
says = "the number is taken three times"
edits = [{ swap = "return number + number", by = "return number * 3" }]
"""
ODD = """
[[mistake]]
name = "odd"
breaks = "even"
says = "one is added"
edits = [{ swap = "return number + number", by = "return number + number + 1" }]
"""
ZEROED = TRIPLED.replace("tripled", "zeroed").replace("number * 3", "number * 0").replace("three times", "not at all")


@pytest.fixture
def doubling(toys):
    """A function that writes the mistakes of toys/doubling and runs a check on it."""

    def check(mistakes, *argv):
        toys.write("tests/toys/doubling.mistakes.toml", mistakes)
        return toys.run("dojo.check", *(argv or ("mistakes", "doubling")))

    check.scratch = toys
    return check


def test_a_kata_whose_tests_bite_passes_and_shows_its_matrix(doubling):
    run = doubling(TRIPLED + ODD, "mistakes", "doubling", "--drawn", "all", "--write")
    assert run.returncode == 0, run.stdout + run.stderr
    for line in (
        "test_the_double_is_the_sum[3]  ##",
        "test_a_double_is_even          ##",
        "   a  tripled breaks twice: the number is taken three times",
        "toys/doubling: 2 mistakes, 3 mutants: 3 killed, 0 excused, 0 alive, 0 problems",
    ):
        assert line in run.stdout, run.stdout


def test_a_slow_test_runs_only_for_the_mistakes_of_its_clause(doubling):
    mark = '@pytest.mark.clause("even")'
    doubling.scratch.write("tests/toys/test_doubling.py", TEST_OF_DOUBLING.replace(mark, f"@pytest.mark.slow\n{mark}"))
    run = doubling(TRIPLED + ODD, "mistakes", "doubling", "--drawn", "all", "--write")
    assert "test_the_double_is_the_sum[3]  ##" in run.stdout, run.stdout
    assert "test_a_double_is_even          .#" in run.stdout
    assert "3 mutants: 3 killed, 0 excused, 0 alive, 0 problems" in run.stdout


@pytest.mark.parametrize(
    ("mistakes", "said"),
    [
        (TRIPLED + ODD.replace("number + number + 1", "number * 2"), "odd does not fail even; it fails nothing"),
        (TRIPLED + ODD.replace('return number + number"', 'return 2 * number"'), "'return 2 * number' occurs 0 times"),
        (TRIPLED + ODD.replace("+ 1", "+ ("), "'(' was never closed"),
        (TRIPLED + ODD.replace('"even"', '"odd"'), "odd breaks 'odd', which is no clause"),
        (TRIPLED + ODD + ODD.replace("one is", "a one is"), "two mistakes have the same name"),
        (
            TRIPLED + ODD + ODD.replace('"odd"', '"again"'),
            "again is not told apart by the probe: on 'three'",
        ),
        (TRIPLED + ODD.replace("edits", "probed = false\nedits"), "odd is not probed, and no `because` says why"),
    ],
)
def test_what_is_wrong_with_a_mistake_is_said(doubling, mistakes, said):
    run = doubling(mistakes)
    assert run.returncode == 1
    assert said in run.stdout, run.stdout


def test_a_test_that_no_mistake_fails_is_named(doubling):
    test = TEST_OF_DOUBLING + '\n\n@pytest.mark.clause("even")\ndef test_nothing():\n    assert True\n'
    doubling.scratch.write("tests/toys/test_doubling.py", test)
    run = doubling(TRIPLED + ODD, "mistakes", "doubling", "--write")
    assert "no mistake and no drawn edit fails test_nothing" in run.stdout


def test_a_reference_that_fails_is_said_first(doubling):
    doubling.scratch.write("solutions/toys/doubling.py", DOUBLING.replace("number + number\n", "number + number + 1\n"))
    mistakes = (TRIPLED + ODD).replace('return number + number"', 'return number + number + 1"')
    assert "the reference is not green: ['test_the_double_is_the_sum[3]'" in doubling(mistakes).stdout


SURVIVOR = DOUBLING.replace("    return", "    if number > 10**6:\n        number = abs(number)\n    return")
EXCUSE = """
[[excused]]
line = "number = abs(number)"
becomes = "{}"
because = "number is above a million here, so it is its own absolute value"
"""


def test_a_mutant_that_lives_has_to_be_excused(doubling):
    doubling.scratch.write("solutions/toys/doubling.py", SURVIVOR)
    run = doubling(TRIPLED + ODD, "mistakes", "doubling", "--drawn", "all", "--write")
    assert run.returncode == 1
    assert "no test notices line 12: number = abs(number)  ->  pass" in run.stdout
    alive = {line.partition("->  ")[2] for line in run.stdout.splitlines() if "no test notices line 12" in line}
    excuses = "".join(EXCUSE.format(becomes) for becomes in alive)
    left = doubling(TRIPLED + ODD + excuses, "mistakes", "doubling", "--drawn", "all", "--write").stdout
    assert "no test notices line 12" not in left
    assert "no test notices line 11" in left


def test_an_excuse_that_excuses_nothing_is_said(doubling):
    run = doubling(TRIPLED + ODD + EXCUSE.format("number = 0"), "mistakes", "doubling", "--drawn", "all", "--write")
    assert "the excuse for `number = 0` excuses nothing" in run.stdout


def test_a_mutant_that_never_ends_is_ended(doubling):
    solution = DOUBLING.replace(
        "    return number + number", "    n = number\n    while n > 0:\n        n -= 1\n    return number + number"
    )
    doubling.scratch.write("solutions/toys/doubling.py", solution)
    trials = doubling.scratch.read("dojo/check/trials.py")
    doubling.scratch.write("dojo/check/trials.py", re.sub(r"(TIME|BRIEF)_LIMIT = \d+\.0", r"\1_LIMIT = 3.0", trials))
    run = doubling(TRIPLED + ODD, "mistakes", "doubling", "--drawn", "all", "--write")
    assert "no test notices line 13: n -= 1  ->  pass" not in run.stdout
    assert "no test notices line 13: n -= 1  ->  n -= 2" in run.stdout


def test_what_each_mistake_fails_is_written_down_and_kept_true(doubling):
    assert "doubling.reach.json is not what the mistakes do" in doubling(TRIPLED + ODD).stdout
    assert doubling(TRIPLED + ODD, "mistakes", "doubling", "--write").returncode == 0
    written = doubling.scratch.read("tests/toys/doubling.reach.json")
    both = ["test_the_double_is_the_sum", "test_a_double_is_even"]
    assert json.loads(written)["reach"] == {"tripled": both, "odd": both}
    assert doubling(TRIPLED + ODD).returncode == 0
    assert "doubling.reach.json is not what the mistakes do" in doubling(ODD + TRIPLED).stdout


def test_what_was_proved_and_has_not_changed_is_proved_in_short(doubling):
    said = "unchanged since it was proved: every mistake met the tests of its own clause"
    first = doubling(TRIPLED + ODD, "mistakes", "doubling", "--write", "--changed")
    assert first.returncode == 0
    assert said not in first.stdout
    again = doubling(TRIPLED + ODD, "mistakes", "doubling", "--changed")
    assert again.returncode == 0
    assert said in again.stdout
    assert said not in doubling(TRIPLED + ODD, "mistakes", "doubling").stdout
    solution = doubling.scratch.read("solutions/toys/doubling.py")
    doubling.scratch.write("solutions/toys/doubling.py", solution + "\n\nMORE = 1\n")
    changed = doubling(TRIPLED + ODD, "mistakes", "doubling", "--changed")
    assert changed.returncode == 0
    assert said not in changed.stdout


def test_an_edited_stub_is_found(toys):
    assert toys.run("dojo.check", "stubs").stdout.strip() == "2 stubs, 0 problems"
    toys.write("katas/toys/doubling.py", DOUBLING)
    run = toys.run("dojo.check", "stubs")
    assert run.returncode == 1
    assert "katas/toys/doubling.py is not the stub of its solution" in run.stdout
    assert toys.run("dojo.check", "stubs", "--write").returncode == 0
    assert "raise NotImplementedError" in toys.read("katas/toys/doubling.py")


def test_a_test_that_passes_on_a_stub_is_found(toys):
    toys.write(
        "tests/toys/test_doubling.py",
        TEST_OF_DOUBLING + '\n\n@pytest.mark.clause("even")\ndef test_free():\n    pass\n',
    )
    assert "toys/doubling: test_free passes on the stub" in toys.run("dojo.check", "stubs").stdout


def test_a_hollow_kata_that_is_nearly_green_is_found(toys):
    assert toys.run("dojo.check", "hollow").returncode == 0
    test = TEST_OF_DOUBLING.replace("[3, 5]", "[0, -0]")
    toys.write("tests/toys/test_doubling.py", test)
    run = toys.run("dojo.check", "hollow")
    assert run.returncode == 1
    assert "toys/doubling: 0 of 3 tests fail on the hollow kata, too few" in run.stdout


@pytest.mark.parametrize("argv", [("nonsense",), ("mistakes", "causl"), ("mistakes", "--drawn", "many")])
def test_a_typo_is_a_usage_error(toys, argv):
    assert toys.run("dojo.check", *argv).returncode == 2
