"""The baseline that a model has to beat."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from dojo.train.bigram import perplexity


def by_hand(learned, predicted, vocab_size):
    """The same in loops, from the definition."""
    single, pairs = Counter(learned), Counter(itertools.pairwise(learned))
    total = 0.0
    for first, second in itertools.pairwise(predicted):
        anywhere = (single[second] + 1) / (len(learned) + vocab_size)
        followers = [times for (left, _), times in pairs.items() if left == first]
        seen, kinds = sum(followers), len(followers)
        total += math.log((pairs[first, second] + kinds * anywhere) / (seen + kinds) if seen else anywhere)
    return math.exp(-total / (len(predicted) - 1))


@pytest.mark.parametrize("dtype", [np.uint16, np.int64])
def test_it_is_what_its_definition_gives(dtype):
    draw = np.random.default_rng(5)
    learned, predicted = draw.integers(0, 12, 300).astype(dtype), draw.integers(0, 15, 80).astype(dtype)
    assert perplexity(learned, predicted, 15) == pytest.approx(by_hand(learned.tolist(), predicted.tolist(), 15))


def test_the_probabilities_of_what_may_follow_sum_to_1():
    learned = np.array([0, 1, 0, 2, 0, 1, 3], dtype=np.uint16)
    likely = [1 / perplexity(learned, np.array([0, second], dtype=np.uint16), 5) for second in range(5)]
    assert sum(likely) == pytest.approx(1)


def test_a_text_that_repeats_itself_is_foreseen():
    assert perplexity(np.tile([1, 2, 3], 500), np.tile([1, 2, 3], 20), 4) < 1.02
