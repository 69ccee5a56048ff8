"""Read a file that somebody else may have put there: only a regular one, of sane size, and without waiting."""

import os
import stat
from pathlib import Path

from dojo.system.terminal import number

MOST = 1 << 20  # bytes; the longest reference has 20 KB


class NotRegular(OSError):
    """The path is a link, a pipe or a device, or the file is far too large."""


def is_regular(path: Path) -> bool:
    """Whether there is a regular file, and no link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def check_regular(path: Path) -> None:
    """Raise NotRegular, or OSError as opening a file does, for what cannot be read: a library would wait for a pipe."""
    _regular(path)
    os.close(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)))


def read_regular(path: Path, most: int = MOST) -> bytes:
    """The content of a regular file. Raises NotRegular, and OSError as opening a file does."""
    about = _regular(path)
    if about.st_size > most:
        raise NotRegular(f"{path.name} has {number(about.st_size)} bytes, more than {number(most)}")
    # Between the look and the opening it may have become a pipe, which would make this wait.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    with open(handle, "rb") as file:
        return file.read(most + 1)


def _regular(path: Path) -> os.stat_result:
    about = os.lstat(path)
    if stat.S_ISLNK(about.st_mode):
        raise NotRegular(f"{path.name} is a link, not a regular file")
    if not stat.S_ISREG(about.st_mode):
        raise NotRegular(f"{path.name} is not a regular file")
    return about
