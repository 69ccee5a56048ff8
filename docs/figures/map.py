"""The picture of the map in README.md and on the first page: what `dojo` shows after an evening."""

import contextlib
import io
import os
from unittest import mock

from docs.figures.style import save, screen
from dojo.catalog.curriculum import Kata, katas
from dojo.catalog.specification import core_clauses, further_clauses
from dojo.commands import the_map
from dojo.learner.standing import COMPLETE, DONE, NOT_STARTED, STARTED, Standing
from dojo.system import terminal

COLUMNS, LINES = 80, 24
STATES = {
    "foundations/softmax": COMPLETE,
    "attention/simplified": DONE,
    "attention/trainable": DONE,
    "attention/causal": STARTED,
}
ENVIRONMENT = {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "FORCE_COLOR": "1", "TERM": "xterm-256color"}


def draw() -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    with mock.patch.dict(os.environ, environment | ENVIRONMENT, clear=True), contextlib.redirect_stdout(out):
        terminal.prepare()
        the_map.tell([standing(kata) for kata in katas()])
    terminal.prepare()
    out.seek(0)
    return screen(out.read(), COLUMNS, "dojo")


def standing(kata: Kata) -> Standing:
    state, core, further = STATES.get(kata.address, NOT_STARTED), len(core_clauses(kata.address)), 0
    if state == COMPLETE:
        further = len(further_clauses(kata.address))
    held = {NOT_STARTED: 0, STARTED: core - 2}.get(state, core)
    return Standing(kata, state, held, core, further, further)


if __name__ == "__main__":
    save(draw(), "map")
