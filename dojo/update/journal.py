"""What an update is about to change, written to .dojo/update.json before it does, so that a killed one comes to an end.

The next start of any command finishes the update where git had moved the clone, and undoes it where git had not. A file
that has become something else in the meantime is left alone, and told.
"""

import base64
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.errors import DojoError
from dojo.learner import store
from dojo.update.git import MARK, GitError, file_at, git, paths, succeeds

NAME = "update"
PLACE = store.FOLDER / f"{NAME}.json"
UTF_8 = ("utf-8", "surrogateescape")
PATIENCE = 10.0  # seconds for a git that outlived its dojo
CLOCK = 2.0  # seconds by which a system may correct when a process began
AT_ONCE = 100  # paths in one call of git: a command line is not without bounds


class NotEnded(DojoError):
    """Another update is under way, or was stopped and could not be brought to an end. Says what to do."""


@dataclass(frozen=True)
class Journal:
    """A move of the clone from one commit to another, and the learner's files before and after it."""

    before: str
    after: str
    dirty: dict[str, bytes]
    written: dict[str, bytes]


def begin(journal: Journal) -> None:
    """Write down what is about to be done. Raises NotEnded, and CannotSave."""
    found = store.read("", NAME)
    if found and not (found.get("process") == os.getpid() and _is_alive(found)):
        raise NotEnded("another update is under way." if _is_alive(found) else f"{store.shown(PLACE)} is in the way.")
    content = {name: _encoded(getattr(journal, name)) for name in ("dirty", "written")}
    who = {"process": os.getpid(), "born": _born(os.getpid())}
    store.write("", NAME, who | {"before": journal.before, "after": journal.after} | content)


def end(journal: Journal, process: int) -> list[str]:
    """Finish or undo an update of a process. Returns the files that were left alone. Raises GitError, CannotSave."""
    _wait_for_git(process)
    moved = succeeds("merge-base", "--is-ancestor", journal.after, "HEAD")
    left = []
    if not moved and git("rev-parse", "HEAD").strip() == journal.before:
        left = _move_back(journal)
    for path, content in (journal.written if moved else journal.dirty).items():
        own = _content(path)
        known = [journal.dirty.get(path), journal.written.get(path), _at(journal.before, path)]
        if own not in (*known, content, None) and not _is_beginning(own, _at(journal.after, path)):
            left.append(path)
        elif own != content:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            store.replace(ROOT / path, content)
    _remove_work_trees()
    store.forget("", NAME)
    return left


def recover() -> Iterator[str]:
    """Bring an update to an end whose process is gone; what became of it, in lines."""
    found = store.read("", NAME)
    if _is_alive(found):
        return
    try:
        journal = Journal(
            _commit(found["before"]), _commit(found["after"]), _decoded(found["dirty"]), _decoded(found["written"])
        )
        process = int(found["process"])
    except (LookupError, TypeError, ValueError, AttributeError):
        yield f"{store.shown(PLACE)} is damaged. `git status` tells what an update has changed."
        yield "Your files are kept: `dojo reset --undo KATA` brings one back. Then remove the file."
        return
    try:
        left = end(journal, process)
        done = succeeds("merge-base", "--is-ancestor", journal.after, "HEAD")
    except (GitError, store.CannotSave) as error:
        yield _not_ended(str(error).removesuffix("."))
        return
    if journal.dirty or journal.before != journal.after:
        yield "an update was stopped: it is finished now." if done else "an update was stopped: it is undone now."
    for path in left:
        yield f"{path} was changed since, and was left alone; `git diff` and `dojo reset --undo` show the rest."


def _not_ended(why: str) -> str:
    return f"an update was stopped and cannot be brought to an end: {why}. The next command tries again."


