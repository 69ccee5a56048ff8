"""Which file was saved: changes below the folders that a verdict depends on, as events."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dojo import ROOT
from dojo.catalog.curriculum import Kata, katas

WATCHED = ("katas", "solutions", "tests", "dojo", "conftest.py", "pyproject.toml")
DEBOUNCE = 60  # milliseconds: an editor that writes by rename makes several changes
STEP = 20


@dataclass(frozen=True)
class Saved:
    """What changed together: katas whose own file changed, the newest last, and whether anything else did."""

    katas: tuple[Kata, ...] = ()
    frame: bool = False


def watched(post: Callable[[Saved], None], stop: threading.Event) -> threading.Thread:
    """Watch in a thread, and post what was saved until `stop` is set. Where events are missing, watchfiles polls."""
    thread = threading.Thread(target=_watch, args=(post, stop), daemon=True, name="watching files")
    thread.start()
    return thread


def _watch(post: Callable[[Saved], None], stop: threading.Event) -> None:
    from watchfiles import watch

    folders = [ROOT / name for name in WATCHED if (ROOT / name).exists()]
    known = {kata.stub: kata for kata in katas()}
    for changes in watch(*folders, stop_event=stop, debounce=DEBOUNCE, step=STEP, rust_timeout=200):
        paths = [Path(path) for _, path in changes]
        own = sorted((path for path in paths if path in known), key=_modified)
        frame = any(path not in known and path.suffix in (".py", ".toml", ".json") for path in paths)
        if own or frame:
            post(Saved(tuple(known[path] for path in own), frame))


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
