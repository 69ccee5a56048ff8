"""How long a learner's piece would take, measured on a small part, and whether the reference should stand in."""

import math
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

LIMIT = 20.0  # seconds that a learner's piece may take before the reference's is offered
LARGE = 32_000  # characters
FEW, MANY = 8, 32  # merges


def of_train_bpe(train_bpe: Callable[..., Any], text: str, vocab_size: int) -> float:
    """The seconds that train_bpe would take on a text, as told by its time on the beginning of it.

    A plain recount goes through everything again for each merge; counting incrementally, a merge costs next to nothing.
    """
    large = text[:LARGE]
    small = large[: len(large) // 4]
    at_small, at_large = per_merge(train_bpe, small), per_merge(train_bpe, large)
    once = max(seconds(partial(train_bpe, large, 256 + FEW)) - FEW * at_large, 0.0)
    longer = len(text) / max(len(large), 1)
    return once * longer + max(vocab_size - 256, 0) * at_large * longer ** growth(at_small, at_large)


def per_merge(train_bpe: Callable[..., Any], text: str) -> float:
    """The seconds of one merge more."""
    few, many = [seconds(partial(train_bpe, text, 256 + merges)) for merges in (FEW, MANY)]
    return max(many - few, 0.0) / (MANY - FEW)


def runs_out(text: str, vocab_size: int) -> bool:
    """Whether training on a text, or timing it on the beginning, may run out of pairs before all merges are made.

    Each word takes a merge of its own at least, and the beginning is a quarter of the text.
    """
    words = set(re.findall(r"[^\W\d_]{2,}", text))
    return len(words) < max(vocab_size - 256, 4 * MANY)


def growth(small: float, large: float) -> float:
    """The power of the length with which a cost grows, from its cost at one length and at four times that."""
    return min(max(math.log(large / small, 4), 0.0), 1.0) if small > 0 and large > 0 else 0.0


def of_encoding(encode: Callable[[str], Any], text: str) -> float:
    """The seconds that a tokenizer would take for a text, as told by its time for the beginning of it."""
    part = text[:LARGE]
    return seconds(partial(encode, part)) * len(text) / max(len(part), 1)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_words(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} hours"
