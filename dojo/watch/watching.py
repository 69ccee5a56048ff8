"""The loop of `dojo watch`: a save or a key comes in, a run goes out, and the screen follows.

A spare, a process that has loaded what depends on no kata, waits for the next save. Each run has a number; what comes
of a run that was overtaken by a later save is thrown away.
"""

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from dojo import ROOT
from dojo.catalog.curriculum import Kata, short
from dojo.learner import store
from dojo.learner.standing import (
    FINISHED,
    GREEN,
    MISSING,
    NOT_STARTED,
    RED,
    hash_of,
    next_of,
    standing,
    standings,
    unfinished,
)
from dojo.system import terminal
from dojo.verdict import memory
from dojo.verdict.command import OFFER, Request
from dojo.verdict.record import Record
from dojo.verdict.run import Verdict, Watcher, run
from dojo.verdict.supervision import Cancelled, Limits, Prepared, prepare
from dojo.watch import ahead, keys
from dojo.watch.files import Saved, watched
from dojo.watch.screen import Screen, View


@dataclass(frozen=True)
class Progress:
    """What a run has recorded so far."""

    number: int
    record: Record


@dataclass(frozen=True)
class Judged:
    """The verdict of a run; `ended` when nothing of the run is left to come."""

    number: int
    verdict: Verdict
    ended: bool


@dataclass(frozen=True)
class Shown:
    """What a key's command printed."""

    text: str


@dataclass(frozen=True)
class Key:
    """A key that was pressed."""

    name: str


class Resized:
    """The terminal has another size."""


Event = Saved | Progress | Judged | Shown | Key | Resized


class Run(Watcher):
    """One run in a thread of its own, which posts its result."""

    def __init__(self, number: int, request: Request, spare: Prepared | None, limits: Limits, post: "Post") -> None:
        self.number, self.request, self.post = number, request, post
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._work, args=(spare, limits), daemon=True, name="testing")
        self.thread.start()

    def _work(self, spare: Prepared | None, limits: Limits) -> None:
        with contextlib.suppress(Cancelled):
            verdict = run(self.request, limits, self, spare)
            self.post(Judged(self.number, verdict, ended=True))

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()

    def cancelled(self) -> bool:
        return self.stopped.is_set()

    def marked(self, record: Record) -> None:
        self.post(Progress(self.number, record))

    def judged(self, verdict: Verdict) -> None:
        self.post(Judged(self.number, verdict, ended=False))


class Post:
    """Events from every thread, in the order in which they came."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def __call__(self, event: Event) -> None:
        self.waiting.put(event)

    def take(self) -> Event:
        """The next event. Waits in short steps, so that Ctrl-C is heard on every system."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self.waiting.get(timeout=0.5)


ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


