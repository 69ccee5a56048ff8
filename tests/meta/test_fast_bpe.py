"""The fast forms of byte-pair encoding on the ladder give exactly what the references give."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dojo.ladder import fast_bpe_encoding, fast_bpe_training
from solutions.text import bpe_tokenizer, bpe_training
from tests.support import SCRIPTS, language_reference

FRAGMENTS = [
    "a",
    "b",
    "ab",
    " ",
    "  ",
    " the",
    "'",
    "'s",
    "'ll",
    "\r\n",
    "\t",
    "42",
    "!?",
    "é",
    "e\u0301",
    "漢字",
    "👍🏽",
]
SPECIALS = ["<|end|>", "<|end|><|end|>", "<|", "a*", "é?", "’s"]
TEXTS = (
    st.text("ab", max_size=24)
    | st.text("ab ", max_size=32)
    | st.lists(st.sampled_from([*FRAGMENTS, *SPECIALS]), max_size=12).map("".join)
)


def test_both_split_with_the_same_pattern():
    assert fast_bpe_training.SPLIT_PATTERN == bpe_training.SPLIT_PATTERN


@given(TEXTS, st.lists(st.sampled_from(SPECIALS), max_size=4, unique=True), st.integers(260, 300))
def test_fast_training_gives_the_same_vocabulary(text, special_tokens, vocab_size):
    expected = bpe_training.train_bpe(text, vocab_size, special_tokens)
    assert fast_bpe_training.train_bpe(text, vocab_size, special_tokens) == expected


@pytest.mark.parametrize("letters", ["ab", "abc", "abcd", "abc ", "abcde  "])
def test_fast_training_gives_the_same_vocabulary_to_the_end(letters):
    text = "".join(random.Random(letters).choices(letters, k=300))
    assert fast_bpe_training.train_bpe(text, 1000) == bpe_training.train_bpe(text, 1000)


@pytest.mark.parametrize("script", SCRIPTS)
def test_fast_training_gives_the_same_vocabulary_in_every_script(script):
    assert fast_bpe_training.train_bpe(SCRIPTS[script], 300) == bpe_training.train_bpe(SCRIPTS[script], 300)


def test_fast_training_gives_the_same_vocabulary_on_real_text():
    text = language_reference()[:60_000]
    assert fast_bpe_training.train_bpe(text, 400) == bpe_training.train_bpe(text, 400)


def test_fast_training_takes_a_piece_of_any_length():
    doubled = [(b"a" * 2**n, b"a" * 2**n) for n in range(13)]
    assert fast_bpe_training.train_bpe("a" * 10_000, 269)[1] == doubled


def in_chunks(text, places):
    """A text, cut at some places."""
    places = sorted({0, len(text), *(place for place in places if place < len(text))})
    return [text[start:end] for start, end in pairwise(places)]


@given(
    TEXTS, TEXTS, st.lists(st.sampled_from(SPECIALS), max_size=4, unique=True), st.lists(st.integers(0, 60), max_size=8)
)
def test_fast_encoding_gives_the_same_ids_whole_and_in_chunks(source, text, special_tokens, places):
    vocabulary = fast_bpe_training.train_bpe(source, 290, special_tokens)
    plain = bpe_tokenizer.BPETokenizer(*vocabulary, special_tokens)
    fast = fast_bpe_encoding.BPETokenizer(*vocabulary, special_tokens)
    expected = plain.encode(text)
    assert fast.encode(text) == expected
    assert list(fast.encode_iterable(in_chunks(text, places))) == expected
    assert fast.decode(expected) == text


@given(TEXTS, TEXTS)
def test_fast_encoding_gives_the_same_ids_with_ranks(source, text):
    vocab, _ = fast_bpe_training.train_bpe(source, 290)
    ranks = {token: rank for rank, token in vocab.items()}
    plain = bpe_tokenizer.BPETokenizer.from_ranks(ranks, {"<|end|>": 999})
    assert fast_bpe_encoding.BPETokenizer.from_ranks(ranks, {"<|end|>": 999}).encode(text) == plain.encode(text)


@pytest.mark.parametrize("script", SCRIPTS)
def test_fast_encoding_gives_the_same_ids_in_every_script(script):
    vocabulary = fast_bpe_training.train_bpe(SCRIPTS[script] + SCRIPTS["English"], 290)
    expected = bpe_tokenizer.BPETokenizer(*vocabulary).encode(SCRIPTS[script])
    assert fast_bpe_encoding.BPETokenizer(*vocabulary).encode(SCRIPTS[script]) == expected


def test_fast_encoding_gives_the_same_ids_on_real_text():
    text = language_reference()[:60_000]
    vocabulary = fast_bpe_training.train_bpe(text, 1000)
    fast, expected = fast_bpe_encoding.BPETokenizer(*vocabulary), bpe_tokenizer.BPETokenizer(*vocabulary).encode(text)
    for _ in range(2):  # new words first, and then words that it remembers
        assert fast.encode(text) == expected
    assert list(fast.encode_iterable(text.splitlines(keepends=True))) == expected


class Counting(int):
    """A rank that counts how often it is compared."""

    compared = 0

    def __lt__(self, other):
        Counting.compared += 1
        return int(self) < int(other)


def test_fast_encoding_looks_at_each_pair_of_a_long_piece_a_few_times():
    def comparisons(length):
        merges = [("a" * 2**n).encode() for n in range(6)]
        vocab = dict(enumerate([*(bytes([byte]) for byte in range(256)), *(part + part for part in merges)]))
        tokenizer = fast_bpe_encoding.BPETokenizer(vocab, [(part, part) for part in merges])
        tokenizer._order = {pair: Counting(rank) for pair, rank in tokenizer._order.items()}
        Counting.compared = 0
        assert len(tokenizer.encode("a" * length)) == -(-length // 64) + (length % 64).bit_count() - (length % 64 > 0)
        return Counting.compared

    assert comparisons(6400) < 15 * comparisons(640)
