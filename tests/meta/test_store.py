"""dojo/learner/store.py: what is remembered survives kills, rivals, half files and a disk that takes nothing."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from dojo.learner import store

WRITER = """
import sys
from pathlib import Path
from dojo.learner import store
store.FOLDER = store.ROOT / sys.argv[1]
size, name = int(sys.argv[2]), sys.argv[3]
number = 0
while True:
    number += 1
    store.write("text/toy", "verdict", {"by": name, "number": number, "long": name * size})
    if number == 1:
        print("begun", flush=True)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ROOT", tmp_path)
    monkeypatch.setattr(store, "FOLDER", tmp_path / ".dojo")
    return tmp_path / ".dojo"


def writer(folder, name, size=20_000):
    """A process that writes the same file again and again."""
    words = [sys.executable, "-c", WRITER, str(folder), str(size), name]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    return process


def test_what_is_written_is_read_again_and_git_is_kept_out(folder):
    store.write("text/toy", "verdict", {"outcome": "green", "word": "ᵀ"})
    assert store.read("text/toy", "verdict") == {"outcome": "green", "word": "ᵀ"}
    assert store.read("text/toy", "hints") == {}
    assert (folder / ".gitignore").read_text(encoding="utf-8") == "*\n"
    store.forget("text/toy", "verdict")
    store.forget("text/toy", "verdict")
    assert store.read("text/toy", "verdict") == {}


@pytest.mark.parametrize("content", [b"", b'{"outcome": "gre', b"[1, 2]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_half_a_file_counts_as_none(folder, content):
    store.write("text/toy", "verdict", {"outcome": "green"})
    (folder / "text" / "toy" / "verdict.json").write_bytes(content)
    assert store.read("text/toy", "verdict") == {}


def test_a_kill_at_any_moment_leaves_a_whole_file(folder):
    for round_ in range(8):
        process = writer(folder, "a")
        time.sleep(0.011 * (round_ + 1))
        process.kill()
        process.communicate()
        seen = store.read("text/toy", "verdict")
        assert len(seen["long"]) == 20_000
    store.write("text/toy", "verdict", {"after": "the kills"})
    assert store.read("text/toy", "verdict") == {"after": "the kills"}


def test_two_writers_at_once_leave_the_file_of_one_of_them_at_every_moment(folder):
    processes = [writer(folder, name) for name in ("a", "b")]
    try:
        by, end = set(), time.monotonic() + 1.0
        while time.monotonic() < end:
            seen = json.loads((folder / "text" / "toy" / "verdict.json").read_bytes())
            assert seen["long"] == seen["by"] * 20_000
            by.add(seen["by"])
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert by == {"a", "b"}


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interrupted_write_leaves_nothing_beside_the_file(folder):
    process = writer(folder, "a", size=2_000_000)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert [path.name for path in (folder / "text" / "toy").iterdir()] == ["verdict.json"]


def test_backups_are_all_kept_the_newest_first(folder):
    for content in (b"one", b"two", b"three"):
        store.keep("text/toy", content)
    assert [path.read_bytes() for path in store.kept("text/toy")] == [b"three", b"two", b"one"]
    assert store.kept("text/other") == []


def test_a_backup_comes_after_all_others_whatever_the_clock_says(folder, monkeypatch):
    store.keep("text/toy", b"one")
    monkeypatch.setattr(time, "time_ns", lambda: 5)
    store.keep("text/other", b"two")
    store.keep("text/toy", b"three")
    (folder / "text" / "toy" / "backups" / "mine.py").write_bytes(b"of somebody else")
    (folder / "text" / "toy" / "backups" / "9-9.py").mkdir()
    assert [path.read_bytes() for path in store.kept("text/toy")] == [b"three", b"one"]
    assert store.number(store.kept("text/other")[0]) < store.number(store.kept("text/toy")[0])


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(folder, monkeypatch):
    left = [".verdict.json.99.abc_.tmp", ".causal.py.99.x.tmp"]
    others = [".causal.py.1.x.tmp", ".mine.tmp", "causal.py.99.x.tmp"]
    places = [folder, folder / "text" / "toy", folder / "text" / "toy" / "backups", folder.parent / "katas" / "text"]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        for name in left + others:
            (place / name).touch()
    monkeypatch.setattr(store, "gone", lambda process: process == 99)
    store.sweep()
    for place in places:
        assert sorted(path.name for path in place.iterdir() if path.is_file()) == sorted(others)


def test_replacing_keeps_the_permissions(folder):
    path = folder.parent / "kata.py"
    path.write_bytes(b"old")
    path.chmod(0o640)
    before = path.stat().st_mode
    store.replace(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode) == (b"new", before)


def test_a_full_disk_is_told_and_the_old_file_stays(folder, monkeypatch):
    store.write("text/toy", "verdict", {"outcome": "green"})

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(store.CannotSave, match=r"^\.dojo/text/toy/verdict\.json cannot be written: No space left"):
        store.write("text/toy", "verdict", {"outcome": "red"})
    assert store.read("text/toy", "verdict") == {"outcome": "green"}
    assert [path.name for path in (folder / "text" / "toy").iterdir()] == ["verdict.json"]


def test_a_file_in_the_place_of_the_folder_is_told(folder):
    folder.write_text("in the way", encoding="utf-8")
    with pytest.raises(store.CannotSave, match=r"^\.dojo/text/toy cannot be made"):
        store.write("text/toy", "verdict", {})
    assert store.read("text/toy", "verdict") == {}
    assert store.kept("text/toy") == []


def test_two_dojos_at_once_do_not_disturb_each_other(toys):
    toys.write("katas/toys/doubling.py", toys.read("solutions/toys/doubling.py"))
    pairs = [("test", "doubling"), ("test", "doubling"), ("hint", "doubling"), ("hint", "doubling"), ()]
    processes = [toys.start("dojo", *argv) for argv in pairs]
    for process in processes:
        _, stderr = process.communicate(timeout=120)
        assert (process.returncode, stderr) == (0, "")
    data = json.loads(toys.run("dojo", "--json").stdout)
    assert [kata["state"] for kata in data["katas"]] == ["green", "not started"]
    left = [path.name for path in toys.path(".dojo").rglob("*") if path.name.endswith(".tmp")]
    assert left == []
