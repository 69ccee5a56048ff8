"""What a table of neighbours predicts: the baseline that a model has to beat to have learned more than pairs."""

import math
from typing import Any

import numpy as np

Ids = np.ndarray[Any, np.dtype[Any]]


def perplexity(learned: Ids, predicted: Ids, vocab_size: int) -> float:
    """The perplexity, per token, of a bigram model of the ids `learned` on the ids `predicted`.

    A token that often comes after the one before is likely; what was never seen there gets a share by how often it
    occurs anywhere, the greater the more different tokens were seen there (Witten and Bell 1991).
    """
    learned, predicted = learned.astype(np.int64), predicted.astype(np.int64)
    anywhere = (np.bincount(learned, minlength=vocab_size) + 1) / (len(learned) + vocab_size)  # (vocab_size,)
    pairs, times = np.unique(learned[:-1] * vocab_size + learned[1:], return_counts=True)
    before = np.bincount(pairs // vocab_size, weights=times, minlength=vocab_size)  # (vocab_size,)
    followers = np.bincount(pairs // vocab_size, minlength=vocab_size)  # (vocab_size,)
    first, second = predicted[:-1], predicted[1:]
    place = np.searchsorted(pairs, first * vocab_size + second).clip(max=len(pairs) - 1)
    seen = np.where(pairs[place] == first * vocab_size + second, times[place], 0)
    weight = np.where(before[first] > 0, followers[first], 1)  # of what occurs anywhere; all of it after a new token
    likely = (seen + weight * anywhere[second]) / (before[first] + weight)
    return math.exp(-np.log(likely).mean())
