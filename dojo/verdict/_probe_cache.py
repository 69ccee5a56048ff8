"""What a diagnosis compares with takes seconds to work out for some katas: it is kept in .dojo/, and recalled.

It is kept beside the hash of all that it hangs on. What cannot be read, or fits no longer, is worked out again.
"""

import contextlib
import hashlib
import pickle
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.catalog.curriculum import UnknownKata, find, prerequisites
from dojo.learner import store
from dojo.serving.finder import room_of

WORTH_IT = 0.5  # seconds that working it out takes, from which on it is kept


def recalled(address: str, work_out: Callable[[], Any]) -> Any:
    """What `work_out` gives, or what it gave the last time, if nothing that it hangs on has changed."""
    path = store.FOLDER / address / "known.pickle"
    key = fingerprint(address)
    with contextlib.suppress(Exception):  # a damaged pickle may raise anything
        kept, value = pickle.loads(path.read_bytes())
        if kept == key:
            return value
    begun = time.monotonic()
    value = work_out()
    if key and time.monotonic() - begun > WORTH_IT:
        with contextlib.suppress(Exception):  # not everything can be pickled, nor every folder be written
            content = pickle.dumps((key, value))
            path.parent.mkdir(parents=True, exist_ok=True)
            store.replace(path, content)
    return value


def fingerprint(address: str) -> str:
    """The hash of all that the results of a kata's probe hang on; empty where the curriculum does not know it."""
    try:
        kata = find(address)
    except UnknownKata:
        return ""
    earlier = prerequisites(kata)
    files = [one.solution for one in (*earlier, kata)]
    # The probe stands in the test file, and that imports earlier katas from wherever they are served.
    files += [one.stub for one in earlier if room_of(one.address) == "katas"]
    rooms = " ".join(room_of(one.address) for one in earlier)
    files += [kata.tests, kata.mistakes, ROOT / "tests" / "support.py", *sorted((ROOT / "dojo").glob("*.py"))]
    machine = f"{platform.python_version()} {platform.machine()} {version('torch')}"
    known = hashlib.sha256(f"{machine} {rooms}".encode())
    for path in files:
        known.update(_content(path))
    return known.hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
