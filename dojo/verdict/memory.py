"""Remember a verdict, and how long a learner took from the first test of their own code to green."""

import math
import time

from dojo.catalog.curriculum import Kata
from dojo.learner import store
from dojo.learner.standing import GREEN
from dojo.verdict.run import Verdict

VERDICT, TIME = "verdict", "time"


def remember(verdict: Verdict) -> None:
    """Keep a verdict on a learner's own file, unless its tests never began. Raises CannotSave."""
    if not verdict.begun:
        return
    kata = verdict.kata
    store.write(kata.address, VERDICT, verdict.as_progress())
    known = store.read(kata.address, TIME)
    now = time.time()
    if not isinstance(known.get("begun"), float):
        store.write(kata.address, TIME, {"begun": now} | ({"green": now} if verdict.outcome == GREEN else {}))
    elif verdict.outcome == GREEN and "green" not in known:
        store.write(kata.address, TIME, known | {"green": now})


def own_time(kata: Kata) -> float | None:
    """Seconds from the first test to the first green; None before that, or where it was green at once."""
    match store.read(kata.address, TIME):
        case {"begun": float(begun), "green": float(green)} if begun < green < math.inf:
            return green - begun
    return None


def in_words(seconds: float) -> str:
    """A time as people say it."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            number = round(seconds / size)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"
