"""`dojo test`: the verdict as a learner reads it."""

import json
import os
import re
import sys

import pytest

from tests.meta.scratch import DOUBLING, TEST_OF_DOUBLING

HEADING = "Doubling" + " " * 49 + "katas/toys/doubling.py"


def shown(scratch, *argv, **more):
    """What is on the screen, the time left out, and the exit code."""
    ended = scratch.run("dojo", "test", *argv, **more)
    assert re.fullmatch(r"(\w+: (saved last|the next on the map)\n)?", ended.stderr)
    return re.sub(
        r"\d+\.\d s(   +)?", lambda found: "T s   " if found[1] else "T s", ended.stdout
    ).splitlines(), ended.returncode


def test_an_untouched_stub(toys):
    lines, code = shown(toys)
    assert lines == ["not started: katas/toys/doubling.py has no code yet.   next: dojo spec doubling"]
    assert code == 1
    assert json.loads(toys.run("dojo", "test", "doubling", "--json").stdout)["outcome"] == "red"


def test_a_stub_with_one_more_line(toys):
    toys.write("katas/toys/doubling.py", toys.read("katas/toys/doubling.py") + "# soon\n")
    lines, code = shown(toys)
    assert lines[1:] == [
        "✗ twice  ✗ even",
        "",
        "not written yet: katas/toys/doubling.py:11 double",
        "",
        "red   0 of 2 clauses   T s   next: dojo spec doubling",
    ]
    assert code == 1


def test_a_reason_to_skip_is_told_once(toys):
    begins = "def test_the_double_is_the_sum(number):\n"
    assert begins in TEST_OF_DOUBLING
    skips = TEST_OF_DOUBLING.replace(begins, begins + '    pytest.skip("this machine has no abacus")\n')
    toys.write("tests/toys/test_doubling.py", skips)
    lines, code = shown(toys, "--solutions")
    assert [line for line in lines if "skipped" in line] == ["skipped, 2 tests: this machine has no abacus"]
    assert code == 0


def test_a_wrong_kata(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("return number", "print('seen', number); return 2"))
    assert shown(toys) == (
        [
            HEADING,
            "✗ twice  ✗ even",
            "",
            "twice: The result is number + number.",
            "  double(3) gave 5",
            "  your code printed:",
            "    seen 3",
            "    seen 3",
            "",
            "also failing",
            "  even: double(7) gave 9",
            "",
            "red   0 of 2 clauses   T s   next: dojo hint doubling",
        ],
        1,
    )
    lines, code = shown(toys, "--verbose")
    assert code == 1
    assert "what pytest printed" in lines
    assert any(line.startswith(">       assert double(number)") for line in lines), "pytest's own traceback"


def test_a_right_kata(toys):
    toys.write("katas/toys/doubling.py", DOUBLING)
    assert shown(toys, "doub") == (
        [
            HEADING,
            "✓ twice  ✓ even",
            "",
            "green   2 of 2 clauses   T s   next: dojo spec quadrupling",
        ],
        0,
    )


def test_an_unfinished_prerequisite_is_borrowed_and_named(toys):
    toys.write("katas/toys/quadrupling.py", toys.read("solutions/toys/quadrupling.py"))
    lines, code = shown(toys, "quadrupling")
    assert lines[1] == "not green yet, so taken from the reference: toys/doubling"
    assert (lines[2], code) == ("✓ fourfold", 0)
    lines, code = shown(toys, "quadrupling", "--no-borrow")
    assert (lines[1], code) == ("✗ fourfold", 1)
    toys.write("katas/toys/doubling.py", DOUBLING)
    shown(toys, "doubling")
    lines, code = shown(toys, "quadrupling")
    assert (lines[1], code) == ("✓ fourfold", 0)


def test_the_reference_is_green_and_nothing_is_remembered(toys):
    lines, code = shown(toys, "doubling", "--solutions")
    assert (lines[0].split(), lines[1], code) == (["Doubling", "solutions/toys/doubling.py"], "✓ twice  ✓ even", 0)
    assert not toys.path(".dojo/toys/doubling/verdict.json").exists()


def test_plain_pytest_shows_no_line_of_the_reference_in_a_warning(toys):
    warns = 'import warnings\n\n\ndef double(number: int) -> int:\n    {doc}\n    warnings.warn("old")  # SECRET\n'
    doc = DOUBLING.partition("int:\n    ")[2].partition("    return")[0].strip()
    toys.write("solutions/toys/doubling.py", warns.format(doc=doc) + "    return number + number\n")
    toys.write("katas/toys/quadrupling.py", toys.read("solutions/toys/quadrupling.py"))
    ended = toys.run("pytest", "tests/toys/test_quadrupling.py", "--borrow", "doubling")
    assert "1 passed in" in ended.stdout
    assert "SECRET" not in ended.stdout
    toys.write("katas/toys/doubling.py", toys.read("solutions/toys/doubling.py"))
    assert "1 passed, 1 warning in" in toys.run("pytest", "tests/toys/test_quadrupling.py").stdout


