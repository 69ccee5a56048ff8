"""Every file of tests/meta/hostile/when_run.py is tested by `dojo test`, one after the other: `tox -e hostile`.

No green that was not earned, nothing past its limit, no process and no file left, no byte of a learner's changed, and
no control character on the screen. It takes minutes, so the tests of the repository leave it out.
"""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dojo import ROOT
from dojo.catalog.stubs import stub_of
from tests.meta.hostile.when_run import GREEN, KILLED, NONE, ROWS
from tests.meta.scratch import DOUBLING, Scratch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes and files are watched as Linux shows them")
KATA = "katas/toys/doubling.py"
PATIENCE = 300  # seconds, far more than any limit: what takes as long hangs
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with two small katas, in a process that inherits whatever a run leaves behind."""
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
    toys = Scratch(tmp_path_factory.mktemp("hostile") / "clone")
    toys.only_toys()
    return toys


def put(toys, file):
    """Put a file in place of the kata, and take away what the one before has left."""
    folder = toys.path("katas/toys")
    shutil.rmtree(folder)
    folder.mkdir()
    toys.write("katas/toys/quadrupling.py", stub_of(toys.read("solutions/toys/quadrupling.py")))
    if callable(file):
        file(toys.path(KATA))
    else:
        toys.write(KATA, file)


def content(toys):
    """Every file of the repository with its content; of anything but a regular file, its kind."""
    found = {}
    for folder, _, names in os.walk(toys.root):
        for name in names:
            path = os.path.join(folder, name)
            if ".dojo" not in path and "__pycache__" not in path:
                regular = os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.R_OK)
                found[path] = Path(path).read_bytes() if regular else os.lstat(path).st_mode
    return found


def left_processes(patience=5.0):
    """The processes that a run has left; they get a moment to end."""
    end = time.monotonic() + patience
    while True:
        found = [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)


@pytest.fixture
def nothing_left():
    yield
    for process in left_processes(0):
        process.kill()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_hostile_file(clone, tmp_path, row):
    put(clone, row.file)
    before = content(clone)
    limits = ("--memory-limit", "1000", "--time-limit", "15" if NONE in row.codes else "120")
    process = clone.start("dojo", "test", "doubling", *limits, TMPDIR=str(tmp_path), GITHUB_TOKEN="private")
    try:
        stdout, stderr = process.communicate("", timeout=PATIENCE)
    finally:
        process.kill()
    said = f"{stdout}\n{stderr}"
    assert process.returncode in row.codes, f"{process.returncode}\n{said[-2000:]}"
    assert " ".join(row.says.split()) in " ".join(stdout.split()), said[-2000:]
    assert "Traceback" not in stderr, stderr[-2000:]
    assert not CONTROL.search(said), repr(CONTROL.search(said))
    assert ("green" in stdout) == (process.returncode == GREEN) or row.name == "a line like a verdict"
    assert row.touches or content(clone) == before, "a file of the repository was changed"
    if process.returncode != KILLED:
        assert not left_processes(), f"left: {left_processes(0)}"
        assert not os.listdir(tmp_path), os.listdir(tmp_path)


SEEN_BY = (
    (), ("--json",), ("spec", "doubling"), ("hint", "doubling"), ("diff", "doubling"), ("report", "--no-browser"),
    ("doctor",), ("test", "quadrupling"), ("reset", "doubling"),
)  # fmt: skip
KINDS = [row for row in ROWS if callable(row.file)]


@pytest.mark.parametrize("row", KINDS, ids=lambda row: row.name)
@pytest.mark.parametrize("words", SEEN_BY, ids=lambda words: " ".join(words) or "the map")
def test_every_command_gets_along_with_it(clone, tmp_path, row, words):
    put(clone, row.file)
    process = clone.start("dojo", *words, TMPDIR=str(tmp_path))
    try:
        stdout, stderr = process.communicate("n\n", timeout=PATIENCE)
    finally:
        process.kill()
    assert "Traceback" not in stderr, stderr[-2000:]
    assert process.returncode in (0, 1, 2, 3), f"{process.returncode}\n{stdout}\n{stderr}"


def test_the_stub_itself_is_not_started(clone):
    put(clone, stub_of(DOUBLING))
    assert "not started" in clone.run("dojo", "test", "doubling").stdout


RIGHT_SOFTMAX = (ROOT / "solutions/foundations/softmax.py").read_text(encoding="utf-8")
SUBMISSIONS = {  # what is written below a right answer, and what the sandbox makes of it
    "honest": ("", "green"),
    "wrong": ("\n\ndef softmax(x, dim):\n    return x\n", "red"),
    "network": ("import socket\nsocket.create_connection(('127.0.0.1', 22), 2)\n", "red"),
    "home": (f"import os\nos.listdir({str(Path.home())!r} + '/.ssh')\n", "red"),
    "repository": ("open('katas/new', 'w')\n", "red"),
    "daemon": (
        "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        os.execve('/bin/sleep', ['sleep', '7531'], {})\n    os._exit(0)\n",
        "green",
    ),
    "kills dojo": ("import os\nos.kill(os.getppid(), 9)\n", "no verdict"),
    "stops dojo": ("import os, time\nos.kill(os.getppid(), 19)\ntime.sleep(600)\n", "over time"),
    "fills": ("for n in range(9):\n    open(f'/tmp/{n}', 'wb').write(bytes(10 ** 8))\n", "no verdict"),
}


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
@pytest.mark.parametrize("name", SUBMISSIONS)
def test_the_sandbox_of_other_peoples_code(tmp_path, name):
    more, outcome = SUBMISSIONS[name]
    place = tmp_path / "katas" / "foundations" / "softmax.py"
    place.parent.mkdir(parents=True)
    place.write_text(f"{RIGHT_SOFTMAX}\n\n{more}", encoding="utf-8")
    words = [sys.executable, "docs/groups/judge.py", str(tmp_path), "--seconds", "60"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.stdout.split("  ")[0].strip() == outcome, ended
    assert ended.returncode == (0 if outcome == "green" else 1)
    assert not [one for one in psutil.process_iter(["cmdline"]) if "7531" in (one.info["cmdline"] or ())]
