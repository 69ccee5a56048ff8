"""Ctrl-C while training: at the first, the run ends after its step; at the second, at once."""

import contextlib
import signal
from types import FrameType
from typing import Any


class Interrupts:
    """Within, SIGINT and SIGTERM are noted. A step that has begun ends first: in its middle nothing could be saved."""

    def __init__(self) -> None:
        self.asked = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1
        if self.asked > 1:
            raise KeyboardInterrupt
