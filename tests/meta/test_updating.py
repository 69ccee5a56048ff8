"""`dojo update` on a clone that lags a release behind: everything new comes, and what is written stays."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from dojo.catalog.stubs import stub_of
from tests.meta.scratch import DOUBLING, TEST_OF_DOUBLING, Scratch

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

OWN = DOUBLING.replace("    return number + number", "    # by hand\n    return 2 * number")
FRESH = DOUBLING.replace("a number twice as large", "a number, doubled").replace(
    "        even ", "        sign   The sign is kept.\n        even "
)
NEW_KATA = '''"""Kata: tripling."""


def triple(number: int) -> int:
    """Give back a number three times as large.

    Clauses:
        thrice  The result is the sum of three.
    """
    return number * 3
'''


def git(scratch, *words):
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = {f"GIT_{role}_{what}": "nobody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *words], cwd=scratch.root, env=own | who | quiet, capture_output=True, text=True, check=True
    )
    return done.stdout


def commit(scratch, subject):
    git(scratch, "add", "--all")
    git(scratch, "commit", "-q", "-m", subject)


@pytest.fixture
def upstream(toys):
    """The repository that releases come from, with the toys in its first one."""
    toys.write(".gitattributes", "* text=auto eol=lf\n")
    toys.write(".gitignore", "__pycache__/\n/.dojo/\n")
    toys.write("CHANGELOG.md", "# Changelog\n\n- Doubling.\n")
    git(toys, "init", "-q", "-b", "main")
    commit(toys, "The first release")
    return toys


@pytest.fixture
def learner(upstream, tmp_path):
    """A clone of the first release."""
    git(upstream, "clone", "-q", str(upstream.root), str(tmp_path / "learner"))
    return Scratch.at(tmp_path / "learner")


def release(upstream, solution=FRESH, test=TEST_OF_DOUBLING + "\n# more\n"):
    """A second release: another docstring, other tests, a new kata, news."""
    upstream.write("solutions/toys/doubling.py", solution)
    upstream.write("katas/toys/doubling.py", stub_of(solution))
    upstream.write("tests/toys/test_doubling.py", test)
    upstream.add("toys/tripling", NEW_KATA, "# no tests yet\n")
    upstream.write("CHANGELOG.md", "# Changelog\n\n- Tripling.\n- Doubling.\n")
    commit(upstream, "The second release")


def update(scratch, *words, **more):
    return scratch.run("dojo", "update", *words, GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_SYSTEM=os.devnull, **more)


def test_an_untouched_clone_moves_to_the_release(upstream, learner):
    release(upstream)
    done = update(learner)
    assert done.returncode == 0, done.stderr
    assert "  - Tripling.\n" in done.stdout
    assert "- Doubling." not in done.stdout
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  toys/")]
    assert lines == [["toys/doubling", "tests fresh, not begun"], ["toys/tripling", "new"]]
    assert learner.read("katas/toys/doubling.py") == stub_of(FRESH)
    assert learner.path("katas/toys/tripling.py").exists()
    assert git(learner, "rev-parse", "HEAD") == git(upstream, "rev-parse", "HEAD")
    assert git(learner, "status", "--porcelain") == ""


@pytest.mark.parametrize("committed", [False, True], ids=["not committed", "committed"])
def test_a_written_body_stays_and_its_docstring_is_fresh(upstream, learner, committed):
    learner.write("katas/toys/doubling.py", OWN)
    if committed:
        commit(learner, "My doubling")
    release(upstream)
    done = update(learner)
    assert done.returncode == 0, done.stderr
    expected = FRESH.replace("    return number + number", "    # by hand\n    return 2 * number")
    assert learner.read("katas/toys/doubling.py") == expected
    assert "tests fresh, your bodies as they were" in done.stdout
    assert done.stdout.endswith("next: dojo test doubling\n")
    assert git(learner, "status", "--porcelain") == ("" if committed else " M katas/toys/doubling.py\n")
    git(learner, "merge-base", "--is-ancestor", "origin/main", "HEAD")
    assert learner.run("dojo", "test", "doubling").returncode == 0
    assert update(learner).stdout == "nothing new: origin/main is here already.\n"
    assert git(learner, "worktree", "list").count("\n") == 1


def test_changes_on_top_of_a_commit_stay_uncommitted(upstream, learner):
    learner.write("katas/toys/doubling.py", OWN)
    commit(learner, "My doubling")
    learner.write("katas/toys/doubling.py", OWN.replace("by hand", "on second thought"))
    release(upstream)
    assert update(learner).returncode == 0
    assert "# on second thought\n    return 2 * number" in learner.read("katas/toys/doubling.py")
    assert "a number, doubled" in learner.read("katas/toys/doubling.py")
    assert "# by hand" in git(learner, "show", "HEAD:katas/toys/doubling.py")
    assert git(learner, "status", "--porcelain") == " M katas/toys/doubling.py\n"


def test_check_changes_nothing(upstream, learner):
    learner.write("katas/toys/doubling.py", OWN)
    commit(learner, "My doubling")
    release(upstream)
    head = git(learner, "rev-parse", "HEAD")
    done = update(learner, "--check")
    assert "toys/tripling  new" in done.stdout
    assert "nothing was changed. next: dojo update\n" in done.stdout
    assert git(learner, "rev-parse", "HEAD") == head
    assert learner.read("katas/toys/doubling.py") == OWN
    data = json.loads(update(learner, "--check", "--json").stdout)
    assert data["done"] is False
    assert data["news"] == ["- Tripling."]
    assert data["katas"][0] == {
        "kata": "toys/doubling", "change": "fresh", "written": True, "tests": True, "notes": [],
    }  # fmt: skip


def test_a_file_that_python_cannot_read_is_left_alone_and_caught_up_with_later(upstream, learner):
    learner.write("katas/toys/doubling.py", OWN + "\ndef (\n")
    release(upstream)
    done = update(learner)
    assert done.returncode == 0, done.stderr
    assert "left alone" in done.stdout
    assert "Python cannot read it, line 14" in done.stdout
    assert learner.read("katas/toys/doubling.py") == OWN + "\ndef (\n"
    learner.write("katas/toys/doubling.py", OWN)
    assert "specification fresh, your bodies as they were" in update(learner).stdout
    assert "a number, doubled" in learner.read("katas/toys/doubling.py")


def test_a_kata_that_is_withdrawn_goes_only_where_nothing_was_written(upstream, learner):
    for name in ("solutions/toys/doubling.py", "katas/toys/doubling.py", "tests/toys/test_doubling.py"):
        upstream.path(name).unlink()
    commit(upstream, "Withdraw doubling")
    learner.write("katas/toys/doubling.py", OWN)
    commit(learner, "My doubling")
    done = update(learner)
    assert done.returncode == 0, done.stderr
    assert "it is no longer a kata; your file stays" in done.stdout
    assert learner.read("katas/toys/doubling.py") == OWN
    assert not learner.path("tests/toys/test_doubling.py").exists()


def test_a_kata_that_is_withdrawn_and_was_not_begun_goes(upstream, learner):
    upstream.path("katas/toys/doubling.py").unlink()
    upstream.path("solutions/toys/doubling.py").unlink()
    commit(upstream, "Withdraw doubling")
    learner.write("notes.md", "mine\n")
    commit(learner, "My notes")
    assert update(learner).returncode == 0
    assert not learner.path("katas/toys/doubling.py").exists()
    assert learner.read("notes.md") == "mine\n"


def test_a_change_of_ones_own_outside_the_katas_is_in_the_way_and_said(upstream, learner):
    learner.write("CHANGELOG.md", "mine\n")
    learner.write("katas/toys/doubling.py", OWN)
    release(upstream)
    done = update(learner)
    assert done.returncode == 2
    assert "CHANGELOG.md changed here and in the release." in done.stderr
    assert "git stash" in done.stderr
    assert done.stderr.endswith("Nothing was changed.\n")
    assert learner.read("katas/toys/doubling.py") == OWN
    commit(learner, "My changelog")
    done = update(learner)
    assert "CHANGELOG.md changed in your commits and in the release." in done.stderr
    assert git(learner, "worktree", "list").count("\n") == 1
    assert git(learner, "status", "--porcelain") == ""


def test_a_file_in_the_place_of_a_new_one_is_in_the_way_and_said(upstream, learner):
    learner.write("katas/toys/tripling.py", "mine = 1\n")
    release(upstream)
    done = update(learner)
    assert done.returncode == 2
    assert "the release brings katas/toys/tripling.py, and a file of yours is there." in done.stderr
    assert learner.read("katas/toys/tripling.py") == "mine = 1\n"


def test_a_file_of_ones_own_that_is_not_in_the_way_stays(upstream, learner):
    learner.write("notes.md", "mine\n")
    learner.write("katas/toys/quadrupling.py", "# begun\n" + learner.read("katas/toys/quadrupling.py"))
    release(upstream)
    assert update(learner).returncode == 0
    assert learner.read("notes.md") == "mine\n"
    assert learner.read("katas/toys/quadrupling.py").startswith("# begun\n")


def test_new_requirements_are_the_next_step(upstream, learner):
    release(upstream)
    upstream.write("pyproject.toml", upstream.read("pyproject.toml") + "\n# more\n")
    commit(upstream, "More requirements")
    assert update(learner).stdout.endswith("next: python -m pip install -c constraints.txt -e .\n")


def test_a_deleted_file_comes_back_as_the_stub(upstream, learner):
    learner.path("katas/toys/doubling.py").unlink()
    release(upstream)
    assert update(learner).returncode == 0
    assert learner.read("katas/toys/doubling.py") == stub_of(FRESH)


def test_a_fork_asks_upstream_and_not_its_origin(upstream, learner, tmp_path):
    git(upstream, "clone", "-q", "--bare", str(learner.root), str(tmp_path / "fork.git"))
    git(learner, "remote", "set-url", "origin", str(tmp_path / "fork.git"))
    git(learner, "remote", "add", "upstream", str(upstream.root))
    release(upstream)
    done = update(learner)
    assert done.returncode == 0, done.stderr
    assert learner.path("katas/toys/tripling.py").exists()


def test_a_release_can_be_named(upstream, learner):
    release(upstream)
    git(upstream, "tag", "v2")
    upstream.write("katas/toys/later.py", "")
    commit(upstream, "Later")
    assert update(learner, "v2").returncode == 0
    assert learner.path("katas/toys/tripling.py").exists()
    assert not learner.path("katas/toys/later.py").exists()
    assert "there is no v9 here" in update(learner, "v9").stderr


@pytest.fixture
def broken_git(tmp_path):
    """A PATH with a git that does something else at a merge of its own, and then reports an error."""

    def path(instead):
        folder = tmp_path / "bin"
        folder.mkdir()
        script = f'#!/bin/sh\ncase "$*" in *--ff-only*) {instead}; exit 1;; esac\nexec "{shutil.which("git")}" "$@"\n'
        (folder / "git").write_text(script, encoding="utf-8")
        (folder / "git").chmod(0o755)
        return os.pathsep.join([str(folder), os.environ["PATH"]])

    return path


@pytest.mark.skipif(os.name == "nt", reason="the git of this test is a shell script")
@pytest.mark.parametrize(
    ("instead", "code", "told"),
    [
        ("true", 2, "Nothing was changed."),
        ("echo half > CHANGELOG.md", 2, "The update stopped before its end"),
        ('"$REAL" "$@"', 0, "updated: "),
        ("kill -9 $$", 2, "`git merge -q` was ended by SIGKILL. Nothing was changed."),
    ],
    ids=["nothing", "half of it", "all of it", "killed"],
)
def test_what_git_had_done_when_it_failed_is_told(upstream, learner, broken_git, instead, code, told):
    learner.write("katas/toys/doubling.py", OWN)
    release(upstream)
    done = update(learner, PATH=broken_git(instead), REAL=shutil.which("git"))
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stdout + done.stderr
    assert ("Nothing was changed" in done.stderr) == (instead in ("true", "kill -9 $$"))
    if code:
        assert learner.read("katas/toys/doubling.py") == OWN
    else:
        assert "a number, doubled" in learner.read("katas/toys/doubling.py")
        assert "return 2 * number" in learner.read("katas/toys/doubling.py")


@pytest.mark.parametrize("case", ["no remote", "no answer", "no git", "no common history", "in the middle"])
def test_what_stands_in_the_way_is_said(upstream, learner, case, tmp_path):
    words = []
    if case == "no remote":
        git(learner, "remote", "remove", "origin")
        expected = "git remote add upstream"
    elif case == "no answer":
        shutil.rmtree(upstream.path(".git"))
        expected = "origin gave no releases."
    elif case == "no git":
        expected = "not a git repository"
        shutil.rmtree(learner.path(".git"))
    elif case == "no common history":
        git(learner, "checkout", "-q", "--orphan", "alone")
        commit(learner, "Alone")
        expected = "no history in common"
    else:
        learner.write(".git/MERGE_HEAD", git(learner, "rev-parse", "HEAD"))
        expected = "git is in the middle of something"
    done = update(learner, *words, GIT_CEILING_DIRECTORIES=str(tmp_path))
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("Nothing was changed.\n")


def test_without_git_the_bodies_of_another_copy_are_brought_over(upstream, learner):
    learner.write("katas/toys/doubling.py", OWN)
    shutil.rmtree(learner.path(".git"))
    release(upstream)
    done = upstream.run("dojo", "update", "--from", str(learner.root))
    assert done.stdout.splitlines()[0].split(maxsplit=1) == [
        "toys/doubling",
        "specification fresh, your bodies as they were",
    ]
    expected = FRESH.replace("    return number + number", "    # by hand\n    return 2 * number")
    assert upstream.read("katas/toys/doubling.py") == expected
    again = upstream.run("dojo", "update", "--from", str(learner.root))
    assert "it is begun here already, and was left alone" in again.stdout
    assert upstream.read("katas/toys/doubling.py") == expected
    assert (
        "is not a copy of this repository"
        in upstream.run("dojo", "update", "--from", str(learner.root / "katas")).stderr
    )


# `dojo update` that is killed before its step of this number, 0: while git writes the release's files; or, with "git",
# a `dojo update` whose git is killed at its call of this number: before it, or after a step of those that write.
KILLED = """
import atexit, os, pathlib, subprocess, sys
at, whose, count = int(sys.argv[1]), sys.argv[2:], 0

