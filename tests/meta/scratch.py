"""A scratch copy of the repository for tests that change it: as on a fresh clone, every kata untouched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from dojo import ROOT
from dojo.catalog.stubs import stub_of

COPIED = ("dojo", "katas", "solutions", "tests", "docs", "data", "conftest.py", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "_build", ".*")

# A kata without torch, so that tests of the frame are fast; its second law holds for zeros.
DOUBLING = '''"""Kata: doubling."""


def double(number: int) -> int:
    """Give back a number twice as large.

    Clauses:
        twice  The result is number + number.
        even   The result is even.
    """
    return number + number
'''
TEST_OF_DOUBLING = '''"""Doubling, clause by clause."""

import pytest

from katas.toys.doubling import double


def probe(kata):
    return {"three": lambda: kata.double(3)}


@pytest.mark.clause("twice")
@pytest.mark.parametrize("number", [3, 5])
def test_the_double_is_the_sum(number):
    assert double(number) == number + number, f"double({number}) gave {double(number)}"


@pytest.mark.clause("even")
def test_a_double_is_even():
    assert double(7) % 2 == 0, f"double(7) gave {double(7)}"
'''
PAGE_OF_DOUBLING = """# Doubling

## Why each clause

- **twice** It is the meaning of the word.

## Hints

<details><summary>A question</summary>What is three and three?</details>
<details><summary>A fact</summary>Adding a number to itself doubles it.</details>
<details><summary>A plan</summary>

1. Take the number.
2. Add it to itself.

</details>

## In the book
"""
# A kata that builds on it.
QUADRUPLING = '''"""Kata: quadrupling."""

from .doubling import double


def quadruple(number: int) -> int:
    """Give back a number four times as large.

    Clauses:
        fourfold  The result is the double of the double.
    """
    return double(double(number))
'''
TEST_OF_QUADRUPLING = '''"""Quadrupling, clause by clause."""

import pytest

from katas.toys.quadrupling import quadruple


def probe(kata):
    return {"three": lambda: kata.quadruple(3)}


@pytest.mark.clause("fourfold")
def test_a_quadruple_is_four_times_the_number():
    assert quadruple(3) == 12, f"quadruple(3) gave {quadruple(3)}"
'''


class Scratch:
    """A copy of the repository at `root`."""

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=LEFT_OUT)
            elif (ROOT / name).exists():
                shutil.copy(ROOT / name, root / name)
        for solution in sorted((root / "solutions").rglob("*.py")):
            address = solution.relative_to(root / "solutions")
            if address.name != "__init__.py":
                self.write(f"katas/{address.as_posix()}", stub_of(solution.read_text(encoding="utf-8")))

    @classmethod
    def at(cls, root: Path) -> "Scratch":
        """A copy that is there already, a clone of another one say."""
        scratch = cls.__new__(cls)
        scratch.root = root
        return scratch

    def path(self, name: str) -> Path:
        return self.root / name

    def read(self, name: str) -> str:
        return self.path(name).read_text(encoding="utf-8")

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file, with the folders above it; text as UTF-8 with its line ends as they are."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def add(self, address: str, solution: str, test: str, page: str = "", title: str = "A toy") -> None:
        """Add a kata, with its stub, at the end of the curriculum."""
        part, _, name = address.rpartition("/")
        if not self.path(f"tests/{part}/__init__.py").exists():
            self.write(f"tests/{part}/__init__.py", "")
        self.write(f"solutions/{address}.py", solution)
        self.write(f"katas/{address}.py", stub_of(solution))
        self.write(f"tests/{part}/test_{name}.py", test)
        self.write(f"tests/{address}.mistakes.toml", "mistake = []\n")
        self.write(f"docs/{address}.md", page)
        entry = f'\n[[kata]]\naddress = "{address}"\ntitle = "{title}"\nbook = ""\nminutes = 5\n'
        self.write("katas/curriculum.toml", self.read("katas/curriculum.toml") + entry)

    def only_toys(self) -> None:
        """Make doubling and quadrupling the whole curriculum."""
        self.write("katas/curriculum.toml", "")
        self.add("toys/doubling", DOUBLING, TEST_OF_DOUBLING, PAGE_OF_DOUBLING, title="Doubling")
        self.add("toys/quadrupling", QUADRUPLING, TEST_OF_QUADRUPLING, title="Quadrupling")

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a command: nothing of the surrounding run's, no colour, UTF-8."""
        dropped = ("KATA_", "PYTEST_", "DOJO_", "FORCE_COLOR", "COLUMNS")
        own = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        return own | {"NO_COLOR": "1", "PYTHONUTF8": "1"} | more

    def start(self, *argv: str, **more: str) -> subprocess.Popen[str]:
        """Start `python -m ARGV` in the copy, with `more` added to its environment."""
        return subprocess.Popen(
            [sys.executable, "-m", *argv],
            cwd=self.root,
            env=self.environment(**more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, *argv: str, answer: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m ARGV` in the copy to its end, with `answer` as its input."""
        process = self.start(*argv, **more)
        try:
            stdout, stderr = process.communicate(answer, timeout=300)
        finally:
            process.kill()
        return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)
