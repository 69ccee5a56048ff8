"""How long dojo's commands take that run no test, beside a bare Python and `import torch` in the same run.

Run it by name: pytest tests/meta/bench_dojo.py. What it checks are ratios, with room for a busy machine; the seconds
are only shown.
"""

import statistics
import subprocess
import sys
import time

import pytest

from tests.meta.scratch import Scratch

cli = pytest.importorskip("dojo.cli", reason="dojo's commands need click", exc_type=ModuleNotFoundError)

ROUNDS = 7
COMMANDS = {
    "dojo": ["-m", "dojo"],
    "dojo hint": ["-m", "dojo", "hint", "causal", "--again"],
    "dojo spec": ["-m", "dojo", "spec", "causal"],
    "dojo diff": ["-m", "dojo", "diff", "causal", "--yes"],
    "dojo reset": ["-m", "dojo", "reset", "causal", "--yes"],
    "dojo --help": ["-m", "dojo", "--help"],
} | {f"dojo {name} --help": ["-m", "dojo", name, "--help"] for name in cli.COMMANDS}
# A bare Python takes about 15 ms, click 20 more; torch takes more than a second. The bar is 150 ms.
MOST_OF_BARE, MOST_OF_TORCH = 10, 0.2


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return Scratch(tmp_path_factory.mktemp("bench") / "clone")


def call(clone, words):
    subprocess.run(
        [sys.executable, *words], cwd=clone.root, env=clone.environment(), stdout=subprocess.DEVNULL, check=True
    )


def median(clone, words, rounds=ROUNDS):
    """The median time of a command, in seconds."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call(clone, words)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


@pytest.fixture(scope="module")
def beside(clone):
    """The times of a bare Python and of importing torch."""
    return {"bare": median(clone, ["-c", "pass"]), "torch": median(clone, ["-c", "import torch"], rounds=3)}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_without_tests_is_quick(benchmark, clone, beside, name):
    call(clone, COMMANDS[name])  # the first call works out the stubs
    benchmark.pedantic(call, args=(clone, COMMANDS[name]), rounds=ROUNDS)
    seconds = benchmark.stats.stats.median if benchmark.stats else median(clone, COMMANDS[name])
    ratios = {"times a bare Python": seconds / beside["bare"], "of importing torch": seconds / beside["torch"]}
    benchmark.extra_info.update({what: round(ratio, 3) for what, ratio in ratios.items()})
    benchmark.extra_info["milliseconds"] = round(1000 * seconds)
    print(f"\n{name}: {1000 * seconds:.0f} ms,", ", ".join(f"{ratio:.2f} {what}" for what, ratio in ratios.items()))
    assert ratios["times a bare Python"] < MOST_OF_BARE
    assert ratios["of importing torch"] < MOST_OF_TORCH
