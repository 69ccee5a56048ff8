"""A command on a terminal of its own, as a learner has it."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time

STYLES = re.compile(rb"\x1b\[[0-9;]*m")
WAITING = "dojo.verdict.waiting"


class OnATerminal:
    """`python -m WORDS` in a scratch copy, on a terminal of 80 columns, and when a text came to the screen.

    streams: those that go elsewhere, as subprocess.Popen takes them.
    """

    def __init__(self, scratch, *words, **streams):
        import pty
        import termios

        self.seen = b""
        self.screen, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        all_three = dict.fromkeys(("stdin", "stdout", "stderr"), theirs) | streams
        own = {"cwd": scratch.root, "env": scratch.environment(TERM="xterm")}
        self.process = subprocess.Popen([sys.executable, "-m", *words], **all_three, **own)
        os.close(theirs)

    def until(self, pattern, seconds=120.0):
        """When a text came that fits, after the one that was found last; None where none did in so many seconds."""
        end = time.perf_counter() + seconds
        while not (found := re.search(pattern.encode(), self.seen)):
            if not select.select([self.screen], [], [], max(end - time.perf_counter(), 0))[0]:
                return None
            self.seen = STYLES.sub(b"", self.seen + os.read(self.screen, 1 << 16))
        self.seen = self.seen[found.end() :]
        return time.perf_counter()

    def until_the_spare_waits(self):
        """Until the next process has loaded torch and all else, as it has when somebody has read a verdict."""
        import psutil

        spent = -1.0
        for _ in range(300):
            now = 0.0
            for one in psutil.Process(self.process.pid).children():
                with contextlib.suppress(psutil.Error):  # it may end meanwhile
                    now += sum(one.cpu_times()[:2]) if WAITING in one.cmdline() else 0
            if now == spent > 0.5:
                return
            spent = now
            self.until("a text that never comes", 0.3)

    def hang_up(self):
        """Take the terminal away, as a closed window or a lost connection does."""
        os.close(self.screen)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)
        self.hang_up()