def half():
    pathlib.Path("CHANGELOG.md").write_text("# Changelog\\n\\n- Tripl")
    pathlib.Path("katas/toys/tripling.py").write_text("")
    pathlib.Path("katas/toys/doubling.py").unlink()
    pathlib.Path(".git/index.lock").write_text("")
    os._exit(9)

def counted(real, is_step):
    def call(*words, **more):
        global count
        if is_step(*words):
            count += 1
            if at == 0 and isinstance(words[0], list) and "--ff-only" in words[0]:
                half()
            if count == at:
                os._exit(9)
        return real(*words, **more)
    return call

def killed(real):
    def call(words, **more):
        global count
        counts = words[0] == "git" and ("after" not in whose or bool(STEPS & {*words}))
        count += counts
        if count != at or not counts:
            return real(words, **more)
        if "after" in whose:
            real(words, **more)
        return subprocess.CompletedProcess(words, -9, b"", b"")
    return call

STEPS = {"add", "checkout", "commit", "merge", "rm", "worktree"}
if "git" in whose:
    subprocess.run = killed(subprocess.run)
    atexit.register(lambda: pathlib.Path("..", "calls").write_text(str(count)))
else:
    subprocess.run = counted(subprocess.run, lambda words, **_: words[0] == "git" and bool(STEPS & {*words}))
    os.replace = counted(os.replace, lambda *_: True)
    os.unlink = counted(os.unlink, lambda *_: True)
