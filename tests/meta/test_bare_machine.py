"""Benchmarks run where only torch, numpy, pytest and pytest-benchmark are: a machine that is lent for its GPU."""

import json
import os
import subprocess
import sys

import pytest

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
"""
PYTEST = "import pytest; sys.exit(pytest.main(sys.argv[1:]))"


def bare(*argv):
    return run(["-c", BARE + PYTEST, "-p", "pytest_benchmark.plugin", *argv])


def run(argv, **environment):
    return subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
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


@pytest.mark.long
def test_what_a_gpu_is_needed_for_can_be_rehearsed_on_a_bare_cpu(tmp_path):
    """Its children are bare as well: Python runs sitecustomize.py before anything else."""
    (tmp_path / "sitecustomize.py").write_text(BARE, encoding="utf-8")
    argv = ["-m", "dojo.check", "cuda", "--device", "cpu", "--quick", "--out", str(tmp_path / "cuda.json")]
    done = run(argv, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "cuda.json").read_text(encoding="utf-8"))
    assert [(one["kata"], one["failed"]) for one in report["tests"]] == [("attention/simplified", {})]
    assert report["tests"][0]["passed"] > 20
    climbs = [(climb["name"], climb["dtype"]) for climb in report["climbs"]]
    assert climbs == [(name, dtype) for name in ("attention", "training") for dtype in ("float32", "bfloat16")]
    timed = {cell["variant"] for cell in report["climbs"][2]["cells"] if cell["state"] == "timed"}
    assert timed == {"as the katas say", "fused attention", "like nanoGPT"}
    assert report["problems"] == []


def test_a_gpu_that_is_not_there_is_told():
    done = run(["-m", "dojo.check", "cuda", "--device", "tpu"])
    assert done.returncode == 2
    assert "there is no tpu here" in done.stderr


def test_the_stand_in_of_hypothesis_draws_the_same_each_time_and_shows_a_failing_example():
    from dojo.check import hypothesis_standin as standin

    seen = []

    @standin.given(standin.integers(1, 9), standin.data())
    def test(other, number, data):
        seen.append((other, number, data.draw(standin.booleans())))

    test(other="fixture")
    test(other="fixture")
    assert seen[:5] == seen[5:]
    assert len({number for _, number, _ in seen}) > 1
    assert {other for other, _, _ in seen} == {"fixture"}

    @standin.given(standin.integers(1, 9))
    def failing(number):
        assert number > 9

    with pytest.raises(AssertionError):
        failing()
