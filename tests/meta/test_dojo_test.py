"""`dojo test`: the verdict as a learner reads it."""

import json
import os
import re
import sys

import pytest

from tests.meta.scratch import DOUBLING, TEST_OF_DOUBLING


def shown(scratch, *argv, **more):
    """What is on the screen, the time left out, and the exit code."""
    ended = scratch.run("dojo", "test", *argv, **more)
    assert ended.stderr == ""
    return re.sub(r"\d+\.\d s", "T s", ended.stdout).splitlines(), ended.returncode


def test_an_untouched_stub(toys):
    assert shown(toys) == (
        [
            "Doubling  katas/toys/doubling.py",
            "",
            "✗ twice  ✗ even",
            "",
            "not written yet: katas/toys/doubling.py:11 double",
            "",
            "red  0 of 2 clauses · 0 of 3 tests · T s",
            "next: dojo spec doubling",
        ],
        1,
    )


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
            "Doubling  katas/toys/doubling.py",
            "",
            "✗ twice  ✗ even",
            "",
            "twice: The result is number + number.",
            "seen: double(3) gave 5",
            "your code printed:",
            "  seen 3",
            "  seen 3",
            "",
            "also failing",
            "  even  double(7) gave 9",
            "",
            "red  0 of 2 clauses · 0 of 3 tests · T s",
            "next: dojo hint doubling",
        ],
        1,
    )
    lines, code = shown(toys, "--verbose")
    assert code == 1
    assert "what pytest said" in lines
    assert any(line.startswith(">       assert double(number)") for line in lines), "pytest's own traceback"


def test_a_right_kata(toys):
    toys.write("katas/toys/doubling.py", DOUBLING)
    assert shown(toys, "doub") == (
        [
            "Doubling  katas/toys/doubling.py",
            "",
            "✓ twice  ✓ even",
            "",
            "green  2 of 2 clauses · 3 of 3 tests · T s",
            "Every clause of doubling holds. Well done. `dojo diff doubling` shows the reference.",
            "next: dojo spec quadrupling  (what to write in katas/toys/quadrupling.py)",
        ],
        0,
    )


def test_an_unfinished_prerequisite_is_borrowed_and_named(toys):
    toys.write("katas/toys/quadrupling.py", toys.read("solutions/toys/quadrupling.py"))
    lines, code = shown(toys, "quadrupling")
    assert lines[1] == "borrowed from the reference, because they are not done: toys/doubling"
    assert (lines[3], code) == ("✓ fourfold", 0)
    lines, code = shown(toys, "quadrupling", "--no-borrow")
    assert (lines[2], code) == ("✗ fourfold", 1)
    toys.write("katas/toys/doubling.py", DOUBLING)
    shown(toys, "doubling")
    lines, code = shown(toys, "quadrupling")
    assert (lines[2], code) == ("✓ fourfold", 0)


def test_the_reference_is_green_and_nothing_is_remembered(toys):
    lines, code = shown(toys, "doubling", "--solutions")
    assert (lines[0], lines[2], code) == ("Doubling  solutions/toys/doubling.py", "✓ twice  ✓ even", 0)
    assert not toys.path(".dojo/toys/doubling/verdict.json").exists()


def test_a_hang_keeps_what_is_known(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("return", "\n    while number == 7: pass\n    return"))
    lines, code = shown(toys, "doubling", "--time-limit", "4")
    assert (lines[2], code) == ("✓ twice  · even", 3)
    assert lines[4:7] == [
        "stopped after 4 seconds. Does a loop never end? `--time-limit` gives more time.",
        "it was in the test test_a_double_is_even",
        "your line: katas/toys/doubling.py:12 double  while number == 7: pass",
    ]
    assert lines[-1] == "no verdict  1 of 2 clauses · 2 tests ended · T s"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"def double(:\n", b"\x00", DOUBLING.encode("utf-16")])
def test_a_file_that_is_no_python_gets_its_verdict(toys, content):
    toys.write("katas/toys/doubling.py", content)
    lines, code = shown(toys, "doubling")
    assert (lines[2], code) == ("✗ twice  ✗ even", 1)
    assert lines[4].startswith("katas/toys/doubling.py")
    assert len(lines) <= 16


def test_a_file_that_is_gone_gets_its_verdict(toys):
    toys.path("katas/toys/doubling.py").unlink()
    lines, code = shown(toys, "doubling")
    assert (lines[4], code) == ("katas/toys/doubling.py is missing; `dojo reset doubling` brings its stub back", 1)


def test_tests_that_cannot_be_read_give_no_verdict(toys):
    toys.write("tests/toys/test_doubling.py", "def test_(:\n")
    lines, code = shown(toys, "doubling")
    assert lines[2].startswith("tests/toys/test_doubling.py cannot be read")
    assert code == 3


def test_a_verdict_that_cannot_be_remembered_is_shown_all_the_same(toys):
    toys.write(".dojo", "in the way")
    ended = toys.run("dojo", "test", "doubling")
    assert ended.returncode == 1
    assert "red  0 of 2 clauses" in ended.stdout
    assert ended.stderr.startswith("not remembered: .dojo/toys/doubling cannot be made")
    ended = toys.run("dojo", "test", "doubling", "--json")
    assert json.loads(ended.stdout)["not_remembered"].startswith(".dojo/toys/doubling cannot be made")


def test_no_line_is_wider_than_a_narrow_screen(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("return number", "return 'a long word ' * 40 #"))
    lines, _ = shown(toys, "doubling", COLUMNS="60")
    assert max(map(len, lines)) <= 60


def test_pdb_gives_the_terminal_to_the_debugger(toys):
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
    toys.path(".dojo").chmod(0o500)
    try:
        ended = toys.run("dojo", "test", "doubling")
    finally:
        toys.path(".dojo").chmod(0o700)
    assert (ended.returncode, ended.stderr[:30]) == (1, "not remembered: .dojo/toys cann")
