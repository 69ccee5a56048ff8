"""Messages, wanted and unwanted: our own, the SMS Spam Collection of UCI, and the tables that the book writes of it.

The collection is "SMS Spam Collection" of the UCI Machine Learning Repository, by T. Almeida and J. Hidalgo (2011).
"""

import csv
import io
import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dojo.datasets._reading import decoded

WANTED, UNWANTED = LABELS = "wanted", "unwanted"
HELD_OUT = frozenset({"bill", "recipe", "study", "cure", "dating", "job"})  # kinds that training never sees
SEED = 123

_OURS, _BOOKS = "label\ttext\tkind", "Label,Text"  # headers
_IN_OURS = {WANTED: WANTED, UNWANTED: UNWANTED}
_IN_COLLECTION = {"ham": WANTED, "spam": UNWANTED}
_IN_BOOKS = {"0": WANTED, "1": UNWANTED, **_IN_COLLECTION}


@dataclass(frozen=True)
class Message:
    """A message, `wanted` or `unwanted`, and what kind it is of; the kind is empty where the file has none."""

    label: str
    text: str
    kind: str


class NaiveBayes:
    """Naive Bayes on the words of messages: each word that it has learned adds the logarithm of its odds."""

    def __init__(self, train: Sequence[Message]) -> None:
        _refuse_none(train)
        counts = {label: Counter[str]() for label in LABELS}
        for message in train:
            counts[message.label].update(words(message.text))
        self._odds = {
            word: math.log((counts[UNWANTED][word] + 1) / (counts[WANTED][word] + 1))
            for word in {*counts[WANTED], *counts[UNWANTED]}
        }

    def label(self, text: str) -> str:
        """The label that it gives to a text."""
        return UNWANTED if math.fsum(self._odds.get(word, 0.0) for word in words(text)) > 0 else WANTED

    def accuracy(self, messages: Sequence[Message]) -> float:
        """The share of messages that it has right. Raises ValueError for no messages."""
        _refuse_none(messages)
        return sum(self.label(message.text) == message.label for message in messages) / len(messages)


@dataclass(frozen=True)
class OneWordRule:
    """A message is unwanted if it has the word, or if it has not."""

    word: str
    has: bool

    def __str__(self) -> str:
        return f"unwanted if it {'has' if self.has else 'does not have'} '{self.word}'"

    def label(self, text: str) -> str:
        """The label that the rule gives to a text."""
        return UNWANTED if (self.word in words(text)) == self.has else WANTED

    def accuracy(self, messages: Sequence[Message]) -> float:
        """The share of messages that the rule has right. Raises ValueError for no messages."""
        _refuse_none(messages)
        return sum(self.label(message.text) == message.label for message in messages) / len(messages)


def read_messages(path: str | Path) -> list[Message]:
    """The messages of a file, in its order, wherever they come from called wanted or unwanted.

    The first line tells which of three it is: `label<tab>text<tab>kind` heads a file like our own, `Label,Text` a table
    that the book writes, with the labels 0 and 1, or ham and spam. Without a header it is like the SMS Spam Collection:
    every line is ham or spam, a tab and a text, in which a quote is no more than a quote.

    Raises ValueError, with the line, for anything else, and for a file that is empty or has one label only;
    OSError for a file that cannot be read.
    """
    text = decoded(path).rstrip("\r\n")
    if not text.strip():
        raise ValueError(f"{path} is empty")
    header = text.partition("\n")[0].rstrip("\r")
    headed = header in (_OURS, _BOOKS)
    if header == _OURS:
        rows, width, shape, meant = _lines(text, 3), 3, "a label, a text and a kind with tabs between", _IN_OURS
    elif header == _BOOKS:
        rows, width, shape, meant = _table(text), 2, "a label and a text with a comma between", _IN_BOOKS
    else:
        rows, width, shape, meant = _lines(text, 2), 2, "ham or spam, a tab and a text", _IN_COLLECTION
    messages = []
    try:
        for number, row in rows:
            if number > 1 or not headed:
                messages.append(_message(number, row, width, shape, meant))
    except _Wrong as wrong:
        number, why = wrong.args
        hint = "" if headed or number > 1 else f", or a header: {_OURS!r} or {_BOOKS!r}"
        raise ValueError(f"{path}, line {number}: {why}{hint}") from None
    if not messages:
        raise ValueError(f"{path} has a header and no messages")
    if len(labels := {message.label for message in messages}) == 1:
        raise ValueError(f"{path}: every message is {labels.pop()}, so there is nothing to tell apart")
    return messages


