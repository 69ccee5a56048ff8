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
TICK = 300  # milliseconds without a change


@dataclass(frozen=True)
class Saved:
    """What changed together: katas whose own file changed, the newest last, and whether anything else did."""

    katas: tuple[Kata, ...] = ()
    frame: bool = False


def watched(post: Callable[[Saved], None], stop: threading.Event) -> threading.Thread:
    """Watch in a thread, and post what was saved until `stop` is set. Where events are missing, watchfiles polls."""
    known = {kata.stub: kata for kata in katas()}
    before = {path: _stamp(path) for path in known}
    thread = threading.Thread(target=_watch, args=(post, stop, known, before), daemon=True, name="watching files")
    thread.start()
    return thread


def _watch(
    post: Callable[[Saved], None], stop: threading.Event, known: dict[Path, Kata], before: dict[Path, tuple[int, int]]
) -> None:
    from watchfiles import watch

    folders = [ROOT / name for name in WATCHED if (ROOT / name).exists()]
    # A yield without a change comes from time to time: the system may have lost one, or not have listened yet.
    ticking = watch(
        *folders, stop_event=stop, debounce=DEBOUNCE, step=STEP, rust_timeout=TICK, yield_on_timeout=True
    )  # fmt: skip
    for changes in ticking:
        now = {path: _stamp(path) for path in known}
        own = sorted((path for path in known if now[path] != before[path]), key=lambda path: now[path])
        before = now
        paths = [Path(path) for _, path in changes]
        frame = any(path not in known and path.suffix in (".py", ".toml", ".json") for path in paths)
        if own or frame:
            post(Saved(tuple(known[path] for path in own), frame))


def _stamp(path: Path) -> tuple[int, int]:
    """When a file was written, and its size; zeros where there is none."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_mtime_ns, about.st_size