def test_a_hang_keeps_what_is_known(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("return", "\n    while number == 7: pass\n    return"))
    lines, code = shown(toys, "doubling", "--time-limit", "6")
    assert (lines[1], code) == ("✓ twice  · even", 3)
    assert lines[3] == "stopped after 6 seconds; --time-limit allows more"
    assert re.fullmatch(r"  It was in test_a_double_is_even, \d s of them in this test\.", lines[4])
    assert lines[5] == "  your line: katas/toys/doubling.py:12 double  while number == 7: pass"
    assert lines[-1] == "no verdict   1 of 2 clauses   T s"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"def double(:\n", b"\x00", DOUBLING.encode("utf-16")])
def test_a_file_that_is_no_python_gets_its_verdict(toys, content):
    toys.write("katas/toys/doubling.py", content)
    lines, code = shown(toys, "doubling")
    assert (lines[1], code) == ("✗ twice  ✗ even", 1)
    assert lines[3].startswith("katas/toys/doubling.py")
    assert len(lines) <= 16


def test_a_file_that_is_gone_gets_its_verdict(toys):
    toys.path("katas/toys/doubling.py").unlink()
    lines, code = shown(toys, "doubling")
    assert (lines[3], code) == ("katas/toys/doubling.py is missing", 1)
    assert lines[-1].endswith("next: dojo reset doubling")


def test_tests_that_cannot_be_read_give_no_verdict(toys):
    toys.write("tests/toys/test_doubling.py", "def test_(:\n")
    toys.write("katas/toys/doubling.py", DOUBLING)
    lines, code = shown(toys, "doubling")
    assert lines[2].startswith("tests/toys/test_doubling.py cannot be read")
    assert code == 3


def test_a_verdict_that_cannot_be_remembered_is_shown_all_the_same(toys):
    toys.write(".dojo", "in the way")
    toys.write("katas/toys/doubling.py", DOUBLING.replace("number + number", "1"))
    ended = toys.run("dojo", "test", "doubling")
    assert ended.returncode == 1
    assert "red   0 of 2 clauses" in ended.stdout
    assert ended.stderr.startswith("not remembered: .dojo/toys/doubling cannot be made")
    ended = toys.run("dojo", "test", "doubling", "--json")
    assert json.loads(ended.stdout)["not_remembered"].startswith(".dojo/toys/doubling cannot be made")


def test_no_line_is_wider_than_a_narrow_screen(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("return number", "return 'a long word ' * 40 #"))
    lines, _ = shown(toys, "doubling", COLUMNS="60")
    assert max(map(len, lines)) <= 60


def test_pdb_gives_the_terminal_to_the_debugger(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("number + number", "1"))
    ended = toys.run("dojo", "test", "doubling", "--pdb", answer="p number\nq\n")
    assert "(Pdb) 3" in ended.stdout
    assert ended.returncode == 1
    ended = toys.run("dojo", "test", "doubling", "--pdb", "--json")
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(os, "geteuid"), reason="folders of Windows are never read-only"
)
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write everywhere")
def test_a_read_only_folder(toys):
    toys.run("dojo")
    toys.write("katas/toys/doubling.py", DOUBLING.replace("number + number", "1"))
    toys.path(".dojo").chmod(0o500)
    try:
        ended = toys.run("dojo", "test", "doubling")
    finally:
        toys.path(".dojo").chmod(0o700)
    assert (ended.returncode, ended.stderr[:30]) == (1, "not remembered: .dojo/toys cann")


TWO_TIERS = DOUBLING.replace("        even   The", "\n    Further clauses:\n        even   The")


@pytest.fixture
def tiered(toys):
    """The toys, with one core clause and one further clause in doubling."""
    toys.write("solutions/toys/doubling.py", TWO_TIERS)
    return toys


def with_body(body):
    return TWO_TIERS.replace("return number + number", body)


def test_a_green_core_with_a_red_further_clause_is_green_with_an_offer(tiered):
    tiered.write("katas/toys/doubling.py", with_body("return number + number + (number == 7)"))
    lines, code = shown(tiered)
    assert lines[1:] == [
        "✓ twice",
        "",
        "green   1 of 1 clauses   T s   next: dojo spec quadrupling",
        "further: 0 of 1 hold               dojo test doubling --further shows the rest",
    ]
    assert code == 0
    data = json.loads(tiered.run("dojo", "test", "doubling", "--json").stdout)
    assert (data["outcome"], data["complete"]) == ("green", False)
    assert [(one["clause"], one["tier"], one["mark"]) for one in data["clauses"]] == [
        ("twice", "core", "passed"),
        ("even", "further", "failed"),
    ]
    assert json.loads(tiered.run("dojo", "--json").stdout)["katas"][0]["state"] == "green"


