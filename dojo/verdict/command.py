"""The command line and the environment of the process that tests a kata, and the tests that it has to run."""

import ast
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from dojo import ROOT
from dojo.catalog.curriculum import Kata

CORE, OFFER, FURTHER = "", "--offer", "--further"
LEFT_OUT = re.compile("^PYTEST_ADDOPTS$|^KATA_ROOMS$|TOKEN|SECRET|PASSW|CREDENTIAL|_KEY$", re.IGNORECASE)
SKIPPERS = ("skip", "skipif", "importorskip")


@dataclass(frozen=True)
class Request:
    """What to test: a kata, with some prerequisites from the reference, or the reference itself.

    instead: a file that is tested in place of the learner's. tiers: CORE alone, FURTHER for everything, or OFFER,
    the further clauses after a core that passed. clause: the one to test, of either tier; empty for all.
    """

    kata: Kata
    borrowed: tuple[str, ...] = ()
    solutions: bool = False
    tiers: str = CORE
    verbose: bool = False
    instead: Path | None = None
    clause: str = ""


def command(request: Request, *more: str) -> list[str]:
    """The command line that tests a kata."""
    words = [sys.executable, "-m", "pytest", request.kata.tests.relative_to(ROOT).as_posix(), "-p", "no:randomly"]
    words += [*more, *filter(None, [request.tiers])]
    words += ["--clause", request.clause] if request.clause else []
    if request.borrowed:
        words += ["--borrow", ",".join(request.borrowed)]
    if request.instead:
        words += ["--instead", f"{request.kata.address}:{request.instead}"]
    return [*words, *(["--solutions"] if request.solutions else [])]


def supervised(request: Request, folder: Path, waits: bool) -> list[str]:
    """The command line under `dojo`: what a run writes goes to its own folder."""
    more = ["-p", "dojo.verdict.child", "-p", "dojo.verdict.recording", "-p", "no:cacheprovider", "--color=no"]
    more += [f"--basetemp={folder / 'tmp' / 'pytest'}", *(["-p", "dojo.verdict.waiting"] if waits else [])]
    more += ["-vv"] if request.verbose else ["-q", "--show-capture=no"]  # twice, because pyproject.toml has one -q
    return command(request, *more)


def environment(**more: str) -> dict[str, str]:
    """The child's environment: ours, less what could make pytest leave tests out, and less what sounds like a secret.

    The tensors of tests are small, and torch's threads wait for each other longer than they work.
    """
    own = {name: value for name, value in os.environ.items() if not LEFT_OUT.search(name)}
    return {"OMP_NUM_THREADS": "1"} | own | {"PYTHONIOENCODING": "utf-8:replace"} | more


def expected_tests(kata: Kata) -> dict[str, str]:
    """The tests of a kata with their clauses, in the order of the file, by its syntax tree.

    Raises OSError, SyntaxError or ValueError (a null byte).
    """
    tree = ast.parse(kata.tests.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tests = [node for node in tree.body if isinstance(node, functions) and node.name.startswith("test_")]
    return {node.name: next(filter(None, map(_clause, node.decorator_list)), "") for node in tests}


def skip_reasons(kata: Kata) -> tuple[str, ...]:
    """The reasons for which a test of this kata may leave itself out: what its file and the shared support write down.

    Raises as expected_tests does.
    """
    found = []
    for path in (kata.tests, ROOT / "tests" / "support.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in SKIPPERS:
                reasons = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "reason")]
                found += [text for reason in reasons for text in _texts(reason)]
    return tuple(found)


def _texts(node: ast.expr) -> list[str]:
    """The text of a string, or the longest fixed piece of one that is put together."""
    pieces = [p.value for p in ast.walk(node) if isinstance(p, ast.Constant) and isinstance(p.value, str)]
    return [max(pieces, key=len)] if pieces else []


def _clause(decorator: ast.expr) -> str:
    """The slug in `@clause("slug")` or `@pytest.mark.clause("slug")`; empty for any other decorator."""
    match decorator:
        case ast.Call(func=ast.Name(id="clause") | ast.Attribute(attr="clause"), args=[ast.Constant(value=str(slug))]):
            return slug
    return ""
