"""What a diagnosis compares with takes seconds to work out for some katas: it is kept in .dojo/, as plain JSON.

It is kept with a hash of all that it depends on. What cannot be read, or no longer fits, is worked out again.
"""

import contextlib
import hashlib
import json
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.catalog.curriculum import UnknownKata, find, prerequisites
from dojo.learner import store
from dojo.serving.finder import room_of
from dojo.verdict.results import kept, recovered

PURPOSE = "probe"
# What decides the result of a probe, besides the files of the kata and of those that it builds on.
FRAME = (
    "tests/support.py", "tests/probes.py",
    "dojo/verdict/diagnosis.py", "dojo/verdict/results.py", "dojo/serving/finder.py",
)  # fmt: skip


def recalled(address: str, work_out: Callable[[], Any]) -> Any:
    """What `work_out` gives, or what it gave the last time, if nothing that it depends on has changed."""
    key = fingerprint(address)
    found = store.read(address, PURPOSE)
    if key and found.get("key") == key:
        with contextlib.suppress(Exception):  # a damaged text may raise anything
            return recovered(found["value"])
    value = work_out()
    with contextlib.suppress(Exception):  # not everything can be kept as JSON, nor every folder be written
        if key:
            store.write(address, PURPOSE, {"key": key, "value": kept(value)})
    return value


def fingerprint(address: str) -> str:
    """The hash of all that the results of a kata's probe depend on; empty where the curriculum does not know it."""
    try:
        kata = find(address)
    except UnknownKata:
        return ""
    earlier = prerequisites(kata)
    files = [one.solution for one in (*earlier, kata)]
    # The probe is in the test file, and that imports earlier katas from wherever they are served.
    files += [one.stub for one in earlier if room_of(one.address) == "katas"]
    files += [kata.tests, kata.mistakes, *(ROOT / name for name in FRAME)]
    about = [platform.python_version(), platform.machine(), version("torch")]
    about += [f"{one.address} {room_of(one.address)}" for one in earlier]
    known = hashlib.sha256(json.dumps(about).encode())
    for path in files:
        known.update(hashlib.sha256(_content(path)).digest())
    return known.hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
