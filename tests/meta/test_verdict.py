"""dojo/verdict: no exit code alone is believed, limits hold from outside, and every end gets a plain message."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from dojo.catalog.curriculum import Kata
from dojo.verdict import processes
from dojo.verdict.judging import Evidence, judge
from dojo.verdict.record import Outcome, Record, read
from dojo.verdict.supervision import Ended

KATA = Kata("toys/doubling", "Doubling", "", 5)
EXPECTED = {"test_one": "twice", "test_two": "twice"}


def ended_test(name, outcome="passed", why=""):
    return Outcome(name, name, "twice", outcome, why)


def judged(*tests, code=0, whole=True, clauses=("twice",)):
    record = Record(list(tests), begun=True, started="test_two", whole=whole)
    return judge(Evidence(KATA, EXPECTED, record, Ended(code, "", 1.0), reasons=("no GPU",)), clauses)


BOTH = (ended_test("test_one"), ended_test("test_two"))


def test_all_passed_and_recorded_is_green():
    assert judged(*BOTH) == ("green", [])
    assert judged(ended_test("test_one"), ended_test("test_two", "skipped", "no GPU")) == ("green", [])


@pytest.mark.parametrize(
    ("tests", "code", "whole", "outcome", "why"),
    [
        ((ended_test("test_one"), ended_test("test_two", "failed")), 1, True, "red", ""),
        (BOTH, 0, False, "none", "the run ended with code 0 before its last test"),
        (BOTH, 2, True, "none", "pytest ended with code 2 after 2 of 2 tests"),
        (BOTH[:1], 0, True, "none", "1 of 2 tests have no outcome: test_two"),
        ((), 5, True, "none", "pytest ended with code 5 after 0 of 2 tests"),
        (
            (ended_test("test_one"), ended_test("test_two", "skipped")),
            0,
            True,
            "red",
            "skipped for a reason that the tests do not know: test_two",
        ),
        ([ended_test(name, "skipped", "no GPU") for name in EXPECTED], 0, True, "red", "every test was skipped"),
        (BOTH, -11, True, "none", "the run crashed: it was ended by SIGSEGV"),
        (BOTH, 0xC0000005, True, "none", "the run crashed: it ended with code 0xc0000005"),
    ],
)
def test_anything_less_is_not_green(tests, code, whole, outcome, why):
    if code == -11 and os.name == "nt":
        pytest.skip("Windows has no signals")
    found, lines = judged(*tests, code=code, whole=whole)
    assert found == outcome
    assert " ".join(lines).startswith(why)


def test_only_the_tests_of_the_wanted_clauses_decide():
    other = Outcome("test_three", "test_three", "further", "failed")
    assert judged(*BOTH, other, code=1) == ("green", [])


def test_half_a_line_of_the_record_is_no_record():
    lines = [{"record": "start", "test": "test_one", "at": 1.0}, {"record": "test", "test": "test_one"}]
    lines[1] |= {"clause": "twice", "outcome": "passed", "seconds": 0.1}
    text = [*(json.dumps(line | {"secret": "s"}) for line in lines), '{"record": "te']
    record = read("\n".join(text).encode(), "s")
    assert (record.started, record.names, record.whole) == ("test_one", {"test_one"}, False)
    assert read(b"", "s") == Record()


def test_a_record_without_the_runs_secret_counts_for_nothing():
    forged = [{"record": "test", "test": "test_one", "outcome": "passed", "seconds": 0.1}, {"record": "end"}]
    assert read("\n".join(map(json.dumps, forged)).encode(), "s") == Record()


def doubling(before="", body="return 2 * number"):
    return f"import os, subprocess, sys, time\n{before}\ndef double(number):\n    {body}\n"


def verdict_on(toys, source, *more):
    """The verdict on a doubling.py, the exit code, and how long it took."""
    toys.write("katas/toys/doubling.py", source)
    ended = toys.run("dojo", "test", "doubling", "--json", *more)
    assert ended.stderr == ""
    return json.loads(ended.stdout), ended.returncode


def marks(verdict):
    return {one["clause"]: one["mark"] for one in verdict["clauses"]}


def test_a_right_kata_is_green_and_remembered(toys):
    verdict, code = verdict_on(toys, doubling())
    assert (verdict["outcome"], code) == ("green", 0)
    assert marks(verdict) == {"twice": "passed", "even": "passed"}
    assert {one["tier"] for one in verdict["clauses"]} == {"core"}
    assert [one["name"] for one in verdict["tests"]] == ["test_the_double_is_the_sum"] * 2 + ["test_a_double_is_even"]
    kept = json.loads(toys.read(".dojo/toys/doubling/verdict.json"))
    assert kept["outcome"] == "green"


def test_a_wrong_kata_is_red_in_its_clauses(toys):
    verdict, code = verdict_on(toys, doubling(body="return 2 * number + (number == 7)"))
    assert (verdict["outcome"], code) == ("red", 1)
    assert marks(verdict) == {"twice": "passed", "even": "failed"}
    assert verdict["tests"][-1]["explanation"]["details"] == ["double(7) gave 15"]


FIRST = "It was in test_the_double_is_the_sum"
STOPPED = "stopped after 6 seconds; --time-limit allows more"
LOADING = "The tests had not begun: files were being loaded."
YOURS = "your line: katas/toys/doubling.py:4 double  "


@pytest.mark.parametrize(
    ("source", "more", "why"),
    [
        pytest.param(
            doubling(body="while True: pass"),
            ("--time-limit", "6"),
            [STOPPED, FIRST, YOURS + "while True: pass"],
            id="endless loop",
        ),
        pytest.param(
            doubling(before="while True: time.sleep(1)"),
            ("--time-limit", "6"),
            [
                STOPPED,
                LOADING,
                "your line: katas/toys/doubling.py:2 <module>  while True",
            ],
            id="endless loop while loading",
        ),
        pytest.param(
            doubling(body="os._exit(0)"),
            (),
            ["the run ended with code 0 before its last test", FIRST],
            id="os._exit(0)",
        ),
        pytest.param(
            doubling(before="os._exit(0)"),
            (),
            ["the run ended with code 0 before", LOADING],
            id="os._exit while loading",
        ),
        pytest.param(
            doubling(body="os.abort()"), (), ["the run crashed: it ", FIRST, YOURS + "os.abort()"], id="crash"
        ),
        pytest.param(
            doubling(body="\n    kept = []\n    while True: kept.append(bytearray(10_000_000))"),
            ("--memory-limit", "600"),
            ["stopped at", FIRST, "your line: katas/toys/doubling.py:6 double"],
            id="memory",
        ),
        pytest.param(
            doubling(body="while True: print('x' * 1000)"),
            (),
            ["stopped because your code printed more than 10 MB", FIRST, YOURS + "while True"],
            id="flood",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what a test has printed"),
        ),
    ],
)
def test_an_end_without_a_verdict_says_what_happened_and_where(toys, source, more, why):
    verdict, code = verdict_on(toys, source, *more)
    assert (verdict["outcome"], code) == ("none", 3)
    for line, start in zip(verdict["why"], why, strict=False):
        assert line.startswith(start)
    assert len(verdict["why"]) >= len(why)


@pytest.mark.parametrize("call", ["input()", "breakpoint()", "pdb.set_trace()"])
def test_a_call_that_waits_for_a_person_is_named(toys, call):
    verdict, code = verdict_on(toys, doubling(before="import pdb", body=f"{call}; return 2 * number"))
    assert (verdict["outcome"], code) == ("red", 1)
    explanation = verdict["tests"][0]["explanation"]
    assert explanation["headline"].startswith(f"{call} is in your code")
    assert explanation["place"] == "katas/toys/doubling.py:4"


def test_sys_exit_is_no_way_to_pass(toys):
    verdict, code = verdict_on(toys, doubling(body="sys.exit(0)"))
    assert verdict["outcome"] != "green"
    assert code in (1, 3)


def processes_with(word):
    import psutil

    return [one for one in psutil.process_iter(["cmdline"]) if word in " ".join(one.info["cmdline"] or ())]


def ended_soon(word, seconds=10.0):
    end = time.monotonic() + seconds
    while processes_with(word) and time.monotonic() < end:
        time.sleep(0.05)
    return not processes_with(word)


def test_what_the_tests_started_ends_with_them(toys):
    mark = f"mark_{os.getpid()}_orphan"
    start = f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600) #{mark}'])"
    verdict, _ = verdict_on(toys, doubling(body=f"{start}; return 2 * number"))
    assert verdict["outcome"] == "green"
    assert ended_soon(mark)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to another process")
def test_what_the_tests_set_free_ends_with_them(toys):
    mark = f"mark_{os.getpid()}_daemon"
    program = f"[sys.executable, '-c', 'import time; time.sleep(600) #{mark}']"
    start = f"subprocess.Popen({program}, env={{}}, start_new_session=True)"
    verdict, _ = verdict_on(toys, doubling(body=f"os.fork() or ({start}, os._exit(0)); return 2 * number"))
    assert verdict["outcome"] == "green"
    assert ended_soon(mark)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a death signal")
def test_a_killed_dojo_takes_the_run_with_it_and_the_next_one_sweeps(toys, tmp_path):
    toys.write("katas/toys/doubling.py", doubling(body=f"open({str(tmp_path / 'begun')!r}, 'w'); time.sleep(600)"))
    process = toys.start("dojo", "test", "doubling", TMPDIR=str(tmp_path))
    end = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert ended_soon(str(tmp_path / "dojo-run-"))
    assert list(tmp_path.glob("dojo-run-*"))
    toys.write("katas/toys/doubling.py", doubling())
    assert toys.run("dojo", "test", "doubling", TMPDIR=str(tmp_path)).returncode == 0
    assert not list(tmp_path.glob("dojo-run-*"))
    assert not toys.path(".hypothesis").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal for one process")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_dojo_ends_every_process_of_the_run(toys, tmp_path, number, code):
    mark = f"mark_{os.getpid()}_{code}"
    begun = tmp_path / "begun"
    start = f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600) #{mark}'])"
    toys.write("katas/toys/doubling.py", doubling(body=f"{start}; open({str(begun)!r}, 'w'); time.sleep(600)"))
    process = toys.start("dojo", "test", "doubling")
    end = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert begun.exists()
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert stderr.strip() in ("stopped.", "")
    assert ended_soon(mark)


def test_pytests_own_variables_leave_no_test_out(toys):
    toys.write("katas/toys/doubling.py", doubling(body="return 6"))
    ended = toys.run(
        "dojo", "test", "doubling", "--json", PYTEST_ADDOPTS="-k nothing -x", KATA_ROOMS='{"*": "solutions"}'
    )
    assert (ended.returncode, json.loads(ended.stdout)["outcome"]) == (1, "red")


@pytest.mark.parametrize(("name", "value"), [("PYTEST_PLUGINS", "nothing_here"), ("KATA_PROFILE", "nothing_here")])
def test_a_pytest_that_cannot_start_is_told_and_the_kata_is_not_blamed(toys, name, value):
    toys.write("katas/toys/doubling.py", doubling())
    assert toys.run("dojo", "test", "doubling").returncode == 0
    toys.write("katas/toys/doubling.py", doubling(body="return number + number"))
    ended = toys.run("dojo", "test", "doubling", "--json", **{name: value})
    verdict = json.loads(ended.stdout)
    assert (verdict["outcome"], ended.returncode) == ("none", 3)
    assert verdict["why"][0].startswith("pytest could not start: ")
    assert any(value in line for line in verdict["why"][1:]), verdict["why"]
    assert verdict["why"][-1].startswith("`dojo doctor`")
    assert json.loads(toys.run("dojo", "--json").stdout)["katas"][0]["state"] == "edited"


def test_a_plugin_that_is_installed_changes_no_run(toys):
    toys.write("katas/toys/doubling.py", doubling())
    toys.write("more/clashing.py", 'def pytest_addoption(parser):\n    parser.addoption("--further")\n')
    toys.write("more/clash-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: pytest-clash\nVersion: 1\n")
    toys.write("more/clash-1.dist-info/entry_points.txt", "[pytest11]\nclash = clashing\n")
    more = {"PYTHONPATH": str(toys.path("more"))}
    assert "already used" in toys.run("pytest", "tests/toys", "-p", "clash", **more).stderr, "it would clash"
    assert toys.run("pytest", "tests/toys/test_doubling.py", **more).returncode == 0
    assert toys.run("dojo", "test", "doubling", **more).returncode == 0


def test_the_children_of_a_process_are_ended_with_it():
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).wait()"
    apart = {} if os.name == "nt" else {"start_new_session": True}
    process = subprocess.Popen([sys.executable, "-c", child], **apart)
    import psutil

    end = time.monotonic() + 20
    while not (children := psutil.Process(process.pid).children()) and time.monotonic() < end:
        time.sleep(0.05)
    processes.end(process)
    assert children
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in children)
