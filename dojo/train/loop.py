"""Train a session to its end with the kata's own loop, and measure and save it on the way."""

import math
import time
from collections.abc import Callable
from typing import Any

from dojo.errors import DojoError
from dojo.learner import store
from dojo.train import pieces
from dojo.train.history import LISTS
from dojo.train.interrupts import Interrupts
from dojo.train.narrating import Narrator
from dojo.train.session import Session

EVALUATIONS = 12  # in a run
EVAL_BATCHES = 8
SAVE_SHARE = 20  # a save that takes long comes seldom: it takes at most this part of the time


class Stopped(Exception):
    """The run was asked to stop, and has been saved."""


class Clock:
    """When the next save is due: after so many seconds, and later where saving itself takes long."""

    def __init__(self, every: float) -> None:
        self.every, self.due = every, time.monotonic() + every

    def rings(self) -> bool:
        return time.monotonic() >= self.due

    def __enter__(self) -> None:
        self.begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        self.due = now + max(self.every, SAVE_SHARE * (now - self.begun))


class Loop:
    """Teaches a session, and saves every so many seconds.

    So many of the evaluations come with a remark: what the model says by then, or how good it is.
    """

    def __init__(
        self,
        session: Session,
        narrator: Narrator,
        save_every: float,
        remark: Callable[[], str],
        remarks: int = EVALUATIONS,
    ) -> None:
        self.session, self.narrator, self.remark = session, narrator, remark
        self.clock, self.interrupts = Clock(save_every), Interrupts()
        self.eval_every = -(-session.total // EVALUATIONS)
        self.between_remarks = EVALUATIONS // remarks

    def run(self) -> bool:
        """Train from the session's current step to the end of the run. The result is whether the end was reached.

        It is False where somebody asked to stop, after a save. Raises CannotSave, and DojoError where it has diverged.
        """
        session = self.session
        self.narrator.begin(session.start, session.total)
        try:
            with self.interrupts:
                self._train()
        except Stopped:
            self.narrator.end()
            self.narrator.stopped(len(session.history["losses"]), session.total, session.run.again)
            return False
        except store.CannotSave as error:
            raise store.CannotSave(f"{error}; `{session.run.again}` continues from the last save") from None
        finally:
            self.narrator.end()
        if session.team.leads:
            session.run.measure(session.history)
        return True

    def _train(self) -> None:
        """Hand everything to the kata's loop, which calls back after each step."""
        session = self.session
        history = pieces.module("pretraining/training").train(
            session.team.together(session.seen(session.model), session.device),
            session.share(),
            session.watched(),
            session.optimizer,
            session.teaching.epochs,
            self.eval_every,
            EVAL_BATCHES,
            schedule=self._rate,
            max_norm=session.teaching.max_norm,
            start_step=session.start,
            on_step=self._after_step,
        )
        if history.steps[-1:] != session.history["steps"][-1:]:
            self._evaluated(session.total, history)

    def _rate(self, step: int) -> float:
        """The learning rate of a step: up to the peak in a tenth of all steps, and down to a tenth of it."""
        peak, total = self.session.teaching.learning_rate, self.session.total
        rate: float = pieces.module("pretraining/schedule").learning_rate_at(step, peak, peak / 10, total // 10, total)
        return rate

    def _after_step(self, step: int, loss: float, history: Any) -> None:
        session = self.session
        mean, asked = session.team.mean(loss, self.interrupts.asked)
        session.history["losses"].append(mean)
        if not math.isfinite(mean):
            raise self._diverged(step, f"the loss is {mean}")
        self.narrator.step(step, mean, session.tokens_in_a_step)
        if history.steps and history.steps[-1] == step:
            self._evaluated(step, history)
        if asked or step == session.total or self.clock.rings():
            if not session.sound():  # the loss of a step is that before its update
                raise self._diverged(step, "not every weight is a finite number")
            if session.team.leads:
                with self.clock:
                    session.save(step)
            if asked and step < session.total:
                raise Stopped

    def _diverged(self, step: int, seen: str) -> DojoError:
        """Note that the run has diverged, and say how to go on from its last save."""
        session, rate = self.session, self.session.teaching.learning_rate
        if session.team.leads:
            session.run.note_more(diverged={"step": step, "rate": rate})
        again = f"`{session.run.again} --learning-rate {rate / 10:g}` continues from step {session.last_save}"
        return DojoError(f"{seen} at step {step}: the run has diverged. {again} with a smaller rate.")

    def _evaluated(self, step: int, history: Any) -> None:
        """Note and tell the last evaluation of the kata's loop, as the mean of what all processes have seen."""
        session = self.session
        losses = session.team.mean(history.train_losses[-1], history.val_losses[-1])
        history.train_losses[-1], history.val_losses[-1] = losses
        for name in LISTS:
            session.history[name].append(getattr(history, name)[-1])
        session.history["tokens_seen"][-1] *= session.team.size
        self.narrator.evaluated(step, *losses)
        due = step == session.total or step // self.eval_every % self.between_remarks == 0
        if session.team.leads and due:
            self.narrator.remark(self.remark())
