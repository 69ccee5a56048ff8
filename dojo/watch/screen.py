"""What the screen shows: redrawn at its size on a terminal, or line after line for pipes and screen readers."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dojo.catalog.curriculum import Kata
from dojo.catalog.specification import core_clauses
from dojo.learner.standing import FAILED, GREEN, PASSED, SKIPPED, UNTESTED
from dojo.system import terminal
from dojo.verdict import render
from dojo.verdict.command import OFFER
from dojo.verdict.record import Record
from dojo.verdict.render import Line
from dojo.verdict.run import Verdict

KEYS = "  ".join(
    key.replace(" ", terminal.HELD)
    for key in ("n next", "h hint", "s spec", "d diff", "l list", "c all", "x reset", "r again", "q quit")
)


@dataclass
class View:
    """What there is to show."""

    kata: Kata
    note: str = ""
    record: Record | None = None  # of the run that goes on
    verdict: Verdict | None = None  # of the last run that came to one
    panel: Sequence[str] = field(default_factory=list)  # the text of a key's command, in place of the verdict
    question: str = ""
    scrolled: int = 0


class Screen(Protocol):
    def __enter__(self) -> "Screen": ...

    def __exit__(self, *about: object) -> None: ...

    def show(self, view: View) -> None:
        """Show the view as it is now."""

    def verdict(self, view: View) -> None:
        """A verdict has come, or its diagnosis."""


def lines_of(view: View, width: int) -> list[Line]:
    """The whole view, however long."""
    if view.panel:
        return [[part] for line in view.panel for part in terminal.wrapped(line, width, "", render.INDENT)]
    if view.record is not None:
        return _running(view, view.record, width)
    if view.verdict is None:
        untested = dict.fromkeys(core_clauses(view.kata.address), UNTESTED)
        return [*render.heading(view.kata, width), *render.marks(untested, width)]
    return _ended(view.verdict, width)


def ending_of(view: View, width: int) -> list[Line]:
    """The last lines of the view that stay in sight while the rest is scrolled: the outcome of a verdict."""
    if view.panel or view.record is not None or view.verdict is None:
        return []
    return [*render.ending(view.verdict, width), *_offer(view.verdict, width)]


def _ended(verdict: Verdict, width: int) -> list[Line]:
    return [*render.verdict(verdict, f"katas/{verdict.kata.address}.py", width), *_offer(verdict, width)]


def _offer(verdict: Verdict, width: int) -> list[Line]:
    offered = verdict.outcome == GREEN and verdict.tiers == OFFER and verdict.complete is not None
    return render.further(verdict, width) if offered else []


def _running(view: View, record: Record, width: int) -> list[Line]:
    """The marks so far, and the first failure, before the last test has ended."""
    marks = dict.fromkeys(core_clauses(view.kata.address), UNTESTED)
    for outcome in (SKIPPED, PASSED, FAILED):  # the last one that fits stays
        marks |= {test.clause: outcome for test in record.tests if test.outcome == outcome and test.clause in marks}
    lines = [*render.heading(view.kata, width), *render.marks(marks, width), []]
    first = next((test for test in record.tests if test.explanation and test.clause in marks), None)
    if first and first.explanation:
        return [*lines, *render.explanation(first.explanation, width=width)]
    if view.verdict and view.verdict.kata == view.kata:
        before = render.failures(view.verdict, width, verbose=False)
        lines += [[("before this save:", "dim")]] if before else []
        return [*lines, *([(text_of(line), "dim")] for line in before)]
    return lines


def text_of(line: Line) -> str:
    return "".join(part if isinstance(part, str) else part[0] for part in line)


class Redrawn:
    """A terminal: one screen, drawn again at its present size."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(markup=False, emoji=False, highlight=False)
        self.live = Live(
            console=self.console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self.last: View | None = None

    def __enter__(self) -> "Redrawn":
        self.live.start()
        return self

    def __exit__(self, *about: object) -> None:
        self.live.stop()
        if self.last and self.last.verdict:  # what was seen last stays on the screen
            for line in _ended(self.last.verdict, self.console.width - 1):
                terminal.say(*line)

    def show(self, view: View) -> None:
        self.last = view
        width, height = self.console.size
        lines, foot = lines_of(view, width - 1), self._foot(view, width)
        if len(lines) > height - len(foot) - 1 and (ending := ending_of(view, width - 1)):
            lines, foot = lines[: -len(ending)], [*ending, *foot]
        room = max(height - len(foot) - 1, 1)
        view.scrolled = max(min(view.scrolled, len(lines) - room), 0)
        shown = lines[view.scrolled : view.scrolled + room]
        if below := len(lines) - view.scrolled - len(shown):
            shown[-1] = [(f"{below + 1} more lines: down arrow", "dim")]
        self.live.update(self._drawn([*shown, *[[]] * (room - len(shown)), *foot]), refresh=True)

    def verdict(self, view: View) -> None:
        self.show(view)

    def _foot(self, view: View, width: int) -> list[Line]:
        testing = "" if view.record is None else "testing ..."
        text = f"{view.question} [y/n]" if view.question else view.note or testing
        lines: list[Line] = [[(line, "bold")] for line in terminal.wrapped(text, width - 1)[:2]] if text else []
        return [*lines, *([(line, "dim")] for line in terminal.wrapped(KEYS, width - 1))]

    def _drawn(self, lines: Sequence[Line]) -> Any:
        from rich.text import Text

        return Text("\n", no_wrap=True, overflow="crop").join(Text.assemble(*line) for line in lines)


class Plain:
    """Line after line: each verdict once, what comes to it later below, and nothing is ever moved."""

    def __init__(self) -> None:
        self.told: tuple[str, ...] = ()
        self.judged: Verdict | None = None
        self.later: list[Line] = []  # what was told of it beside the verdict
        self.keyboard = sys.stdin.isatty()

    def __enter__(self) -> "Plain":
        self._say([[line] for line in self._wrapped(KEYS if self.keyboard else "")])
        return self

    def __exit__(self, *about: object) -> None:
        pass

    def show(self, view: View) -> None:
        lines = [*view.panel, view.question] if view.panel or view.question else self._wrapped(view.note)
        if (told := tuple(filter(None, lines))) and told != self.told:
            self.told = told
            self._say([[line] for line in told])

    def verdict(self, view: View) -> None:
        found = view.verdict
        if found is None:
            return
        width = min(terminal.columns() - 1, render.WIDEST)
        later = [*render.named_after(found, width), *_offer(found, width)]
        if found is not self.judged:
            self._say([*_ended(found, width), []])
        elif later != self.later:
            self._say([*later, []])
        self.judged, self.later = found, later
        if self.keyboard:
            self.show(view)

    def _wrapped(self, text: str) -> list[str]:
        return terminal.wrapped(text, terminal.columns() - 1) if text else []

    def _say(self, lines: Sequence[Line]) -> None:
        for line in lines:
            terminal.say(*line)
