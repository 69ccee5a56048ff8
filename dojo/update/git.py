"""The git of this clone, as far as `dojo update` needs it."""

import os
import signal
import subprocess
from pathlib import Path

from dojo import ROOT
from dojo.errors import DojoError

MARK = "DOJO_UPDATE"  # in the environment of a git: the process that started it


class GitError(DojoError):
    """git is missing, or one of its commands failed. Says what, in git's own words where there are any."""


class NoAnswer(GitError):
    """git could not be started, or was killed: how far it came is not known."""


def git(*words: str, folder: Path = ROOT, check: bool = True) -> str:
    """What a git command prints. Raises GitError where it fails and `check` is set, and NoAnswer whatever is set."""
    return git_bytes(*words, folder=folder, check=check).decode(errors="replace")


def git_bytes(*words: str, folder: Path = ROOT, check: bool = True) -> bytes:
    """What a git command prints, to the byte."""
    done = _run(words, folder)
    if check and done.returncode:
        said = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace").strip()
        why = said.splitlines()[-1] if said else f"it ended with code {done.returncode}."
        raise GitError(f"`git {' '.join(words[:2])}` failed: {why}")
    return done.stdout


def succeeds(*words: str, folder: Path = ROOT) -> bool:
    """Whether a git command ends well. Raises NoAnswer."""
    return _run(words, folder).returncode == 0


def _run(words: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[bytes]:
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
        raise NoAnswer("git is not installed, or not on the PATH.") from None
    except OSError as error:
        raise NoAnswer(f"git cannot be started: {error.strerror or error}.") from None
    if done.returncode < 0:
        raise NoAnswer(f"`git {' '.join(words[:2])}` was ended by {signal.Signals(-done.returncode).name}.")
    return done


def paths(*words: str, folder: Path = ROOT) -> set[str]:
    """The paths that a git command with -z prints."""
    return set(filter(None, git(*words, folder=folder).split("\0")))


def file_at(commit: str, path: str) -> str | None:
    """The text of a file in a commit; None where it has none."""
    if not succeeds("cat-file", "-e", f"{commit}:{path}"):
        return None
    return git_bytes("show", f"{commit}:{path}").decode("utf-8", "surrogateescape")