def _move_back(journal: Journal) -> list[str]:
    """What git had written of the release goes. Returns the files that are neither the release's nor as before."""
    changed = sorted(paths("diff", "-z", "--no-renames", "--name-only", journal.before, journal.after))
    kept = journal.dirty.keys()
    ours = [path for path in changed if path in kept or _is_beginning(_content(path), _at(journal.after, path))]
    known = {path: _at(journal.before, path) for path in changed}
    _in_parts(changed, "reset", "-q", "--")
    _in_parts([path for path in ours if known[path] is not None and path not in kept], "checkout", "-q", "--")
    for path in ours:
        if known[path] is None and path not in kept:
            (ROOT / path).unlink(missing_ok=True)
    return [path for path in changed if path not in ours and _content(path) != known[path]]


def _in_parts(named: list[str], *words: str) -> None:
    for at in range(0, len(named), AT_ONCE):
        git(*words, *named[at : at + AT_ONCE])


def _wait_for_git(process: int) -> None:
    """Wait for the gits that outlived their dojo, and take away the locks of those that did not. Raises GitError."""
    git_folder = ROOT / git("rev-parse", "--git-dir").strip()
    branch = git("symbolic-ref", "-q", "HEAD", check=False).strip() or "HEAD"
    locks = [git_folder / f"{name}.lock" for name in ("index", "HEAD", "ORIG_HEAD", branch)]
    end = time.monotonic() + PATIENCE
    while _git_at_work(process, any(lock.exists() for lock in locks)):
        if time.monotonic() > end:
            raise GitError("git is still at work here")
        time.sleep(0.05)
    for lock in locks:
        try:
            lock.unlink(missing_ok=True)
        except OSError as error:
            raise store.unwritten(lock, error) from None


def _git_at_work(process: int, locked: bool) -> bool:
    """Whether a git of an update is at work; where something is locked, any git of this clone."""
    import psutil

    for one in psutil.process_iter(["name"]):
        if (one.info["name"] or "").startswith("git"):
            try:
                if one.environ().get(MARK) == str(process) or (locked and Path(one.cwd()).is_relative_to(ROOT)):
                    return True
            except (psutil.Error, OSError):
                continue
    return False


def _remove_work_trees() -> None:
    """Remove the work trees of killed updates, which git may hold for locked."""
    store.sweep()
    for line in git("worktree", "list", "--porcelain", check=False).splitlines():
        folder = Path(line.removeprefix("worktree "))
        if line.startswith("worktree ") and store.FOLDER.name in folder.parts and not folder.exists():
            git("worktree", "remove", "--force", "--force", str(folder), check=False)


def _is_alive(found: dict[str, Any]) -> bool:
    born, noted = _born(found.get("process")), found.get("born")
    return born is not None and isinstance(noted, float) and abs(born - noted) < CLOCK


def _born(process: Any) -> float | None:
    """When a process began, in seconds since 1970: its number alone may be another's by now."""
    import psutil

    try:
        return psutil.Process(process).create_time() if isinstance(process, int) else None
    except (psutil.Error, ValueError, OverflowError):
        return None


def _is_beginning(own: bytes | None, release: bytes | None) -> bool:
    """Whether git may have written this: the release's file, or the part that it came to."""
    return own is None or (release is not None and release.startswith(own.replace(b"\r\n", b"\n")))


def _content(path: str) -> bytes | None:
    try:
        return (ROOT / path).read_bytes()
    except OSError:
        return None


def _at(commit: str, path: str) -> bytes | None:
    text = file_at(commit, path)
    return None if text is None else text.encode(*UTF_8)


def _commit(name: Any) -> str:
    if not (isinstance(name, str) and re.fullmatch("[0-9a-f]{40,64}", name)):
        raise ValueError(name)
    return name


def _encoded(files: dict[str, bytes]) -> dict[str, str]:
    return {path: base64.b64encode(content).decode() for path, content in files.items()}


def _decoded(files: dict[str, str]) -> dict[str, bytes]:
    return {path: base64.b64decode(content, validate=True) for path, content in files.items()}
