"""Output that takes nothing, or nobody reads, and input that is closed: a line and an exit code, never a traceback."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.scratch import DOUBLING, Scratch

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
COMMANDS = (
    "", "--json", "--help", "--version", "list", "status", "next", "spec doubling", "hint doubling", "diff doubling",
    "open doubling", "test doubling", "test doubling --json", "test doubling --solutions", "test quadrupling",
    "reset doubling", "reset doubling --yes", "reset doubling --undo", "report", "group .", "doctor", "update",
    "hunt doubling", "train --resume", "generate x", "look x", "finetune classify", "classify x", "bench attention",
    "completion bash", "help test", "watch --help", "nothing",
)  # fmt: skip
FULL, CLOSED, NO_INPUT, NO_READER, NO_ERRORS = "full", "closed", "no input", "no reader", "no errors"
SHELL = {
    FULL: "{} >/dev/full",
    CLOSED: "{} >&-",
    NO_INPUT: "{} <&-",
    NO_READER: "{{ {}; echo code $? >&2; }} | true",
    NO_ERRORS: "{} 2>&-",
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    toys = Scratch(tmp_path_factory.mktemp("streams") / "clone")
    toys.only_toys()
    return toys


def called(clone, words, how):
    """The exit code of a command, and the lines of its errors."""
    clone.write("katas/toys/doubling.py", DOUBLING.replace("number + number", "number * 3"))
    line = SHELL[how].format(shlex.join([sys.executable, "-m", "dojo", *shlex.split(words)]))
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=clone.root,
        env=clone.environment(EDITOR="true", TIKTOKEN_CACHE_DIR=os.devnull),
        input="",
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    lines = done.stderr.splitlines()
    return (int(lines.pop().removeprefix("code ")) if how == NO_READER else done.returncode), lines


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words or "the map")
@pytest.mark.parametrize("how", [FULL, *(pytest.param(how, marks=pytest.mark.long) for how in SHELL if how != FULL)])
def test_a_stream_that_takes_or_gives_nothing_costs_no_more_than_a_line(clone, words, how):
    code, lines = called(clone, words, how)
    assert not [line for line in lines if "Traceback" in line or "Exception ignored" in line], lines
    assert code in (0, 1, 2), lines
    if how in (FULL, CLOSED) and words.partition(" ")[0] in ("", "--help", "list", "spec", "test", "doctor", "help"):
        assert code == 2
        assert lines == [f"dojo: the output cannot be written: {'No space left on device' if how == FULL else CLOSED}"]
