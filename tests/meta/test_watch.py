"""`dojo watch`: every save gets its verdict, whatever happens meanwhile, and nothing is left behind."""

import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from dojo.catalog.curriculum import find
from dojo.verdict import render
from dojo.verdict.command import OFFER
from dojo.verdict.diagnosis import Named
from dojo.verdict.explain import WRONG, Explanation
from dojo.verdict.record import Outcome, Record
from dojo.verdict.run import Verdict
from dojo.watch import screen, watching
from tests.meta.screens import OnATerminal

psutil = pytest.importorskip("psutil")
PATIENCE = 60.0


class Watch:
    """`dojo watch --plain` in a copy, and the lines that it has printed."""

    def __init__(self, scratch, kata="doubling"):
        self.scratch = scratch
        self.process = scratch.start("dojo", "watch", kata, "--plain", PYTHONUNBUFFERED="1")
        self.lines = queue.SimpleQueue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip())

    def until(self, pattern):
        """The next line that fits, and all before it."""
        seen, end = [], time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                seen.append(self.lines.get(timeout=0.2))
            except queue.Empty:
                continue
            if re.search(pattern, seen[-1]):
                return seen
        pytest.fail(f"no line like {pattern!r} came, only {seen}")

    def save(self, body, name="doubling", by_rename=False):
        path = self.scratch.path(f"katas/toys/{name}.py")
        text = self.scratch.read(f"solutions/toys/{name}.py")
        text = re.sub(r"\n    return .*\n$", f"\n    {body}\n", text)
        if by_rename:
            beside = path.with_suffix(".tmp")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
        else:
            path.write_text(text, encoding="utf-8")

    def family(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number=signal.SIGTERM):
        family = self.family()
        self.process.send_signal(number)
        self.process.wait(30)
        _, alive = psutil.wait_procs(family, timeout=20)
        return [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def watch(toys):
    started = Watch(toys)
    started.until("doubling.py has no code yet")
    yield started
    if started.process.poll() is None:
        started.end()
    started.process.kill()


def test_each_save_gets_its_verdict(watch):
    watch.save("return 3")
    assert "✗ twice  ✗ even" in watch.until("^red   0 of 2 clauses")
    watch.save("return number + number", by_rename=True)
    assert "✓ twice  ✓ even" in watch.until("^green   2 of 2 clauses")
    watch.scratch.write("katas/toys/doubling.py", "def double(:\n")
    watch.until("is not valid Python")
    assert watch.scratch.run("dojo", "--json").stdout.count("in progress") == 1, "the verdict is remembered"


def test_it_follows_the_file_that_was_saved_last(watch):
    watch.save("return 4 * number", "quadrupling")
    seen = watch.until("^green   1 of 1 clauses")
    assert any(line.startswith("Quadrupling") for line in seen)


def test_a_save_in_the_middle_of_a_run_is_what_counts(watch):
    watch.save("while True: pass")
    time.sleep(1)
    watch.save("return 3 * number")
    assert "  double(3) gave 9" in watch.until("^red   0 of 2 clauses")


def test_many_saves_in_a_row_end_with_the_last(watch):
    """DOJO_SAVES=200 makes it the long check; the figures are printed with -s."""
    saves, least, most, number = int(os.environ.get("DOJO_SAVES", "24")), 0.0, 0.0, 0
    chance = random.Random(5)
    while number < saves:
        for _ in range(chance.choice([1, 2, 4, 8])):
            number += 1
            watch.save(f"return {100 + number}", by_rename=chance.random() < 0.5)
            time.sleep(chance.choice([0.0, 0.02, 0.1, 0.6, 2.0]))
        seen = watch.until(rf"double\(3\) gave {100 + number}$")
        watch.until("^red   [01] of 2 clauses")
        told = [int(found[1]) for line in seen if (found := re.search(r"double\(3\) gave (\d+)$", line))]
        assert told == sorted(told), "a save was overtaken by an older one"
        assert len(watch.family()) <= 4, "a spare, what works ahead, and nothing that was overtaken"
        used = psutil.Process(watch.process.pid).memory_info().rss / 2**20
        least, most = least or used, max(most, used)
    watch.save("return number + number")
    watch.until("^green   2 of 2 clauses")
    threads = psutil.Process(watch.process.pid).num_threads()
    print(f"{number + 1} saves: memory {least:.1f} MB at first, {most:.1f} MB at most; {threads} threads at the end")
    assert most < least + 12, "memory grows"
    assert watch.end() == []


def red(*tests):
    """A verdict on softmax in which these tests failed, each with its clause, before a mistake was looked for."""
    outcomes = [
        Outcome(name, name, slug, "failed", explanation=Explanation(WRONG, f"{slug}: A line.", (f"{slug} is 3",)))
        for slug, name in tests
    ]
    marks = {slug: "failed" for slug, _ in tests}
    return Verdict(find("softmax"), outcome="red", begun=True, tests=outcomes, clauses=marks)


EXAMPLE = ("example", "test_the_example_is_right")
DIM = ("dim", "test_each_line_is_as_it_would_be_alone")
NAMED = "Your result is the one you get when the softmax is taken along the last axis"


@pytest.mark.parametrize(("tests", "expected"), [([DIM], NAMED), ([EXAMPLE, DIM], f"dim: {NAMED}")])
def test_a_mistake_that_is_found_later_is_told_once_below_the_verdict(tests, expected, capsys):
    plain, view = screen.Plain(), screen.View(find("softmax"), verdict=red(*tests))
    plain.verdict(view)
    view.verdict.named = Named("always-the-last-axis")
    for _ in range(2):
        plain.verdict(view)
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("is 3") == len(tests)
    assert told.count(NAMED) == told.count(expected) == 1
    assert told.index("of 9 clauses") < told.index(expected)


@pytest.mark.parametrize("tests", [[DIM], [DIM, EXAMPLE], [EXAMPLE, DIM]])
@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_mistake_that_is_found_later_comes_to_the_redrawn_verdict(tests, width):
    view = screen.View(find("softmax"), verdict=red(*tests))
    before = [screen.text_of(line) for line in screen.lines_of(view, width)]
    view.verdict.named = Named("always-the-last-axis")
    after = [screen.text_of(line) for line in screen.lines_of(view, width)]
    assert NAMED in " ".join(" ".join(after).split())
    assert [line for line in after if line in before] == before, "what was shown is still shown, in its order"
    assert max(map(len, after)) <= width


@pytest.mark.parametrize("height", [9, 12])
def test_the_outcome_stays_in_sight_where_not_everything_fits(height):
    redrawn, drawn = screen.Redrawn(), []
    redrawn.console = SimpleNamespace(size=(60, height))
    redrawn.live = SimpleNamespace(update=lambda text, refresh: drawn.append(text.plain.split("\n")))
    view = screen.View(find("softmax"), verdict=red(*((f"clause-{number}", "test") for number in range(9))))
    seen = []
    for view.scrolled in range(20):
        redrawn.show(view)
        assert len(drawn[-1]) == height - 1
        assert any(line.startswith("red   0 of 9 clauses") for line in drawn[-1])
        seen += drawn[-1]
    assert "more lines: down arrow" in " ".join(drawn[0])
    assert "more lines" not in " ".join(drawn[-1])
    whole = {screen.text_of(line) for line in screen.lines_of(view, 59)}
    assert whole <= set(seen), "each line can be scrolled to"


@pytest.mark.parametrize("complete", [True, False, None])
def test_no_line_is_wider_than_the_screen(complete):
    """One that is would take two rows, and the keys would lie below the screen."""
    verdict = red()
    verdict.outcome, verdict.complete, verdict.tiers = "green", complete, OFFER
    panel = ["def softmax(x: Tensor, dim: int) -> Tensor:  # as long as a signature can be", "    one two"]
    for view in (screen.View(verdict.kata, verdict=verdict), screen.View(verdict.kata, panel=panel)):
        lines = [screen.text_of(line) for line in screen.lines_of(view, 39)]
        assert max(map(len, lines)) <= 39
    assert lines[-1] == "    one two", "what is indented stays so"


def test_what_failed_before_the_save_is_said_to_be_old():
    view = screen.View(find("softmax"), record=Record(), verdict=red(EXAMPLE))
    lines = [screen.text_of(line) for line in screen.lines_of(view, 80)]
    assert lines.index("before this save:") < lines.index("example: A line.")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal for one process")
def test_a_signal_is_heard_where_an_exception_would_be_lost(monkeypatch):
    class Lost:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(watching, "Run", lambda *_: None)
    monkeypatch.setattr(watching.Watch, "_have_spare", lambda self: None)
    with pytest.raises(SystemExit) as ended:
        watching.Watch(find("softmax"), SimpleNamespace(show=lambda view: Lost() and None)).loop()
    assert ended.value.code == 128 + signal.SIGTERM


def test_a_file_that_is_gone_and_comes_back(watch):
    watch.scratch.path("katas/toys/doubling.py").unlink()
    watch.until("doubling.py is missing")
    watch.save("return number + number")
    watch.until("^green   2 of 2 clauses")


def test_a_change_of_the_tests_asks_for_a_new_verdict(watch):
    watch.save("return number + number")
    watch.until("^green   2 of 2 clauses")
    tests = watch.scratch.read("tests/toys/test_doubling.py")
    watch.scratch.write("tests/toys/test_doubling.py", tests.replace("% 2 == 0", "% 2 == 1"))
    watch.until("^red   1 of 2 clauses")


def test_a_stub_that_comes_back_keeps_no_verdict(monkeypatch):
    """git has switched to a branch on which nothing is written yet."""
    monkeypatch.setattr(watching.Watch, "_have_spare", lambda self: None)
    monkeypatch.setattr(watching, "standing", lambda kata: SimpleNamespace(state="not started"))
    watch = watching.Watch(find("softmax"), SimpleNamespace(show=lambda view: None))
    watch.view.verdict = red(DIM)
    watch.begin(watch.view.kata)
    assert watch.view.verdict is None
    assert "no code yet" in watch.view.note


@pytest.mark.parametrize("outcome", ["green", "red", "none"])
def test_every_colour_can_be_read_on_white_and_on_black(outcome):
    verdict = red(EXAMPLE, DIM)
    verdict.outcome, verdict.complete, verdict.tiers = outcome, None, OFFER
    view = screen.View(verdict.kata, "A note.", verdict=verdict)
    drawn = [*screen.lines_of(view, 80), *render.further(verdict, 80), *screen.Redrawn()._foot(view, 80)]
    styles = {word for line in drawn for part in line if not isinstance(part, str) for word in part[1].split()}
    assert styles <= {"bold", "dim", "red", "green", "cyan", "magenta"}


def test_a_key_and_its_word_stay_in_one_line():
    lines = [screen.text_of(line) for line in screen.Redrawn()._foot(screen.View(find("softmax")), 40)]
    assert len(lines) > 1
    assert all(re.fullmatch(r"[a-z] [a-z]+", key) for line in lines for key in line.split("  "))


def test_a_new_run_takes_the_place_of_what_a_key_showed(monkeypatch):
    monkeypatch.setattr(watching, "Run", lambda *_: None)
    monkeypatch.setattr(watching.Watch, "_have_spare", lambda self: None)
    panels = []
    watch = watching.Watch(find("softmax"), SimpleNamespace(show=lambda view: panels.append([*view.panel])))
    watch.handle(watching.Shown("a hint"))
    watch.handle(watching.Key("r"))
    assert panels == [["a hint"], []]


def test_what_a_key_has_started_ends_with_the_loop(monkeypatch):
    started, start = [], subprocess.Popen

    def slow(words, **how):
        started.append(start([sys.executable, "-c", "import time; time.sleep(60)"], **how))
        return started[-1]

    monkeypatch.setattr(watching.Watch, "_have_spare", lambda self: None)
    monkeypatch.setattr(watching, "standing", lambda kata: SimpleNamespace(state="not started"))
    monkeypatch.setattr(subprocess, "Popen", slow)
    watch = watching.Watch(find("softmax"), SimpleNamespace(show=lambda view: None))
    for name in ("c", "h", "q"):
        watch.post(watching.Key(name))
    watch.loop()
    assert [one.poll() is None for one in started] == [False, False]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal for one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_is_left_behind(watch, number):
    watch.save("while True: pass")
    time.sleep(2)
    assert watch.end(number) == []


@pytest.fixture
def on_a_terminal(toys):
    """Starts `dojo watch` on a terminal."""
    started = []

    def start(**streams):
        started.append(OnATerminal(toys, "dojo", "watch", "doubling", **streams))
        assert started[-1].until("has no code yet")
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(30)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminal here")
def test_errors_that_go_elsewhere_leave_the_screen_redrawn(on_a_terminal, toys):
    watch = on_a_terminal(stderr=subprocess.DEVNULL)
    toys.write("katas/toys/doubling.py", toys.read("solutions/toys/doubling.py").replace("+ number", "+ 1"))
    assert watch.until("testing"), "nothing is drawn before the verdict"
    assert watch.until("red   1 of 2 clauses")
    watch.end()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminal here")
@pytest.mark.parametrize("key", [b"", b"x"], ids=["at-rest", "at-a-question"])
def test_it_ends_with_its_terminal(on_a_terminal, key):
    watch = on_a_terminal()
    family = psutil.Process(watch.process.pid).children(recursive=True)
    if key:
        os.write(watch.screen, key)
        assert watch.until("y/n")
    watch.hang_up()
    watch.process.wait(30)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
