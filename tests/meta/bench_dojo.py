"""How long a verdict takes, and the commands that run no test, beside `import torch` and a cold pytest in the same run.

Run it by name: pytest -p benchmark -s tests/meta/bench_dojo.py; --quick takes every fifth kata, DOJO_KATAS="softmax
causal" these, and DOJO_TABLE names a file for the table of the loop. What it checks are ratios, with room for a busy
machine; the seconds are only shown.
"""

import os
import queue
import re
import signal
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

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)


VERDICT, NAMED = "^(red|green|no verdict) ", "^  (Your|This part|Two) "
READING = 1.5  # imports of torch: the learner reads, and the next process is made
MOMENTS = {  # what is timed, and its bar: in times of importing torch, or in seconds on two quiet cores
    "dojo test, stub": "0.5 s",
    "dojo test, core, red": "2 x",
    "dojo test, core, green": "2 x",
    "a diagnosis after the verdict": "1 s",
    "watch: save to the first failing clause": "0.5 s",
    "watch: save to green": "1 s",
    "pytest, red": "",
    "pytest, green": "",
}


def wrong(kata):
    """The reference with a mistake of the core in it; None where the kata has none."""
    core = core_clauses(kata.address)
    found = (mistake for mistake in mistakes_of(kata.address).values() if mistake["breaks"] in core)
    mistake = next(found, None)
    return mistake and wrong_source(kata.solution.read_text(encoding="utf-8"), mistake)


def moments_of(clone, kata):
    """Each moment of one kata in seconds, the time of importing torch, and that of a cold pytest on the green kata."""
    name, file, seconds = short(kata), f"katas/{kata.address}.py", {}
    stub, right = clone.read(file), clone.read(f"solutions/{kata.address}.py")
    pytest_words = ["-m", "pytest", f"tests/{kata.part}/test_{kata.name}.py"]

    def timed(words):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *words], cwd=clone.root, env=clone.environment(), stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun

    seconds["dojo test, stub"] = timed(["-m", "dojo", "test", name])
    for colour, text in (("red", wrong(kata)), ("green", right)):
        if text is None:
            continue
        clone.write(file, text)
        run = Lines(clone, "dojo", "test", name)
        if verdict := run.until(VERDICT):
            seconds[f"dojo test, core, {colour}"] = verdict - run.begun
            if colour == "red" and (named := run.until(NAMED)):
                seconds["a diagnosis after the verdict"] = named - verdict
        run.process.wait(120)
        seconds[f"pytest, {colour}"] = timed(pytest_words)
    torch = timed(["-c", "import torch"])
    clone.write(file, stub)
    watch = Lines(clone, "dojo", "watch", name, "--plain")
    watch.until("has no code yet")
    for moment, text in (("save to the first failing clause", wrong(kata)), ("save to green", right)):
        time.sleep(READING * torch + 1)
        if text is not None:
            begun = time.perf_counter()
            clone.write(file, text)
            if verdict := watch.until(VERDICT):
                seconds[f"watch: {moment}"] = verdict - begun
    watch.end()
    clone.write(file, stub)
    return seconds, torch, seconds["pytest, green"]


def spread(found):
    """The median and the 95th percentile."""
    return statistics.median(found), statistics.quantiles(found, n=20, method="inclusive")[-1] if found[1:] else found[
        0
    ]


def test_the_loop(request, clone, capsys):
    """The bars of the loop over the katas, as multiples of importing torch and of a cold pytest."""
    names = os.environ.get("DOJO_KATAS", "").split()
    chosen = [find(name) for name in names] or katas()[:: 5 if request.config.getoption("quick") else 1]
    rows = {moment: ([], []) for moment in MOMENTS}
    torches = []
    for kata in chosen:
        seconds, torch, cold = moments_of(clone, kata)
        torches.append(torch)
        for moment, spent in seconds.items():
            rows[moment][0].append(spent / torch)
            rows[moment][1].append(spent / cold)
    begun = time.perf_counter()
    if not names:
        words = [sys.executable, "-m", "pytest"]
        subprocess.run(words, cwd=clone.root, env=clone.environment(), stdout=subprocess.DEVNULL)
    stubs = (time.perf_counter() - begun) / statistics.median(torches)
    lines = [f"{len(chosen)} katas, import torch {statistics.median(torches):.2f} s; median and 95th percentile"]
    lines.append(f"{'':42}{'x import torch':>16}{'x cold pytest':>16}   bar")
    for moment, bar in MOMENTS.items():
        cells = ["{:7.2f} {:7.2f}".format(*spread(found)) for found in rows[moment] if found]
        lines.append(f"{moment:42}{''.join(f'{cell:>16}' for cell in cells):32}   {bar}")
    if not names:
        lines.append(f"{'pytest on all stubs':42}{stubs:16.2f}{'':16}   15 s")
    if table := os.environ.get("DOJO_TABLE"):
        Path(table).write_text("\n".join([*lines, ""]), encoding="utf-8")
    with capsys.disabled():
        print("", *lines, sep="\n")
    medians = {moment: statistics.median(found) for moment, (found, _) in rows.items() if found}
    assert medians["dojo test, stub"] < 0.5
    assert medians["dojo test, core, green"] < 4
    assert medians["watch: save to the first failing clause"] < medians["dojo test, core, red"]
    assert medians["watch: save to green"] < medians["dojo test, core, green"]
