"""What dojo remembers, in ROOT/.dojo/: one small file per kata and purpose, such as attention/causal/verdict.json.

A file is written beside its place, flushed to the disk and renamed onto it. So a kill at any moment, or two dojos at
once, leave the old file or the new one and never half of one, and no lock is needed. What cannot be read counts as
absent: all of it can be found out again, except the backups, which are never overwritten.

What is written only for a while has the number of its process in its name, so that `sweep` can remove what a killed
one has left.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.errors import DojoError
from dojo.system.files import NotRegular, is_regular, read_regular

FOLDER = ROOT / ".dojo"
BACKUPS = "backups"
MOST = 1 << 28  # bytes of a file that is read
BACKUP = re.compile(r"(\d+)-\d+\.py")
PASSING = re.compile(r"\..+\.(\d+)\.\w+\.tmp")  # the name of what is written only for a while
PLACES = ("*", "*/*", "*/*/backups")  # below .dojo/, where such a thing may lie


class CannotSave(DojoError):
    """The folder is read-only, the disk is full, or something else prevents writing. The message says which."""


class Damaged(DojoError):
    """A file is there and is not what was written. Says which, and what is wrong with it."""


def unwritten(path: Path, error: OSError) -> CannotSave:
    """What to raise where a file or folder could not be written."""
    return CannotSave(f"{shown(path)} cannot be written: {error.strerror or error}")


def read(address: str, purpose: str) -> dict[str, Any]:
    """What was last written for a kata and a purpose; an empty dict where there is nothing, or nothing readable."""
    try:
        return load(address, purpose)
    except (FileNotFoundError, Damaged):
        return {}


def load(address: str, purpose: str) -> dict[str, Any]:
    """What was last written for a kata and a purpose. Raises FileNotFoundError, and Damaged."""
    path = _path(address, purpose)
    try:
        value = json.loads(read_regular(path, MOST))
    except FileNotFoundError:
        raise
    except NotRegular as error:
        raise Damaged(f"{shown(path)}{str(error).removeprefix(path.name)}") from None
    except OSError as error:
        raise Damaged(f"{shown(path)} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise Damaged(f"{shown(path)} is damaged: it holds no JSON") from None
    if not isinstance(value, dict):
        raise Damaged(f"{shown(path)} is damaged: it holds no JSON object")
    return value


def write(address: str, purpose: str, value: dict[str, Any]) -> None:
    """Remember a value. Raises CannotSave."""
    _prepare(_path(address, purpose).parent)
    replace(_path(address, purpose), json.dumps(value, indent=1).encode() + b"\n")


def forget(address: str, purpose: str) -> None:
    """Remember nothing. Raises CannotSave."""
    try:
        _path(address, purpose).unlink(missing_ok=True)
    except OSError as error:
        raise CannotSave(f"{shown(_path(address, purpose))} cannot be removed: {error.strerror or error}") from error


def keep(address: str, content: bytes) -> Path:
    """Put a learner's file aside, where nothing overwrites it, and return the path. Raises CannotSave."""
    folder = FOLDER / address / BACKUPS
    _prepare(folder)
    # A clock may be set back: the number of a backup is greater than that of every other one, whatever the time.
    newest = max((number(path) for path in FOLDER.glob(f"*/*/{BACKUPS}/*.py")), default=0)
    path = folder / f"{max(time.time_ns(), newest + 1):020d}-{os.getpid()}.py"
    replace(path, content)
    return path


def kept(address: str) -> list[Path]:
    """The backups of a kata, the newest first."""
    found = (FOLDER / address / BACKUPS).glob("*.py")
    return sorted((path for path in found if number(path) and is_regular(path)), key=number, reverse=True)


def number(backup: Path) -> int:
    """The place of a backup in the order in which all were made; 0 for a file that is none."""
    named = BACKUP.fullmatch(backup.name)
    return int(named[1]) if named else 0


def sweep() -> None:
    """Remove what killed processes have left half written, in .dojo/ and beside the katas."""
    folders = [ROOT / "katas", *(ROOT / "katas").glob("*/"), FOLDER]
    folders += [folder for place in PLACES for folder in FOLDER.glob(place)]
    for path in (path for folder in folders for path in folder.glob(".*.tmp")):
        if (named := PASSING.fullmatch(path.name)) and gone(int(named[1])):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def gone(process: int) -> bool:
    """Whether the process that left a file has ended: in a container, numbers are soon used again."""
    import psutil

    return process == os.getpid() or not psutil.pid_exists(process)


def replace(path: Path, content: bytes) -> None:
    """Write a file so that at every moment it is wholly the old one or wholly the new one. Raises CannotSave."""
    beside = ""
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else None
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}.{os.getpid()}.", suffix=".tmp", dir=path.parent)
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, mode if mode is not None else 0o666 & ~_umask())
        _rename(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise unwritten(path, error) from error
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _rename(beside: str, path: Path) -> None:
    """On Windows a file that another program has open cannot be replaced for that moment: try for half a second."""
    for _ in range(50 if os.name == "nt" else 0):
        try:
            return os.replace(beside, path)
        except PermissionError:
            time.sleep(0.01)
    os.replace(beside, path)


def _prepare(folder: Path) -> None:
    """Make a folder below .dojo/, and keep git out of .dojo/."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotSave(f"{shown(folder)} cannot be made: {error.strerror or error}") from error
    if not (FOLDER / ".gitignore").exists():
        replace(FOLDER / ".gitignore", b"*\n")


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _path(address: str, purpose: str) -> Path:
    return FOLDER / address / f"{purpose}.json"


def shown(path: Path) -> str:
    """A path as it is told: from the root of the repository where it lies below."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
