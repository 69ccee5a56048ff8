"""The git of this clone, as far as `dojo update` needs it."""

import os
import subprocess
from pathlib import Path

from dojo import ROOT
from dojo.errors import DojoError

MARK = "DOJO_UPDATE"  # in the environment of a git: the process that started it


class GitError(DojoError):
    """git is missing, or one of its commands failed. Says what, in git's own words where there are any."""


def git(*words: str, folder: Path = ROOT, check: bool = True) -> str:
    """What a git command prints. Raises GitError where it fails and `check` is set."""
    return git_bytes(*words, folder=folder, check=check).decode(errors="replace")


def git_bytes(*words: str, folder: Path = ROOT, check: bool = True) -> bytes:
    """What a git command prints, to the byte."""
    # A question for a password or an editor would wait for an answer that nobody sees.
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true", "LC_ALL": "C", MARK: str(os.getpid())}
    own = {
        name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    }
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, env=own | quiet, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise GitError("git is not installed, or not on the PATH.") from None
    if check and done.returncode:
        said = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
        raise GitError(f"`git {' '.join(words[:2])}` failed: {said.splitlines()[-1] if said else done.returncode}")
    return done.stdout


def succeeds(*words: str, folder: Path = ROOT) -> bool:
    """Whether a git command ends well."""
    try:
        git_bytes(*words, folder=folder)
    except GitError:
        return False
    return True


def paths(*words: str, folder: Path = ROOT) -> set[str]:
    """The paths that a git command with -z prints."""
    return set(filter(None, git(*words, folder=folder).split("\0")))


def file_at(commit: str, path: str) -> str | None:
    """The text of a file in a commit; None where it has none."""
    if not succeeds("cat-file", "-e", f"{commit}:{path}"):
        return None
    return git_bytes("show", f"{commit}:{path}").decode("utf-8", "surrogateescape")
