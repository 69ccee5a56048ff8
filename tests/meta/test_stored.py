"""A file below .dojo/ that holds JSON of another form than what was written stops no command."""

import copy
import json
from collections.abc import Iterator

import pytest

from dojo.catalog.curriculum import find
from dojo.cli import dojo
from dojo.errors import DojoError
from dojo.learner import standing, store
from dojo.update import journal
from dojo.verdict import memory
from dojo.verdict.run import Verdict

KATA = "foundations/softmax"
STAMP = standing._stamp(find(KATA).solution)
FRAME = [standing._stamp(path) for path in standing.FRAME]
VALID = {
    "reference": {"frame": FRAME, "katas": {KATA: {"stamp": STAMP, "stub": "0" * 64, "core": ["sum"], "further": []}}},
    f"{KATA}/verdict": {
        "outcome": "green",
        "why": [],
        "clauses": {"sum": "passed"},
        "complete": True,
        "source": standing.hash_of(find(KATA).stub),
        "tests": standing.hash_of(find(KATA).tests),
        "seconds": 1.0,
        "borrowed": [],
        "at": 1.0,
    },
    f"{KATA}/time": {"begun": 1.0, "green": 2.0},
    f"{KATA}/hints": {"rung": 1},
    f"{KATA}/hunt": {
        "line": 1, "before": "a", "after": "b", "kind": "a sign", "function": "softmax", "begun": 1.0, "rung": 0,
    },
    "update": {"process": 2**22 + 1, "born": 1.0, "before": "0" * 40, "after": "0" * 40, "dirty": {}, "written": {}},
    "runs/story/run": {"kind": "train", "text": "x", "sha256": "0", "settings": {}, "config": {}, "pieces": {}},
}  # fmt: skip
OTHERS = (None, True, -1, float("nan"), "x", [], [[]], {"a": []})
READERS = {  # what reads the file
    "reference": ([], ["--json"]),
    "verdict": (["list"], ["next"]),
    "hints": (["hint", "softmax"], ["hint", "softmax", "--again"]),
    "hunt": (["hunt", "softmax", "--hint"], ["hunt", "softmax", "--give-up"]),
    "run": (["generate", "x"],),
    "update": (["completion", "bash"],),
}


def changed(value: object) -> Iterator[object]:
    """The value with one part of another type, for every part and every type."""
    yield from OTHERS
    parts = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, part in parts:
        for other in changed(part):
            whole = copy.deepcopy(value)
            whole[key] = other
            yield whole
        if isinstance(value, dict):
            yield {name: one for name, one in value.items() if name != key}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A store for each test."""
    monkeypatch.setattr(store, "FOLDER", tmp_path / ".dojo")
    monkeypatch.setattr(journal, "PLACE", tmp_path / ".dojo" / "update.json")
    monkeypatch.setattr("dojo.train.runs.RUNS", tmp_path / ".dojo" / "runs")
    monkeypatch.setattr(journal, "end", lambda *_: [])  # this is about reading the file, and not about git
    return tmp_path / ".dojo"


def go_through(name):
    """Every command that reads the file."""
    for words in READERS.get(name.rpartition("/")[2], ()):
        try:
            dojo.main(list(words), prog_name="dojo", standalone_mode=False)
        except Exception as error:
            if not isinstance(error, DojoError) and type(error).__module__ != "click.exceptions":
                return f"{words}: {type(error).__name__}: {error}"
    if name.endswith("time"):
        memory.remember(Verdict(find(KATA), outcome="green", begun=True))
        memory.in_words(memory.own_time(find(KATA)) or 0.0)
    return ""


@pytest.mark.parametrize("name", VALID)
def test_a_file_of_another_form_stops_no_command(folder, name, capsys):
    backup = store.keep(KATA, b"mine\n")
    found = {}
    texts = [json.dumps(value) for value in changed(VALID[name])]
    whole = json.dumps(VALID[name])
    texts += [whole[: len(whole) // part] for part in (2, 3, 9)] + ["", "\0" * 9, "[" * 100_000]
    for text in texts:
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        copied = folder / KATA / "hunt" / "softmax.py"
        copied.parent.mkdir(exist_ok=True)
        copied.write_text("own\n", encoding="utf-8")
        if why := go_through(name):
            found[text[:300]] = why
    assert not found, "\n".join(f"{text}\n    {why}" for text, why in list(found.items())[:8]) + f"\n{len(found)}"
    assert backup.read_bytes() == b"mine\n"
