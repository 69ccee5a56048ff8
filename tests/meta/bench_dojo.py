"""How long a verdict takes, and the commands that run no test, beside `import torch` and a cold pytest in the same run.

Run it by name: pytest -p benchmark -s tests/meta/bench_dojo.py; --quick takes every fifth kata, DOJO_KATAS="softmax
causal" these, and DOJO_TABLE names a file for the table of the loop. What it checks are ratios, with room for a busy
machine; the seconds are only shown.
"""

import os
import queue
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dojo.catalog.curriculum import find, katas, short
from dojo.catalog.mistakes import mistakes_of, wrong_source
from dojo.catalog.specification import core_clauses
from dojo.catalog.stubs import stub_of
from tests.meta.scratch import Scratch
from tests.meta.screens import OnATerminal

pytest.importorskip("psutil")
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


class Lines:
    """A command that is running, and when each of its lines came."""

    def __init__(self, clone, *words):
        self.begun = time.perf_counter()
        self.process = clone.start(*words, PYTHONUNBUFFERED="1")
        self.waiting = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.waiting.put((time.perf_counter(), line))
        self.waiting.put((time.perf_counter(), None))

    def until(self, pattern):
        """When the next line came that fits; None where the command ended without one."""
        while True:
            at, line = self.waiting.get(timeout=300)
            if line is None or re.search(pattern, line):
                return at if line else None


VERDICT, NAMED = r"(red|green|no verdict)   \d+ of \d+", "Your result is the one|This part looks like|Two mistakes"
EVERY = 3  # katas: import torch and a cold pytest are timed beside one, and count for the next ones too
MOMENTS = {  # what is timed, and its bar: in times of importing torch, or in seconds on two quiet cores
    "dojo test, stub": "0.5 s",
    "dojo test, core, red": "2 x",
    "dojo test, core, green": "2 x",
    "watch: save to the first failing clause": "0.5 s, 1 s",
    "watch: save to green": "1 s",
    "watch: verdict to diagnosis": "1 s",
}


def wrong(kata):
    """The reference with a mistake of the core in it; None where the kata has none."""
    core = core_clauses(kata.address)
    found = (mistake for mistake in mistakes_of(kata.address).values() if mistake["breaks"] in core)
    mistake = next(found, None)
    return mistake and wrong_source(kata.solution.read_text(encoding="utf-8"), mistake)


def timed(clone, words):
    begun = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=clone.root, env=clone.environment(), stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def moments_of(clone, kata):
    """Each moment of one kata in seconds."""
    name, file, seconds = short(kata), f"katas/{kata.address}.py", {}
    stub, right, mistaken = clone.read(file), clone.read(f"solutions/{kata.address}.py"), wrong(kata)
    seconds["dojo test, stub"] = timed(clone, ["-m", "dojo", "test", name])
    for colour, text in (("red", mistaken), ("green", right)):
        if text is not None:
            clone.write(file, text)
            run = Lines(clone, "dojo", "test", name)
            if judged := run.until(VERDICT):
                seconds[f"dojo test, core, {colour}"] = judged - run.begun
            if colour == "green":
                run.process.terminate()  # of the further clauses nothing is timed
            run.process.wait(120)  # a diagnosis keeps what it has worked out: the kata is begun
    clone.write(file, stub)
    watch = OnATerminal(clone, "dojo", "watch", name)
    watch.until("has no code yet")
    watch.until_the_spare_waits()
    if mistaken is not None:
        begun = time.perf_counter()
        clone.write(file, mistaken)
        if failed := watch.until("✗"):
            seconds["watch: save to the first failing clause"] = failed - begun
        judged = watch.until(VERDICT)
        if judged and (named := watch.until(NAMED, 3.0)):
            seconds["watch: verdict to diagnosis"] = named - judged
        watch.until_the_spare_waits()
    begun = time.perf_counter()
    clone.write(file, right)
    if judged := watch.until("green   "):
        seconds["watch: save to green"] = judged - begun
    watch.end()
    clone.write(file, stub)
    return seconds


def spread(found):
    """The median and the 95th percentile."""
    return statistics.median(found), statistics.quantiles(found, n=20, method="inclusive")[-1] if found[1:] else found[
        0
    ]


def test_the_loop(request, clone, capsys):
    """The bars of the loop over the katas, as multiples of importing torch and of a cold pytest."""
    names = os.environ.get("DOJO_KATAS", "").split()
    chosen = [find(name) for name in names] or katas()[:: 5 if request.config.getoption("quick") else 1]
    rows = {moment: ([], [], []) for moment in MOMENTS}
    units = []
    for place, kata in enumerate(chosen):
        if place % EVERY == 0:
            clone.write(f"katas/{kata.address}.py", clone.read(f"solutions/{kata.address}.py"))
            tests = f"tests/{kata.part}/test_{kata.name}.py"
            units.append((timed(clone, ["-c", "import torch"]), timed(clone, ["-m", "pytest", tests])))
            clone.write(f"katas/{kata.address}.py", stub_of(clone.read(f"solutions/{kata.address}.py")))
        torch, cold = units[-1]
        for moment, spent in moments_of(clone, kata).items():
            for found, unit in zip(rows[moment], (torch, cold, 1.0), strict=True):
                found.append(spent / unit)
    torch = statistics.median(torch for torch, _ in units)
    lines = [f"{len(chosen)} katas, import torch {torch:.2f} s; median and 95th percentile"]
    lines.append(f"{'':42}{'x import torch':>16}{'x cold pytest':>16}{'seconds':>16}   bar")
    for moment, bar in MOMENTS.items():
        cells = ["{:7.2f} {:7.2f}".format(*spread(found)) for found in rows[moment] if found]
        lines.append(f"{moment:42}{''.join(f'{cell:>16}' for cell in cells):48}   {bar}")
    if not names:
        stubs = timed(clone, ["-m", "pytest"])
        lines.append(f"{'pytest on all stubs':42}{stubs / torch:16.2f}{'':16}{stubs:16.2f}   15 s")
    if table := os.environ.get("DOJO_TABLE"):
        Path(table).write_text("\n".join([*lines, ""]), encoding="utf-8")
    with capsys.disabled():
        print("", *lines, sep="\n")
    medians = {moment: statistics.median(found[0]) for moment, found in rows.items() if found[0]}
    assert medians["dojo test, stub"] < 0.5
    assert medians["dojo test, core, green"] < 4
    assert medians["watch: save to the first failing clause"] < medians["dojo test, core, red"]
    assert medians["watch: save to green"] < medians["dojo test, core, green"]
