"""What is told while a run goes on: a bar for somebody who looks, lines for a file."""

import time
from typing import Any

from dojo.system import terminal
from dojo.train.slowness import in_words
from dojo.train.speaking import BROKEN


class Narrator:
    """Tells nothing: what all processes of a team but the leader do."""

    def begin(self, start: int, total: int) -> None:
        pass

    def step(self, step: int, loss: float, tokens: int) -> None:
        pass

    def evaluated(self, step: int, train_loss: float, val_loss: float) -> None:
        pass

    def remark(self, text: str) -> None:
        pass

    def stopped(self, step: int, total: int, again: str) -> None:
        pass

    def end(self) -> None:
        pass


class Aloud(Narrator):
    """What is told in one way, whoever looks."""

    def stopped(self, step: int, total: int, again: str) -> None:
        terminal.say(f"stopped at step {terminal.number(step)} of {terminal.number(total)}, and saved.")
        terminal.say("next: ", (again, "bold cyan"))


class Lines(Aloud):
    """A line for each evaluation, and for each sample."""

    def begin(self, start: int, total: int) -> None:
        self.start, self.total, self.begun, self.tokens = start, total, time.monotonic(), 0

    def step(self, step: int, loss: float, tokens: int) -> None:
        self.tokens += tokens

    def evaluated(self, step: int, train_loss: float, val_loss: float) -> None:
        taken = time.monotonic() - self.begun
        left = taken / max(step - self.start, 1) * (self.total - step)
        speed = self.tokens / max(taken, 1e-9)
        whole = terminal.number(self.total)
        told = f"{in_words(left)} left" if step < self.total else f"in {in_words(taken)}"
        terminal.say(
            f"step {terminal.number(step):>{len(whole)}} of {whole}  learned {train_loss:.3f}  "
            f"held out {val_loss:.3f}  {terminal.number(speed)} tokens/s  {told}"
        )

    def remark(self, text: str) -> None:
        for line in sample_lines(text):
            terminal.say((line, "dim"))


class Bar(Aloud):
    """A bar with loss, speed and the time left; evaluations and samples pass by above it."""

    def begin(self, start: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(highlight=False, markup=False, emoji=False)
        self.progress = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]} of {task.fields[all]}"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[speed]} tokens/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.console,
        )
        self.task = self.progress.add_task(
            "", total=total, completed=start, loss="-", speed="-", done="0", all=terminal.number(total)
        )
        self.loss, self.speed, self.last = 0.0, 0.0, time.monotonic()
        self.progress.start()

    def step(self, step: int, loss: float, tokens: int) -> None:
        now = time.monotonic()
        speed, self.last = tokens / max(now - self.last, 1e-9), now
        # One step says little: the mean of some is shown, the last ones weighing most.
        self.loss = 0.9 * self.loss + 0.1 * loss if self.loss else loss
        self.speed = 0.9 * self.speed + 0.1 * speed if self.speed else speed
        done, per_second = terminal.number(step), terminal.number(self.speed)
        self.progress.update(self.task, completed=step, done=done, loss=f"{self.loss:.3f}", speed=per_second)

    def evaluated(self, step: int, train_loss: float, val_loss: float) -> None:
        self.console.print(f"step {terminal.number(step)}: loss {train_loss:.3f} learned, {val_loss:.3f} held out")

    def remark(self, text: str) -> None:
        from rich.text import Text

        for line in sample_lines(text):
            self.console.print(Text(line, style="italic dim"))

    def end(self) -> None:
        self.progress.stop()


def sample_lines(text: str) -> list[str]:
    """A sample, wrapped and set off, without its empty lines and with no sign that could upset a terminal."""
    width = min(terminal.columns() - 1, 100)
    parts = [part for part in terminal.harmless(text).split("\n") if part.strip()]
    lines = [line for part in parts for line in terminal.wrapped(part, width, "  | ", "  | ")]
    if BROKEN in text:
        told = f"({BROKEN} is a byte that is no character by itself: a token of one byte was drawn alone)"
        lines += terminal.wrapped(told, width, "  ", "  ")
    return lines


def narrator(leads: bool) -> Any:
    """The one that fits this process and its screen."""
    return Narrator() if not leads else Bar() if terminal.interactive() else Lines()
