"""Classification data, clause by clause. The why: docs/finetuning/classification_data.md."""

import itertools
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katas.finetuning.classification_data import ClassificationDataset, pad_or_truncate
from tests.support import clause, close, refuses, same

PAD = 0
TEXTS, LABELS = ["ab", "a", "caab", "fed"], [1, 0, 2, 1]


def encode(text):
    """Letters to ids: a to 1, b to 2, and so on."""
    return [ord(letter) - ord("a") + 1 for letter in text]


def by_words(text):
    """Words to ids: their numbers of letters."""
    return [len(word) for word in text.split()]


class Encoder:
    """encode, with a count of its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, text):
        self.calls += 1
        return encode(text)


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def refusal(call, *values):
        try:
            call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in values]
        return "accepted"

    def made(texts=TEXTS, labels=LABELS, pad_id=PAD, max_length=None):
        return kata.ClassificationDataset(texts, labels, encode, pad_id, max_length)

    def of_words(max_length=None):
        return kata.ClassificationDataset(["see you", "congratulations"], [0, 1], by_words, PAD, max_length)

    def column(number, **options):
        return [item[number] for item in itertools.islice(made(**options), 4)]

    def rows(**options):
        return [row.tolist() for row in column(0, **options)]

    def calls():
        encoder = Encoder()
        dataset = kata.ClassificationDataset(TEXTS, LABELS, encoder, PAD)
        before = encoder.calls
        for index in (0, 1, 2, 3, 0):
            dataset[index]
        return before, encoder.calls

    def pickled():
        dataset = kata.ClassificationDataset(TEXTS, LABELS, lambda text: encode(text), PAD)
        return refusal(lambda: pickle.dumps(dataset))

    def touched():
        dataset = made()
        dataset[0][0].fill_(9)
        return dataset[0][0].tolist()

    def given_list(length):
        token_ids = [5, 6, 7]
        seen = kata.pad_or_truncate(token_ids, length, PAD)
        return seen is token_ids, token_ids

    return {
        "a shorter text": lambda: list(kata.pad_or_truncate([5, 6], 4, 9)),
        "a longer text": lambda: list(kata.pad_or_truncate([5, 6, 7], 2, 9)),
        "a list of the right length": lambda: given_list(3),
        "a list that is changed": lambda: [given_list(length)[1] for length in (2, 5)],
        "type for a tuple": lambda: [type(kata.pad_or_truncate((5, 6, 7), n, 9)).__name__ for n in (2, 3, 4)],
        "lengths below 1": lambda: [refusal(lambda n=n: kata.pad_or_truncate([5, 6, 7], n, 9), n) for n in (0, -1)],
        "rows": rows,
        "rows of length 2": lambda: rows(max_length=2),
        "rows of length 7": lambda: rows(max_length=7),
        "parts of an item": lambda: [type(part).__name__ for part in made()[0]],
        "dtype": lambda: str(made()[0][0].dtype),
        "lengths": lambda: column(1),
        "max_length, and lengths, cut to 2": lambda: (made(max_length=2).max_length, column(1, max_length=2)),
        "lengths with pad_id in the text": lambda: column(1, pad_id=1),
        "labels": lambda: [item[-1] for item in itertools.islice(made(), 4)],
        "max_length": lambda: [made(max_length=n).max_length for n in (None, 2, 7)],
        "max_length of words": lambda: of_words().max_length,
        "lengths of words": lambda: [of_words(max_length=9)[index][1] for index in (0, 1)],
        "size": lambda: len(made(max_length=7)),
        "index -1": lambda: refusal(lambda: made()[-1]),
        "index 4": lambda: refusal(lambda: made()[4]),
        "calls of encode": calls,
        "calls of encode, and pickled": lambda: (calls(), pickled()),
        "item after a change": touched,
        "a text without tokens": lambda: refusal(lambda: made(texts=["ab", "a", "", "fed"]), 2),
        "3 labels": lambda: refusal(lambda: made(labels=LABELS[:3]), 4, 3),
        "5 labels": lambda: refusal(lambda: made(labels=[*LABELS, 1]), 4, 5),
    }


@clause("padded")
def test_two_tokens_become_four():
    seen = list(pad_or_truncate([5, 6], 4, 0))
    same(seen, [5, 6, 0, 0], "the tokens 5, 6 at a length of 4, with a pad_id of 0")


@clause("padded")
@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 6), st.integers(0, 9))
def test_padding_is_added_at_the_end(token_ids, missing, pad_id):
    length = max(1, len(token_ids) + missing)
    expected = list(token_ids)
    while len(expected) < length:
        expected.append(pad_id)
    because = f"the tokens {token_ids} at a length of {length}, with a pad_id of {pad_id}"
    same(list(pad_or_truncate(list(token_ids), length, pad_id)), expected, because)


@clause("truncated")
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.data())
def test_the_end_is_cut_off(token_ids, data):
    length = data.draw(st.integers(1, len(token_ids)), label="length")
    expected = [token_ids[place] for place in range(length)]
    same(list(pad_or_truncate(list(token_ids), length, 0)), expected, f"the tokens {token_ids} at a length of {length}")


@clause("item")
def test_an_item_is_token_ids_length_and_label():
    dataset = ClassificationDataset(TEXTS, LABELS, encode, PAD)
    for index, row in enumerate([[1, 2, 0, 0], [1, 0, 0, 0], [3, 1, 1, 2], [6, 5, 4, 0]]):
        item = dataset[index]
        what = f"item {index}, of the text {TEXTS[index]!r}, where a is 1, b is 2, and pad_id is 0"
        same(len(item), 3, f"the parts of {what}: token_ids, length and label")
        close(item[0], torch.tensor(row), f"token_ids of {what}")
        same((item[1], item[2]), (len(TEXTS[index]), LABELS[index]), f"length and label of {what}: two ints")


@clause("size")
def test_the_size_is_the_number_of_texts():
    same(len(ClassificationDataset(TEXTS, LABELS, encode, PAD, max_length=7)), 4, "len() for four texts")


@clause("max-length")
def test_the_longest_text_decides_without_a_max_length():
    same(ClassificationDataset(TEXTS, LABELS, encode, PAD).max_length, 4, "max_length; the longest text has 4 tokens")


@clause("max-length")
def test_the_longest_text_is_the_one_with_most_tokens():
    dataset = ClassificationDataset(["see you soon", "congratulations"], [0, 1], by_words, PAD)
    same(dataset.max_length, 3, "max_length; of 'see you soon' and 'congratulations', where each word is a token")


@clause("max-length")
@pytest.mark.parametrize("max_length", [1, 3, 4, 9])
def test_a_max_length_that_is_given_is_used(max_length):
    dataset = ClassificationDataset(TEXTS, LABELS, encode, PAD, max_length)
    same(dataset.max_length, max_length, "the attribute max_length")
    for index, text in enumerate(TEXTS):
        expected = (encode(text) + [PAD] * 9)[:max_length]
        same(dataset[index][0].tolist(), expected, f"the text {text!r} with a max_length of {max_length}")


@clause("length")
@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=4), st.integers(1, 8))
def test_the_length_counts_what_is_left_of_the_text(texts, max_length):
    dataset = ClassificationDataset(texts, [0] * len(texts), encode, 2, max_length)
    for index, text in enumerate(texts):
        because = f"{text!r} has {len(text)} tokens, max_length is {max_length}, and pad_id is 2, as is b"
        same(dataset[index][1], min(len(text), max_length), f"the length of item {index}: {because}")


@clause("length")
def test_the_length_counts_tokens_and_not_letters():
    dataset = ClassificationDataset(["see you soon", "congratulations"], [0, 1], by_words, PAD, max_length=9)
    for index, (text, count) in enumerate([("see you soon", 3), ("congratulations", 1)]):
        same(dataset[index][1], count, f"the length of the item of {text!r}, where each word is a token")


@clause("new-list")
@pytest.mark.parametrize("length", [1, 3, 5])
def test_the_list_that_was_given_is_not_changed(length):
    token_ids = [5, 6, 7]
    seen = pad_or_truncate(token_ids, length, 0)
    same(token_ids, [5, 6, 7], f"token_ids after a call with a length of {length}")
    assert seen is not token_ids, "the result is the list that was given: a change of one changes the other"


@clause("new-list")
def test_a_tuple_becomes_a_list():
    for length, expected in ((1, [5]), (2, [5, 6]), (3, [5, 6, 9])):
        same(pad_or_truncate((5, 6), length, 9), expected, f"the tuple (5, 6) at a length of {length}")


@clause("no-length")
@pytest.mark.parametrize("length", [0, -1])
def test_a_length_below_1_is_refused(length):
    with refuses(ValueError, length):
        pad_or_truncate([5, 6, 7], length, 0)


@clause("index")
def test_minus_one_is_the_last_item():
    row, *rest = ClassificationDataset(TEXTS, LABELS, encode, PAD)[-1]
    same((row.tolist(), rest), ([6, 5, 4, 0], [3, 1]), "item -1, of the last text 'fed'")


@clause("index")
@pytest.mark.parametrize("index", [4, 9, -5])
def test_an_index_beyond_either_end_is_refused(index):
    with refuses(IndexError):
        ClassificationDataset(TEXTS, LABELS, encode, PAD)[index]


@clause("encode-once")
def test_each_text_is_encoded_once():
    encoder = Encoder()
    dataset = ClassificationDataset(TEXTS, LABELS, encoder, PAD)
    same(encoder.calls, 4, "calls of encode while a dataset of four texts was made")
    for index in range(4):
        dataset[index]
    same(encoder.calls, 4, "calls of encode after all four items were read")


@clause("pickle")
def test_a_dataset_can_be_pickled():
    dataset = ClassificationDataset(TEXTS, LABELS, lambda text: encode(text), PAD)
    try:
        loaded = pickle.loads(pickle.dumps(dataset))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        pytest.fail(f"encode is a lambda, and the dataset cannot be pickled for a worker: {str(error)[:80]}")
    same(loaded[2][0].tolist(), [3, 1, 1, 2], "item 2 of a dataset that was pickled and loaded")


@clause("separate")
def test_a_change_of_an_item_does_not_reach_the_dataset():
    dataset = ClassificationDataset(TEXTS, LABELS, encode, PAD)
    dataset[0][0].fill_(9)
    same(dataset[0][0].tolist(), [1, 2, 0, 0], "item 0, read again after 9 was written into the item read before")


@clause("no-token")
@pytest.mark.parametrize("index", [0, 17])
def test_a_text_without_tokens_is_refused(index):
    texts = ["ab"] * 30
    texts[index] = ""
    with refuses(ValueError, index):
        ClassificationDataset(texts, [2] * 30, encode, PAD)


@clause("counts")
@pytest.mark.parametrize("labels", [3, 5])
def test_texts_and_labels_of_different_number_are_refused(labels):
    with refuses(ValueError, 4, labels):
        ClassificationDataset(TEXTS, [1] * labels, encode, PAD)
