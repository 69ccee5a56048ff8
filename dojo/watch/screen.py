"""What the screen shows: redrawn at its size on a terminal, or line after line for pipes and screen readers."""

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

KEYS = "n next  h hint  s spec  d diff  l list  c all  x reset  r again  q quit"


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
        return [[line] for line in view.panel]
    if view.record is not None:
        return _running(view, view.record, width)
    if view.verdict is None:
        return [*render.heading(view.kata, width), *([] if view.note else [[], ["Save the file to test it."]])]
    return _ended(view.verdict, width)


def _ended(verdict: Verdict, width: int) -> list[Line]:
    lines = render.verdict(verdict, f"katas/{verdict.kata.address}.py", width)
    offered = verdict.outcome == GREEN and verdict.tiers == OFFER and verdict.complete is not None
    return [*lines, *(render.further(verdict) if offered else [])]


def _running(view: View, record: Record, width: int) -> list[Line]:
    """The marks so far, and the first failure, before the last test has ended."""
    marks = dict.fromkeys(core_clauses(view.kata.address), UNTESTED)
    for outcome in (SKIPPED, PASSED, FAILED):  # the last one that fits stays
        marks |= {test.clause: outcome for test in record.tests if test.outcome == outcome and test.clause in marks}
    lines = [*render.heading(view.kata, width), *render.marks(marks, width), [], [("testing ...", "dim")]]
    first = next((test for test in record.tests if test.explanation and test.clause in marks), None)
    if first and first.explanation:
        return [*lines, [], *render.explanation(first.explanation, width=width)]
    if view.verdict and view.verdict.kata == view.kata:
        before = render.failures(view.verdict, width, verbose=False)
        return [*lines, *([[(text_of(line), "dim")] for line in before])]
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
        foot = self._foot(view, width)
        lines = lines_of(view, width - 1)
        room = max(height - len(foot) - 1, 1)
        view.scrolled = max(min(view.scrolled, len(lines) - room), 0)
        shown = lines[view.scrolled : view.scrolled + room]
        self.live.update(self._drawn([*shown, *[[]] * (room - len(shown)), *foot]), refresh=True)

    def verdict(self, view: View) -> None:
        self.show(view)

    def _foot(self, view: View, width: int) -> list[Line]:
        text = f"{view.question} [y/n]" if view.question else view.note
        lines: list[Line] = [[(line, "yellow")] for line in terminal.wrapped(text, width - 1)[:2]] if text else []
        return [*lines, *([(line, "dim")] for line in terminal.wrapped(KEYS, width - 1))]

    def _drawn(self, lines: Sequence[Line]) -> Any:
        from rich.text import Text

        return Text("\n").join(Text.assemble(*line, no_wrap=True, overflow="crop") for line in lines)


class Plain:
    """Line after line: each verdict once, and nothing is ever moved."""

    def __init__(self) -> None:
        self.told: tuple[object, ...] = ()

    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, *about: object) -> None:
        pass

    def show(self, view: View) -> None:
        if view.panel or view.question:
            self._say(("panel", *view.panel, view.question), [[line] for line in (*view.panel, view.question) if line])
        elif view.note:
            self._say(("note", view.note), [[line] for line in terminal.wrapped(view.note, terminal.columns() - 1)])

    def verdict(self, view: View) -> None:
        if view.verdict is not None:
            width = min(terminal.columns() - 1, render.WIDEST)
            self._say(("verdict", view.verdict.source, view.verdict.outcome), [*_ended(view.verdict, width), []])

    def _say(self, about: tuple[object, ...], lines: Sequence[Line]) -> None:
        if about != self.told:
            self.told = about
            for line in lines:
                terminal.say(*line)
