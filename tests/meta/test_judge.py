"""docs/groups/judge.py: which files it takes, and what its sandbox is asked to be."""

import os
import shutil
import subprocess
import sys

import pytest

from docs.groups import judge
from dojo import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a sandbox for Linux")


@pytest.fixture
def folder(tmp_path):
    for address in ("foundations/softmax", "gpt/layernorm"):
        place = tmp_path / "katas" / f"{address}.py"
        place.parent.mkdir(parents=True)
        shutil.copy(ROOT / "solutions" / f"{address}.py", place)
    return tmp_path


def test_regular_files_of_katas_are_taken(folder):
    taken, refused = judge.submission(folder)
    assert [kata.address for kata, _ in taken] == ["foundations/softmax", "gpt/layernorm"]
    assert taken[0][1] == (ROOT / "solutions/foundations/softmax.py").read_bytes()
    assert refused == []


@pytest.mark.parametrize(
    ("name", "make", "why"),
    [
        ("gpt/block.py", lambda path: path.symlink_to("/etc/passwd"), "gpt/block.py: block.py is a link"),
        ("gpt/block.py", os.mkfifo, "gpt/block.py: block.py is not a regular file"),
        ("gpt/block.py", lambda path: path.write_bytes(b"#" * (2 << 20)), "gpt/block.py: block.py has 2"),
        ("gpt/Block.py", lambda path: path.write_bytes(b""), "gpt/Block.py is not a kata"),
        ("gpt/__init__.py", lambda path: path.write_bytes(b""), "gpt/__init__.py is not a kata"),
        ("curriculum.toml", lambda path: path.write_bytes(b""), "curriculum.toml is not a kata"),
        ("text", lambda path: path.symlink_to("/"), "text is not a kata"),
    ],
)
def test_anything_else_is_refused_and_not_read(folder, name, make, why):
    make(folder / "katas" / name)
    taken, refused = judge.submission(folder)
    assert len(taken) == 2
    assert [one[: len(f"katas/{why}")] for one in refused] == [f"katas/{why}"]


def test_in_bubblewrap_nothing_of_the_outside_can_be_written_or_reached(tmp_path):
    words = judge.bubblewrap(tmp_path, 300)
    for word in ("--unshare-all", "--die-with-parent", "--new-session", "--clearenv"):
        assert word in words
    assert not {"--bind", "--dev-bind", "--share-net", "--bind-try"} & set(words)
    seen = [words[place + 1] for place, word in enumerate(words) if word == "--ro-bind"]
    assert os.path.expanduser("~") not in seen
    assert not {"/", "/home", "/root", "/etc", "/run", "/var"} & set(seen)
    assert judge.LIMITS[0] == "prlimit"


def test_a_folder_without_katas_or_with_a_link_to_others_is_told(tmp_path, folder, monkeypatch, capsys):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "katas").symlink_to(folder / "katas")
    for place in (tmp_path / "nowhere", tmp_path / "linked"):
        monkeypatch.setattr("sys.argv", ["judge.py", str(place), "--with", "bwrap"])
        monkeypatch.setattr(shutil, "which", str)
        with pytest.raises(SystemExit):
            judge.main()
        assert f"{place} has no folder katas/" in capsys.readouterr().err


WRITES = """
import os
for place in ("/", "/dev", "/etc", "/usr", "/repository", "/tmp", "/dev/shm"):
    try:
        open(os.path.join(place, "new"), "w").close()
        print(place)
    except OSError:
        pass
"""


def test_in_bubblewrap_only_what_has_a_limit_can_be_written(tmp_path):
    tried = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    if shutil.which("bwrap") is None or subprocess.run(tried, capture_output=True).returncode:
        pytest.skip("bubblewrap is not installed, or may not make a sandbox here")
    words = [*judge.bubblewrap(tmp_path, 300), *judge.LIMITS, sys.executable, "-c", WRITES]
    assert subprocess.run(words, capture_output=True, text=True, timeout=60).stdout.split() == ["/tmp", "/dev/shm"]


def test_in_podman_all_that_is_mounted_is_read_only(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda words, **_: ran.append(words))
    words = judge.podman(tmp_path, 300)
    assert ran[0][:2] == ["podman", "import"]
    mounted = [words[place + 1] for place, word in enumerate(words) if word == "--volume"]
    assert mounted
    assert all(one.endswith(":ro") for one in mounted)
    for pair in (["--network", "none"], ["--cap-drop", "all"], ["--timeout", "300"]):
        assert words[words.index(pair[0]) + 1] == pair[1]
    assert "--read-only" in words
