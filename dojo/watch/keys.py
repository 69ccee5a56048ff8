"""Single keys from the terminal, without waiting for Enter, as events."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

UP, DOWN, GONE = "up", "down", "gone"
SEQUENCES = {"\x1b[A": UP, "\x1b[B": DOWN, "\x1bOA": UP, "\x1bOB": DOWN}
PATIENCE = 0.1


@contextlib.contextmanager
def pressed(post: Callable[[str], None]) -> Iterator[bool]:
    """Post each key that is pressed within. Yields whether there is a keyboard."""
    if not sys.stdin.isatty():
        yield False
        return
    stop = threading.Event()
    with _single_keys():
        thread = threading.Thread(target=_read, args=(post, stop), daemon=True, name="reading keys")
        thread.start()
        try:
            yield True
        finally:
            stop.set()
            thread.join(2 * PATIENCE)


@contextlib.contextmanager
def _single_keys() -> Iterator[None]:
    """Let the terminal hand over each key at once, and give it back its mode. Ctrl-C stays an interrupt."""
    if os.name == "nt":
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _read(post: Callable[[str], None], stop: threading.Event) -> None:
    """Post each key, and GONE when the terminal is gone."""
    try:
        while not stop.is_set():
            if text := _next():
                post(SEQUENCES.get(text, text[:1]))
    except (EOFError, OSError):
        post(GONE)


def _next() -> str:
    """What was typed within a short time; an escape sequence comes as one text.

    Raises EOFError or OSError when the terminal is gone.
    """
    if os.name == "nt":
        import msvcrt

        time.sleep(PATIENCE)
        return msvcrt.getwch() if msvcrt.kbhit() else ""  # type: ignore[attr-defined]
    import select

    if not select.select([sys.stdin], [], [], PATIENCE)[0]:
        return ""
    if not (typed := os.read(sys.stdin.fileno(), 8)):
        raise EOFError
    return typed.decode(errors="ignore")