def test_one_clause_alone_is_tested_and_nothing_is_remembered(tiered):
    tiered.write("katas/toys/doubling.py", with_body("return number + number + (number == 7)"))
    lines, code = shown(tiered, "doubling", "--clause", "twice")
    assert (lines[1:], code) == (["✓ twice", "", "green   1 of 1 clauses   T s   next: dojo test doubling"], 0)
    lines, code = shown(tiered, "doubling", "--clause", "even")
    assert (lines[1], code) == ("✗ even", 1), "a further clause, too"
    assert not tiered.path(".dojo/toys/doubling/verdict.json").exists()
    ended = tiered.run("dojo", "test", "doubling", "--clause", "odd")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("dojo: doubling has no clause 'odd'. It has twice, even.")


def test_pytest_finds_a_test_by_the_slug_of_its_clause(tiered):
    tiered.write("katas/toys/doubling.py", DOUBLING)
    found = {slug: tiered.run("pytest", "tests/toys/test_doubling.py", "-k", slug).stdout for slug in ("twice", "even")}
    assert "2 passed, 1 deselected" in found["twice"]
    assert "1 passed, 2 deselected" in found["even"], "a further clause that is asked for runs"


def test_a_red_further_clause_keeps_no_other_from_being_tested(tiered):
    zero = '\n\n@pytest.mark.clause("zero")\ndef test_nothing_doubled_is_nothing():\n    assert double(0) == 0\n'
    clause = "        even   The result is even.\n"
    text = with_body("return number + number + (number == 7)")
    for place, source in (("katas", text), ("solutions", TWO_TIERS)):
        two = source.replace(clause, clause + "        zero   Zero gives zero.\n")
        tiered.write(f"{place}/toys/doubling.py", two)
    tiered.write("tests/toys/test_doubling.py", TEST_OF_DOUBLING + zero)
    assert "further: 1 of 2 hold" in "\n".join(shown(tiered)[0])


def test_further_asks_for_everything(tiered):
    tiered.write("katas/toys/doubling.py", with_body("return number + number + (number == 7)"))
    lines, code = shown(tiered, "doubling", "--further")
    assert lines[1:6] == ["✓ twice", "further: ✗ even", "", "even: The result is even.", "  double(7) gave 15"]
    assert lines[-1].startswith("red   1 of 2 clauses")
    assert code == 1


def test_a_red_core_leaves_the_further_clauses_untested(tiered):
    tiered.write("katas/toys/doubling.py", with_body("return 1"))
    data = json.loads(tiered.run("dojo", "test", "doubling", "--json").stdout)
    assert (data["outcome"], data["complete"]) == ("red", False)
    assert [one["mark"] for one in data["clauses"]] == ["failed", "untested"]


def test_when_everything_holds_the_kata_is_complete(tiered):
    tiered.write("katas/toys/doubling.py", TWO_TIERS)
    lines, code = shown(tiered)
    assert (lines[-1], code) == ("complete: all 1 further clauses hold, too.", 0)
    assert json.loads(tiered.run("dojo", "--json").stdout)["katas"][0]["state"] == "complete"
    assert "★ complete" in tiered.run("dojo").stdout


def test_a_further_clause_that_hangs_costs_the_core_nothing(tiered):
    tiered.write("katas/toys/doubling.py", with_body("\n    while number == 7: pass\n    return number + number"))
    lines, code = shown(tiered, "doubling", "--time-limit", "6")
    assert lines[3].startswith("green   1 of 1 clauses")
    assert lines[4] == "further: no verdict   dojo test doubling --further tells why"
    assert code == 0


def test_plain_pytest_runs_the_core_and_says_so(tiered):
    def ran(*argv, test=""):
        return tiered.run("pytest", f"tests/toys/test_doubling.py{test}", "--borrow", "doubling", *argv).stdout

    assert "2 passed, 1 deselected" in ran()
    assert "1 tests of further clauses were not run; --further runs them." in ran()
    assert "3 passed" in ran("--further")
    assert "3 passed" in ran("--solutions")
    assert "1 passed" in ran(test="::test_a_double_is_even")


def test_the_first_green_tells_the_learners_own_time(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("number + number", "1"))
    assert "Your time" not in "\n".join(shown(toys)[0])
    toys.write("katas/toys/doubling.py", DOUBLING)
    told = "Your time from the first test to green: less than a minute (the estimate: 5 minutes)."
    assert shown(toys)[0][-1] == told
    assert told not in shown(toys)[0]
