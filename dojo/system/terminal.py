"""What dojo prints: coloured on a terminal, plain in a pipe, and never an error because of a reader or an encoding."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import IO, Any

Part = str | tuple[str, str]  # text, or text with a style of rich

GLYPHS = {
    "complete": ("★", "*"),
    "green": ("✓", "+"),
    "in progress": ("◐", "~"),
    "edited": ("◐", "~"),
    "not started": ("○", "o"),
    "missing": ("!", "!"),
    "passed": ("✓", "+"),
    "failed": ("✗", "x"),
    "skipped": ("–", "-"),
    "untested": ("·", "."),
    "full": ("█", "#"),
    "empty": ("░", "."),
    "route": ("›", ">"),
    "dot": ("·", "-"),
    "dash": ("–", "-"),
}
WITHIN_A_NUMBER = re.compile(r"(?<=\d) (?=\d{3}(?!\d))")  # the space of 10 000
HELD = "\u00a0"  # a space at which no line ends
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # all but the tab and the line feed
LOST = (errno.EBADF, errno.EFBIG, errno.EIO, errno.ENOSPC)  # what a write fails with when nothing can be written
STYLES = {
    "complete": "bold green",
    "green": "green",
    "in progress": "magenta",
    "edited": "magenta",
    "not started": "dim",
    "missing": "red",
    "passed": "green",
    "failed": "red",
    "skipped": "dim",
    "untested": "dim",
}


def glyph(name: str) -> str:
    """A sign, or its ASCII stand-in where the output's encoding does not have it."""
    return GLYPHS[name][0 if _speaks_unicode() else 1]


def say(*parts: Part, to_stderr: bool = False, end: str = "\n") -> None:
    """Print one line. A reader that has gone (`dojo | head -1`) ends the output and nothing else."""
    stream = sys.stderr if to_stderr else sys.stdout
    parts = tuple(harmless(part) if isinstance(part, str) else (harmless(part[0]), part[1]) for part in parts)
    try:
        if _coloured(stream):
            from rich.text import Text

            text = Text.assemble(*parts)
            _console(to_stderr).print(text, end=end, soft_wrap=True, highlight=False)
        else:
            stream.write("".join(part if isinstance(part, str) else part[0] for part in parts) + end)
        if end != "\n":
            stream.flush()
    except BrokenPipeError:
        reader_gone(stream)
    except OSError:
        if not to_stderr:
            raise
        reader_gone(stream)


def say_json(value: Any) -> None:
    """Print a value as JSON, in ASCII, so that every encoding carries it."""
    say(json.dumps(value, indent=2))


def prose(text: str, indent: str = "", width: int | None = None) -> list[str]:
    """Paragraphs and lists wrapped to the screen; lines that are indented or fenced (code) are left alone."""
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        if fenced or not line.strip() or line.startswith(("    ", "```")):
            lines.append((indent + line).rstrip())
        else:
            hanging = indent + "  " * line.startswith(("- ", "* "))
            lines += wrapped(line, width or min(columns(), 100), indent, hanging)
    return lines


def say_wrapped(*parts: Part) -> None:
    """Print a paragraph in lines of the screen's width."""
    for line in flowed(parts, columns() - 1):
        say(*line)


def flowed(parts: Sequence[Part], width: int) -> list[list[Part]]:
    """Styled text in lines of at most `width`; words, and what is to be typed (cyan), are kept whole."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    plain = "".join(text.replace(" ", HELD) if "cyan" in style else text for text, style in pairs)
    plain = held(plain)
    styles = [style for text, style in pairs for _ in text]
    lines, at = list[list[Part]](), 0
    for line in _lines(plain, width):
        at = plain.index(line, at)
        runs = groupby(zip(line.replace(HELD, " "), styles[at:], strict=False), key=lambda pair: pair[1])
        lines.append([("".join(sign for sign, _ in run), style) for style, run in runs])
        at += len(line)
    return lines


def wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Text in lines of at most `width`; words and numbers are kept whole."""
    return [line.replace(HELD, " ") for line in _lines(held(text), width, first, rest)]


def _lines(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    lines = textwrap.wrap(
        text,
        max(width, 20),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [first]


def held(text: str) -> str:
    """A text with numbers at whose spaces no line ends."""
    return WITHIN_A_NUMBER.sub(HELD, text)


def number(value: float, places: int = 0) -> str:
    """A number as screens and pages write it: 10 000."""
    return f"{value:,.{places}f}".replace(",", " ")


def cut(text: str, width: int) -> str:
    """The beginning of a line, at most `width`."""
    return text if len(text) <= width else text[: max(width - 3, 0)].rstrip() + "..."


def harmless(text: str) -> str:
    """A text that nobody wrote, with U+FFFD for control characters and surrogates, which could upset a terminal."""
    return CONTROL.sub("\ufffd", text)


def columns() -> int:
    """The width of the screen: the terminal's, or COLUMNS, or 80."""
    return max(shutil.get_terminal_size((80, 24)).columns, 20)


def rows() -> int:
    """The height of the screen: the terminal's, or LINES, or 24."""
    return max(shutil.get_terminal_size((80, 24)).lines, 10)


def interactive() -> bool:
    """Whether somebody sits in front of the screen."""
    return sys.stdout.isatty() and sys.stderr.isatty()


@contextlib.contextmanager
def resized(hear: Callable[[], None]) -> Iterator[None]:
    """Within it, `hear` is called when the size of the terminal changes, on systems that report this."""
    if not hasattr(signal, "SIGWINCH"):
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: hear())
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def environment() -> dict[str, str]:
    """The environment of a command of dojo whose output is shown within another one: its width, and no colour."""
    return {**os.environ, "COLUMNS": str(columns()), "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8:replace"}


@contextlib.contextmanager
def working(on: str) -> Iterator[None]:
    """Tell what is being done, while somebody looks."""
    if not interactive():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(on, spinner="line"):
        yield


def prepare() -> None:
    """Make the streams fit to print what a kata may contain, in any encoding; one that is closed is there again."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                setattr(sys, name, _in_place_of(number))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    _console.cache_clear()


def unwritable(error: OSError) -> str:
    """Why output takes nothing, in words, and empty for any other error. The rest of it goes nowhere then."""
    if error.filename is not None or error.errno not in LOST:
        return ""
    reader_gone(sys.stdout)
    return f"the output cannot be written: {'closed' if error.errno == errno.EBADF else error.strerror}"


def _in_place_of(number: int) -> IO[str]:
    """A stream for a closed one of 0, 1, 2: another file would get its number, and with it what is printed.

    Input is at its end, output fails, and nobody misses errors.
    """
    handle = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    os.set_inheritable(handle, True)
    return open(handle, "w" if number else "r", encoding="utf-8", closefd=False)


def reader_gone(stream: IO[str]) -> None:
    """Send the rest of the output nowhere, so that neither a line nor the flush at exit fails."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _speaks_unicode() -> bool:
    try:
        "●✓░".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _coloured(stream: IO[str]) -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if not (stream.isatty() or os.environ.get("FORCE_COLOR")):
        return False
    try:
        import rich.console  # noqa: F401
    except ImportError:  # doctor speaks before anything is installed
        return False
    return True


@cache
def _console(to_stderr: bool) -> Any:
    from rich.console import Console

    return Console(stderr=to_stderr, force_terminal=True, markup=False, emoji=False)
