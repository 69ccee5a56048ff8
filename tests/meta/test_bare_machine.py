"""Benchmarks run where only torch, numpy, pytest and pytest-benchmark are: a machine that is lent for its GPU."""

import os
import subprocess
import sys

from dojo import ROOT

ABSENT = (
    "beartype", "click", "hypothesis", "jaxtyping", "matplotlib", "psutil", "regex", "rich", "safetensors", "tiktoken",
    "tokenizers", "watchfiles",
)  # fmt: skip
# The finder of installed packages finds none of these; pytest's plugins are loaded by name.
BARE = f"""
import importlib.machinery, sys

class Bare(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {ABSENT!r} else super().find_spec(name, path, target)

sys.meta_path[:] = [Bare if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def bare(*argv):
    return subprocess.run(
        [sys.executable, "-c", BARE, "-p", "pytest_benchmark.plugin", *argv],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_the_gate_works_on_a_bare_machine():
    done = bare("tests/attention/bench_attention.py", "--solutions", "-k", "gate", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_benchmarks_that_need_more_say_so_and_skip():
    files = sorted(str(path) for path in (ROOT / "tests").rglob("bench_*.py"))
    done = bare(*files, "--solutions", "--collect-only", "-q")
    assert done.returncode in (0, 5), done.stdout + done.stderr
    assert "error" not in done.stdout.lower(), done.stdout
