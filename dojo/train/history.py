"""The losses of a run on its way, as its history.json keeps them."""

import math
from typing import Any

LISTS = ("steps", "tokens_seen", "train_losses", "val_losses", "learning_rates")  # a number for each evaluation
LOSSES = "losses"  # one for each step

History = dict[str, list[float]]


def begun(step: int = 0) -> History:
    """The history of a run at a step, when the losses before it are not known."""
    return {name: [] for name in LISTS} | {LOSSES: [math.nan] * step}


def until(kept: dict[str, Any], step: int) -> History:
    """What is kept of the steps up to one. Raises ValueError where that is not what a run has written."""
    lists = [kept.get(name) for name in (*LISTS, LOSSES)]
    if not all(isinstance(one, list) and all(type(number) in (int, float) for number in one) for one in lists):
        raise ValueError("it does not hold lists of numbers")
    if len({len(kept[name]) for name in LISTS}) > 1 or kept["steps"] != sorted(kept["steps"]):
        raise ValueError("its lists do not match")
    if len(kept[LOSSES]) < step:
        raise ValueError(f"it ends before step {step}")
    evaluations = sum(one <= step for one in kept["steps"])
    return {name: kept[name][:evaluations] for name in LISTS} | {LOSSES: kept[LOSSES][:step]}
