"""Nothing is delivered with a word in it that stands for something still to be written."""

import re
import subprocess

import pytest

from dojo import ROOT

# Put together here, so that this file does not find itself.
WORDS = ["MEAS" + "URED", "TO" + "DO", "FIX" + "ME", "X" * 3, "T" + "BD", "lo" + "rem"]
PLACEHOLDER = re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(WORDS)})(?![A-Za-z0-9_])")
READ = {".py", ".md", ".toml", ".ini", ".cfg", ".yml", ".yaml", ".json", ".css", ".js", ".html", ".cff", ""}
LEFT_OUT = {"__pycache__", "_build", "node_modules"}


def texts():
    """The files of the repository that people write."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    paths = [ROOT / name for name in names if name] or [
        path for path in ROOT.rglob("*") if not any(p in LEFT_OUT or p.startswith(".") for p in path.parts)
    ]
    return [path for path in paths if path.is_file() and path.suffix in READ and "data" not in path.parts]


def placeholders(text):
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if PLACEHOLDER.search(line)]


def test_no_file_has_a_placeholder():
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{number}: {line}"
        for path in texts()
        for number, line in placeholders(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("word", WORDS)
def test_a_placeholder_is_found_as_a_word_and_not_within_one(word):
    assert placeholders(f"one\nit takes {word} seconds.") == [(2, f"it takes {word} seconds.")]
    assert placeholders(f"un{word}, {word}_AT") == []