class Watch:
    """What is watched now."""

    def __init__(self, kata: Kata, screen: Screen, limits: Limits | None = None) -> None:
        self.view, self.screen, self.limits = View(kata), screen, limits or Limits()
        self.post = Post()
        self.number = 0
        self.running: Run | None = None
        self.spare: Prepared | None = None
        self.working: subprocess.Popen[bytes] | None = None  # ahead, for the next diagnosis
        self.asked: subprocess.Popen[str] | None = None  # the command of a key
        self.confirmed: tuple[str, ...] = ()  # the command that waits for a yes
        self.seen = ""  # the hash of the kata's file when it was looked at
        self.on = True
        self.ended_by = 0  # the number of a signal

    def loop(self) -> None:
        """Watch until q, Ctrl-C or the end of the process. No process is left behind.

        Raises KeyboardInterrupt or SystemExit, where a signal ended it.
        """
        stop = threading.Event()
        files = watched(self.post, stop)
        try:
            with (
                self._signals_heard(),
                terminal.resized(partial(self.post, Resized())),
                keys.pressed(lambda name: self.post(Key(name))),
            ):
                self.begin(self.view.kata)
                while self.on:
                    self.handle(self.post.take())
        finally:
            stop.set()
            if self.running:
                self.running.stop()
            self._drop_spare()
            self._stop_working()
            self._stop_command()
            files.join(2)
        if self.ended_by == signal.SIGINT:
            raise KeyboardInterrupt
        if self.ended_by:
            raise SystemExit(128 + self.ended_by)

    @contextlib.contextmanager
    def _signals_heard(self) -> Iterator[None]:
        """Within, a signal ends the loop as q does. An exception could come where it is lost, or where a run begins."""

        def hear(number: int, _frame: object) -> None:
            self.ended_by, self.on = number, False
            self.post(Resized())  # an event, so that nobody waits for one

        numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
        before = {number: signal.signal(number, hear) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle(self, event: Event) -> None:
        match event:
            case Saved(katas=saved, frame=frame):
                self._saved(saved, frame)
            case Progress(number=number, record=record) if number == self.number and self.view.record is not None:
                if record.tests != self.view.record.tests:
                    self.view.record = record
                    self.screen.show(self.view)
            case Judged(number=number, verdict=verdict, ended=ended) if number == self.number:
                self._judged(verdict, ended)
            case Shown(text=text):
                self.view.panel, self.view.scrolled, self.view.note = text.splitlines(), 0, ""
                self.screen.show(self.view)
            case Key(name=keys.GONE):
                self.on = False
            case Key(name=name):
                self._key(name)
            case Resized():
                self.screen.show(self.view)

    def begin(self, kata: Kata) -> None:
        """Turn to a kata, and test it if there is anything to test."""
        if kata != self.view.kata:
            self.view = View(kata)
            self._drop_spare()
        self.view.panel, self.view.question, self.confirmed, self.view.scrolled = [], "", (), 0
        self.seen, state = hash_of(kata.stub), standing(kata).state
        if state in (MISSING, NOT_STARTED):
            self.view.verdict = None
        if state == MISSING:
            self._tell(f"katas/{kata.address}.py is missing: x or `dojo reset {short(kata)}` writes the stub again.")
        elif state == NOT_STARTED:
            self._tell(f"katas/{kata.address}.py has no code yet. Save the file to test it.")
        else:
            self._test(kata)
        self._have_spare()

    def _test(self, kata: Kata) -> None:
        self._stop_working()
        self._stop_command()
        if self.running:
            self.running.stop()
        self.number += 1
        spare, self.spare = self.spare, None
        if spare and spare.process.poll() is not None:
            spare.close()
            spare = None
        self.seen, self.view.record, self.view.note = hash_of(kata.stub), Record(), ""
        self.view.panel, self.view.scrolled = [], 0
        request = spare.request if spare else self._request(kata)
        self.running = Run(self.number, request, spare, self.limits, self.post)
        self.screen.show(self.view)

    def _saved(self, saved: tuple[Kata, ...], frame: bool) -> None:
        if frame:
            self._drop_spare()
        if saved:
            kata = self.view.kata if self.view.kata in saved else saved[-1]
            if self._is_new(kata) or frame:
                self.begin(kata)
        elif frame and self.view.verdict is not None:
            self.begin(self.view.kata)
        self._have_spare()

    def _is_new(self, kata: Kata) -> bool:
        """Whether a kata's content has changed since it was last read: an editor may save without a change."""
        return kata != self.view.kata or self.seen != hash_of(kata.stub)

    def _judged(self, verdict: Verdict, ended: bool) -> None:
        if verdict.source != hash_of(verdict.kata.stub):  # saved while it ran: the save is on its way
            return
        self.view.verdict, self.view.record = verdict, None
        with contextlib.suppress(store.CannotSave):
            memory.remember(verdict)
        if verdict.outcome == GREEN:
            self.view.note = "Green: n goes on to the next kata."
        self.screen.verdict(self.view)
        if ended:
            self._have_spare()
            self._work_ahead(verdict)

    def _key(self, name: str) -> None:
        if self.confirmed:
            command, self.confirmed, self.view.question = self.confirmed, (), ""
            if name.lower() == "y":
                self._command(*command)
            self.screen.show(self.view)
            return
        kata = short(self.view.kata)
        match name.lower():
            case "q":
                self.on = False
            case "n":
                upcoming = next_of([one for one in standings() if one.kata != self.view.kata] or standings())
                if upcoming:
                    self.begin(upcoming.kata)
            case "r":
                self._test(self.view.kata)
                self._have_spare()
            case "h":
                self._command("hint", kata)
            case "s":
                self._command("spec", kata)
            case "l":
                self._command("list")
            case "c":
                self._command("report", note="testing every kata that is begun ...")
            case "d" if standing(self.view.kata).state in FINISHED:
                self._command("diff", kata)
            case "d":
                self._ask(f"{kata} is not green. Show the reference anyway?", "diff", kata, "--yes")
            case "x":
                self._ask(
                    f"Replace katas/{self.view.kata.address}.py by the stub? Your file is kept.", "reset", kata, "--yes"
                )
            case keys.UP | "k":
                self.view.scrolled -= 1
                self.screen.show(self.view)
            case keys.DOWN | "j" | " ":
                self.view.scrolled += 1
                self.screen.show(self.view)
            case _:
                self.view.panel = []
                self.screen.show(self.view)

    def _ask(self, question: str, *command: str) -> None:
        self.view.question, self.confirmed = question, command
        self.screen.show(self.view)

    def _command(self, *words: str, note: str = "") -> None:
        """Run a command of dojo, and show what it prints once it has ended."""
        self._stop_command()
        self.view.note = note or f"{' '.join(('dojo', *words))} ..."
        self.screen.show(self.view)
        process = self.asked = subprocess.Popen(
            [sys.executable, "-m", "dojo", *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=terminal.environment(),
        )

        def work() -> None:
            printed, _ = process.communicate()
            if process is self.asked:
                self.post(Shown(printed.strip() or "done."))

        threading.Thread(target=work, daemon=True, name="a command").start()

    def _stop_command(self) -> None:
        if self.asked:
            process, self.asked = self.asked, None
            process.terminate()  # it ends what it has started itself
            process.wait()

    def _tell(self, note: str) -> None:
        self.view.note, self.view.record = note, None
        self.screen.show(self.view)

    def _request(self, kata: Kata) -> Request:
        return Request(kata, unfinished(kata), tiers=OFFER)

    def _have_spare(self) -> None:
        """Have a process wait for the next save. One with other prerequisites is of no use."""
        request = self._request(self.view.kata)
        if self.spare and (self.spare.request != request or self.spare.process.poll() is not None):
            self._drop_spare()
        if self.spare is None:
            with contextlib.suppress(OSError):
                self.spare = prepare(request, self.limits, waits=True)

    def _drop_spare(self) -> None:
        if self.spare:
            self.spare.close()
            self.spare = None

    def _work_ahead(self, verdict: Verdict) -> None:
        """Work out what a diagnosis compares with, while the learner reads."""
        if verdict.outcome in (GREEN, RED) and self.working is None:
            rooms = json.dumps(dict.fromkeys(verdict.borrowed, "solutions"))
            self.working = ahead.start(verdict.kata, rooms)

    def _stop_working(self) -> None:
        if self.working:
            self.working.kill()
            self.working.wait()
            self.working = None
