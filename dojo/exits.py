"""The exit codes of `dojo`."""

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended, for scripts; `dojo --help` lists the codes."""

    DONE = 0  # green, or done
    NOT_YET = 1  # red, or the answer was no
    UNUSABLE = 2  # the command, the installation or a file is not as it has to be
    NO_VERDICT = 3  # a run crashed, hung, or went over a limit
    STOPPED = 130  # by Ctrl-C
