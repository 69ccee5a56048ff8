"""dojo is killed three hundred times, in the middle of what it does: `tox -e kills`; with `-- -k round-0` sixty times.

After each kill the next command says where the learner stands; the learner's files are byte for byte what they were, or
what the command was asked to make of them; and neither a process nor a temporary file is left.
"""

import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from dojo.catalog.stubs import stub_of
from tests.meta.run_hostile import left_processes
from tests.meta.scratch import DOUBLING, TEST_OF_DOUBLING, Scratch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched as Linux shows them")
KATA = "katas/toys/doubling.py"
OWN = DOUBLING.replace("    return number + number", "    # by hand\n    return 2 * number")
SLOW = TEST_OF_DOUBLING + "\n\ndef test_that_takes_a_moment():\n    import time\n\n    time.sleep(0.3)\n"
FRESH = DOUBLING.replace("a number twice as large", "a number, doubled")
UPDATED = FRESH.replace("    return number + number", "    # by hand\n    return 2 * number")
SMALL = (
    "--vocab-size", "300", "--context-length", "8", "--emb-dim", "16", "--n-heads", "2", "--n-layers", "1",
    "--batch-size", "32", "--epochs", "12", "--save-every", "0",
)  # fmt: skip
# A command, the seconds within which it is killed, and what the learner's file may be after that.
CASES = {
    "test": (("test", "doubling"), 2.0, (OWN,)),
    "watch": (("watch",), 3.0, (OWN,)),
    "hunt": (("hunt", "doubling"), 4.0, (OWN,)),
    "reset": (("reset", "doubling", "--yes"), 0.6, (OWN, stub_of(DOUBLING))),
    "update": (("update",), 1.5, (OWN, UPDATED)),
    "train": (("train", "--text", "own.txt", "--solutions", *SMALL), 14.0, (OWN,)),
}


def git(folder, *words):
    who = {f"GIT_{role}_{what}": "nobody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *words], cwd=folder, env=os.environ | who | quiet, capture_output=True, check=True)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A learner's clone that lags a release behind, with a kata that is written and not committed."""
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what a killed dojo sets free comes here
    upstream = Scratch(tmp_path_factory.mktemp("kills") / "upstream")
    upstream.add("toys/doubling", DOUBLING, SLOW)
    upstream.write(".gitignore", "__pycache__/\n/.dojo/\n")
    git(upstream.root, "init", "-q", "-b", "main")
    git(upstream.root, "add", "--all")
    git(upstream.root, "commit", "-q", "-m", "The first release")
    learner = Scratch.at(upstream.root.with_name("learner"))
    git(upstream.root, "clone", "-q", str(upstream.root), str(learner.root))
    learner.write(KATA, OWN)
    assert learner.run("dojo", "test", "doubling").returncode == 0
    learner.write("own.txt", "a bee sat on the sea.\n" * 400)
    upstream.write("solutions/toys/doubling.py", FRESH)
    upstream.write(KATA, stub_of(FRESH))
    upstream.write("docs/toys/doubling.md", "# Doubling\n")
    git(upstream.root, "add", "--all")
    git(upstream.root, "commit", "-q", "-m", "The second release")
    return learner


@pytest.fixture
def learner(made, tmp_path):
    (tmp_path / "tmp").mkdir()
    shutil.copytree(made.root, tmp_path / "clone")
    yield Scratch.at(tmp_path / "clone")
    for process in left_processes(0):
        process.kill()
    shutil.rmtree(tmp_path)


def own_files(learner):
    """What the learner has written, but for the kata that a command may write."""
    return {name: learner.read(name) for name in ("own.txt", "katas/foundations/softmax.py")}


@pytest.mark.parametrize("command", CASES)
@pytest.mark.parametrize("number", range(300 // len(CASES)), ids=lambda number: f"round-{number:02}")
def test_a_kill(learner, tmp_path, number, command):
    words, latest, right = CASES[command]
    before, more = own_files(learner), {"TMPDIR": str(tmp_path / "tmp")}
    process = learner.start("dojo", *words, **more)
    time.sleep(random.Random(f"{command} {number}").uniform(0, latest))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not left_processes(), left_processes(0)
    for words, codes in (((), (0,)), (("--json",), (0,)), (("status",), (0,)), (("test", "doubling"), (0, 1, 3))):
        done = learner.run("dojo", *words, **more)
        assert done.returncode in codes, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        if words == ("--json",):
            json.loads(done.stdout)
    kata = learner.read(KATA)
    assert kata in right, kata
    assert own_files(learner) == before
    if kata != OWN:
        kept = learner.path(".dojo/toys/doubling/backups").glob("*.py")
        assert OWN in [path.read_text(encoding="utf-8") for path in kept], "what was written is nowhere"
    left = [*learner.path(".dojo").rglob("*.tmp"), *learner.path("katas").rglob("*.tmp"), *(tmp_path / "tmp").iterdir()]
    assert left == []
    if command == "train":
        for words in (("generate", "bee", "--solutions"), ("train", "--resume", "--solutions")):
            done = learner.run("dojo", *words, **more)
            assert done.returncode in (0, 2), done.stdout + done.stderr
            assert "Traceback" not in done.stderr, done.stderr
    if command == "update":
        assert learner.run("dojo", "update", GIT_CONFIG_GLOBAL=os.devnull, **more).returncode == 0
        assert learner.read(KATA) == UPDATED
        trees = subprocess.run(["git", "worktree", "list"], cwd=learner.root, capture_output=True, text=True).stdout
        assert trees.count("\n") == 1, trees