sys.argv[1:] = ["update"]
from dojo.__main__ import main
main()
"""
MORE = OWN.replace("by hand", "on second thought")
EXPECTED = FRESH.replace("    return number + number", "    # on second thought\n    return 2 * number")


@pytest.mark.long
def test_an_update_that_is_killed_at_any_step_is_brought_to_an_end_by_the_next_command(upstream, learner, tmp_path):
    learner.write("katas/toys/doubling.py", OWN)
    commit(learner, "My doubling")
    learner.write("katas/toys/doubling.py", MORE)
    release(upstream)
    git(learner, "fetch", "-q")
    killed = Scratch.at(tmp_path / "killed")
    told, at = set(), 0
    while True:
        shutil.copytree(learner.root, killed.root)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(at)], cwd=killed.root, env=killed.environment(), capture_output=True
        )
        if done.returncode != 9:
            break
        after = killed.run("dojo", "list")
        assert after.returncode == 0
        assert killed.read("katas/toys/doubling.py") in (MORE, EXPECTED), f"step {at}"
        assert git(killed, "worktree", "list").count("\n") == 1, f"step {at}"
        left = [path for path in killed.path(".dojo").rglob("*") if path.match("*.tmp") or path.name == "update.json"]
        assert left == [], f"step {at}"
        assert set(git(killed, "status", "--porcelain").splitlines()) == {" M katas/toys/doubling.py"}, f"step {at}"
        told |= set(after.stderr.splitlines())
        assert update(killed).returncode == 0
        assert killed.read("katas/toys/doubling.py") == EXPECTED, f"step {at}"
        git(killed, "merge-base", "--is-ancestor", "origin/main", "HEAD")
        shutil.rmtree(killed.root)
        at += 1
    assert done.returncode == 0, done.stderr
    assert at > 12
    assert told == {"an update was stopped: it is finished now.", "an update was stopped: it is undone now."}


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_git_that_is_killed_at_any_call_is_no_answer(upstream, learner, tmp_path, when):
    learner.write("katas/toys/doubling.py", OWN)
    commit(learner, "My doubling")
    learner.write("katas/toys/doubling.py", MORE)
    release(upstream)
    head = git(learner, "rev-parse", "HEAD")
    killed = Scratch.at(tmp_path / "killed")
    at = 1
    while True:
        shutil.copytree(learner.root, killed.root)
        words = [sys.executable, "-c", KILLED, str(at), "git", when]
        done = subprocess.run(words, cwd=killed.root, env=killed.environment(), capture_output=True, text=True)
        if int((tmp_path / "calls").read_text(encoding="utf-8")) < at:  # it ended before this call
            break
        assert "Traceback" not in done.stderr, f"call {at}: {done.stderr}"
        if done.returncode:
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), f"call {at}: {done.stderr}"
            assert "was ended by SIGKILL" in done.stderr, f"call {at}: {done.stderr}"
        if "Nothing was changed" in done.stderr:
            assert killed.read("katas/toys/doubling.py") == MORE, f"call {at}"
            assert git(killed, "rev-parse", "HEAD") == head, f"call {at}"
        else:
            assert update(killed).returncode == 0, f"call {at}"
            assert killed.read("katas/toys/doubling.py") == EXPECTED, f"call {at}"
        assert git(killed, "worktree", "list").count("\n") == 1, f"call {at}"
        assert list(killed.path(".dojo").glob("*.tmp")) == [], f"call {at}"
        assert not killed.path(".dojo/update.json").exists(), f"call {at}"
        shutil.rmtree(killed.root)
        at += 1
    assert done.returncode == 0, done.stderr
    assert at > (6 if when == "after" else 40)


ORIGINAL = "https://github.com/katas/llm-katas"


@pytest.mark.parametrize(
    ("address", "is_a_copy"),
    [
        (ORIGINAL, False),
        ("git@github.com:Katas/llm-katas.git", False),
        ("https://github.com/learner/llm-katas.git", True),
        ("git@github.com:learner/llm-katas.git", True),
        ("https://gitlab.example/katas/llm-katas", True),
    ],
)
def test_the_clone_of_a_copy_without_upstream_is_told_what_to_type(upstream, learner, address, is_a_copy):
    assert "origin is a copy" not in update(learner).stdout  # a folder may be anything
    text = re.sub(r"(?m)^(\[project\.urls\].*|Repository = .*)\n", "", learner.read("pyproject.toml"))
    learner.write("pyproject.toml", text + f'\n[project.urls]\nRepository = "{ORIGINAL}"\n')
    git(learner, "remote", "set-url", "origin", address)
    git(learner, "config", f"url.{upstream.root}.insteadOf", address)
    shown = update(learner).stdout
    assert shown.startswith("nothing new")
    assert (f"git remote add upstream {ORIGINAL}\n" in shown) == is_a_copy
    told = update(learner, "v9.0.0").stderr  # a fork lacks the tags of later releases
    assert "there is no v9.0.0 here" in told
    assert told.endswith(f"git remote add upstream {ORIGINAL}\n") == is_a_copy
    git(learner, "remote", "add", "upstream", str(upstream.root))
    assert "origin is a copy" not in update(learner).stdout


def test_versions_are_told_and_a_release_that_is_not_there_is_answered_with_those_that_are(upstream, learner):
    git(upstream, "tag", "v0.1.0")
    release(upstream)
    upstream.write(
        "pyproject.toml", re.sub(r'(?m)^version = ".*"', 'version = "0.2.0"', upstream.read("pyproject.toml"))
    )
    commit(upstream, "The version")
    git(upstream, "tag", "v0.2.0")
    shown = update(learner, "v0.2.0", "--check").stdout
    assert re.match(r"what would come: 0\.1\.0 \(\w{9}\) to 0\.2\.0 \(\w{9}\)\n", shown)
    ended = update(learner, "v0.3.0")
    assert (ended.returncode, "Releases: v0.2.0, v0.1.0." in ended.stderr) == (2, True)
    update(learner, "v0.2.0")
    assert learner.run("dojo", "--version").stdout == "dojo 0.2.0\n"