def split(messages: Sequence[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """Messages to train with, to validate with while training goes on, and to test with at its end.

    Where kinds of both labels are among those in HELD_OUT, the last part is all messages of these kinds, and an eighth
    of the others validates. Else it is by line: 70, 10 and 20 percent. What is drawn is drawn from each label by
    itself and always the same, and every part keeps the order of the messages. Raises ValueError where a part would be
    empty.
    """
    held_out = {place for place, message in enumerate(messages) if message.kind in HELD_OUT}
    by_kind = {messages[place].label for place in held_out} == set(LABELS)
    parts: tuple[set[int], set[int], set[int]] = (set(), set(), held_out if by_kind else set())
    draw = random.Random(SEED).random
    for label in LABELS:
        places = [at for at, message in enumerate(messages) if message.label == label and at not in parts[2]]
        drawn = [at for _, at in sorted((draw(), at) for at in places)]
        train = round(len(drawn) * (7 / 8 if by_kind else 0.7))
        validation = len(drawn) if by_kind else round(len(drawn) * 0.8)
        for part, of_label in zip(parts, (drawn[:train], drawn[train:validation], drawn[validation:]), strict=True):
            part.update(of_label)
    if not all(parts):
        raise ValueError(f"{len(messages)} messages are too few for training, validation and a test")
    first, second, third = ([messages[at] for at in sorted(part)] for part in parts)
    return first, second, third


def majority_share(messages: Sequence[Message]) -> float:
    """How often it is right to call every message by the label that most of them have. Raises ValueError for none."""
    _refuse_none(messages)
    return max(Counter(message.label for message in messages).values()) / len(messages)


def best_one_word_rule(train: Sequence[Message]) -> OneWordRule:
    """The rule of one word that has most messages right.

    Of equally good ones it is one whose word means unwanted, and then the first in the order of the alphabet.
    Raises ValueError for messages without a word.
    """
    _refuse_none(train)
    with_word: dict[str, Counter[str]] = {label: Counter() for label in LABELS}
    for message in train:
        with_word[message.label].update(words(message.text))
    wanted = sum(message.label == WANTED for message in train)
    rules = []
    for word in {*with_word[WANTED], *with_word[UNWANTED]}:
        right = with_word[UNWANTED][word] + wanted - with_word[WANTED][word]  # of the rule that the message has it
        rules += [(-right, 0, word), (right - len(train), 1, word)]
    if not rules:
        raise ValueError("the messages have no words")
    _, without, word = min(rules)
    return OneWordRule(word, not without)


def words(text: str) -> set[str]:
    """The different words of a text, in small letters. An apostrophe within a word is a part of it."""
    return set(re.findall(r"\w+(?:'\w+)*", text.lower()))


class _Wrong(Exception):
    """What is wrong, and in which line."""


def _lines(text: str, width: int) -> Iterator[tuple[int, list[str]]]:
    """Numbered, in fields. Nothing but a line feed ends a line: texts of the collection have other line ends inside."""
    for number, line in enumerate(text.split("\n"), 1):
        yield number, line.removesuffix("\r").split("\t", 1 if width == 2 else -1)


def _table(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 1
    try:
        for row in reader:
            yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise _Wrong(number, f"the table is broken here: {error}") from None


def _message(number: int, row: list[str], width: int, shape: str, meant: dict[str, str]) -> Message:
    if len(row) != width:
        raise _Wrong(number, f"{len(row)} field{'s' * (len(row) != 1)}, expected {shape}")
    if row[0] not in meant:
        raise _Wrong(number, f"the label is {row[0][:40]!r}, expected {' or '.join(meant)}")
    for name, field in zip(("text", "kind"), row[1:], strict=False):
        if not field.strip():
            raise _Wrong(number, f"the {name} is empty")
    return Message(meant[row[0]], row[1], row[2] if width == 3 else "")


def _refuse_none(messages: Sequence[Message]) -> None:
    if not messages:
        raise ValueError("there are no messages")
