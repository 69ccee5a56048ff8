"""How text is laid out on a screen: words, numbers and what is to be typed stay whole."""

import re

import pytest

from dojo import ROOT
from dojo.system import terminal

TEXT = "Scores of 40 000 and -10 000 give neither nan nor inf, in 3 places of 12 345 678."


def plain(lines):
    return ["".join(part if isinstance(part, str) else part[0] for part in line) for line in lines]


@pytest.mark.parametrize("width", range(20, 90))
def test_a_number_is_not_broken(width):
    for lines in (terminal.wrapped(TEXT, width), terminal.prose(TEXT, width=width)):
        assert " ".join(lines) == TEXT
        assert max(map(len, lines)) <= width
        for number in ("40 000", "-10 000", "12 345 678"):
            assert any(number in line for line in lines), lines


@pytest.mark.parametrize("width", range(30, 90))
def test_a_command_and_its_style_survive_the_wrapping(width):
    parts = [
        "not started: katas/foundations/softmax.py has no code yet.   ",
        ("next: ", "bold"),
        ("dojo spec softmax", "cyan"),
        " 10 000 times",
    ]
    lines = terminal.flowed(parts, width)
    assert " ".join(plain(lines)).split() == "".join(plain([parts])).split()
    assert max(map(len, plain(lines))) <= max(width, len("katas/foundations/softmax.py"))
    assert ("dojo spec softmax", "cyan") in [part for line in lines for part in line]
    assert any("10 000" in line for line in plain(lines))


def test_a_number_is_written_as_on_the_pages():
    assert [terminal.number(value) for value in (7, 999, 1000, 1234567)] == ["7", "999", "1 000", "1 234 567"]


def test_no_colour_is_one_that_cannot_be_read_on_white():
    files = [file for file in (ROOT / "dojo").rglob("*.py") if re.search(r'["\s]yellow"', file.read_text("utf-8"))]
    assert files == [], "yellow on white is close to nothing; magenta can be read on both"
