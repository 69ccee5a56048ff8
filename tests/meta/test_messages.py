"""The messages of data/messages.tsv are as their card says, and are read, split and guessed at as promised."""

import re
import runpy
from collections import Counter

import pytest

from dojo import ROOT
from dojo.datasets import messages
from dojo.datasets.messages import (
    UNWANTED,
    WANTED,
    Message,
    NaiveBayes,
    OneWordRule,
    best_one_word_rule,
    majority_share,
    words,
)

FILE = ROOT / "data" / "messages.tsv"
CARD = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
OURS = messages.read_messages(FILE)
TRAIN, VALIDATION, TEST = messages.split(OURS)


def some(*pairs):
    return [Message(label, text, "") for label, text in pairs]


def percent(share):
    return f"{100 * share:.1f} %"


def test_the_script_gives_the_file():
    assert runpy.run_path(str(ROOT / "data" / "make_messages.py"))["table"]().encode() == FILE.read_bytes()


def test_the_file_is_a_table_of_plain_english():
    content = FILE.read_bytes()
    assert content.isascii()
    assert content.endswith(b"\n")
    assert not {b"\r", b"\n\n", b"\n\t"} & {content[at : at + size] for size in (1, 2) for at in range(len(content))}
    lines = content.decode().split("\n")[:-1]
    assert lines[0] == "label\ttext\tkind"
    assert all(line.count("\t") == 2 for line in lines)
    assert f"| {len(lines) - 1} short messages".replace("| ", "") in CARD
    assert f"{len(content):,} bytes".replace(",", " ") in CARD


def test_messages_are_short_and_clean():
    for message in OURS:
        assert 10 <= len(message.text) <= 160, message
        assert message.text == " ".join(message.text.split()), message
        assert not re.search(r"[{}()|]|\.\.|[.!?,] ?[.,]|Example\.", message.text), message
        assert message.text[0].isupper() or message.text[0].isdigit(), message
        assert not re.search(r"[a-z][.!?] [a-z]", message.text), message


def test_names_of_nobody_and_links_to_nowhere():
    for message in OURS:
        links = re.findall(r"\w+\.(?:com|org|net)\b|https?:|www\.|@", message.text)
        assert {*links} <= {"example.com", "example.org", "example.net"}, message
        numbers = re.findall(r"\d{3}-\d+|\d{5,}", message.text)
        assert all(re.fullmatch(r"555-01\d\d", number) for number in numbers), message


def test_kinds_and_labels_are_balanced_as_the_card_says():
    counts = Counter((message.label, message.kind) for message in OURS)
    assert set(counts.values()) == {25}
    assert Counter(label for label, _ in counts) == {WANTED: 15, UNWANTED: 15}
    assert len({kind for _, kind in counts}) == 30, "a kind has one label"
    for label in (WANTED, UNWANTED):
        row = re.search(rf"^\| {label} \| (.*) \| (.*) \|$", CARD, re.MULTILINE)
        kinds = {kind for other, kind in counts if other == label}
        assert row[1] == ", ".join(sorted(kinds - messages.HELD_OUT))
        assert row[2] == ", ".join(sorted(kinds & messages.HELD_OUT))


def test_no_two_messages_are_nearly_the_same():
    bags = [words(message.text) for message in OURS]
    for place, bag in enumerate(bags):
        for other in bags[:place]:
            assert len(bag & other) < len(bag | other) / 2, (bag, other)


def test_signs_of_the_unwanted_stand_in_wanted_ones_too():
    for sign in ("free", "win", "click", "now", "offer", "call", "your", "$", "!", "example.", "555-01"):
        with_it = Counter(message.label for message in OURS if sign in message.text.lower())
        assert min(with_it[WANTED], 9) + min(with_it[UNWANTED], 2) == 11, (sign, with_it)


def test_the_card_tells_what_there_is_to_beat():
    assert f"gives {len(TRAIN)} messages to train with, {len(VALIDATION)} to validate with and {len(TEST)} to" in CARD
    rule = best_one_word_rule(TRAIN)
    assert f"is right for {percent(majority_share(TEST))} of them" in CARD
    told = f"to train with, {rule}, is right for {percent(rule.accuracy(TRAIN))} of those "
    assert f"{told}and for {percent(rule.accuracy(TEST))} of the test" in CARD
    bayes = NaiveBayes(TRAIN).accuracy(TEST)
    assert f"naive Bayes does, is right for {percent(bayes)} of the test" in CARD
    assert rule.accuracy(TEST) < 0.7
    assert bayes > 0.85


def test_naive_bayes_adds_what_each_known_word_says():
    bayes = NaiveBayes(some((WANTED, "hello you"), (WANTED, "hello"), (UNWANTED, "buy you"), (UNWANTED, "buy hello")))
    # buy: log 3/1, hello: log 2/3, you: log 2/2
    assert [bayes.label(text) for text in ("buy hello", "Hello you", "you", "new")] == [
        UNWANTED,
        WANTED,
        WANTED,
        WANTED,
    ]
    assert bayes.accuracy(some((UNWANTED, "BUY"), (UNWANTED, "hello"))) == 0.5


def test_kinds_that_are_held_out_are_the_test_and_nothing_else():
    assert {message.kind for message in TEST} == messages.HELD_OUT
    assert not {message.kind for message in TRAIN + VALIDATION} & messages.HELD_OUT
    assert sorted(TRAIN + VALIDATION + TEST, key=OURS.index) == OURS
    for part in (TRAIN, VALIDATION, TEST):
        assert majority_share(part) == 0.5
        assert part == sorted(part, key=OURS.index), "the order of the file"


def test_without_kinds_the_split_is_by_line_for_each_label():
    lines = some(*((WANTED, f"hello {n}") for n in range(60)), *((UNWANTED, f"buy {n}") for n in range(20)))
    parts = messages.split(lines)
    counts = [Counter(message.label for message in part) for part in parts]
    assert counts == [{WANTED: 42, UNWANTED: 14}, {WANTED: 6, UNWANTED: 2}, {WANTED: 12, UNWANTED: 4}]
    assert sorted([message for part in parts for message in part], key=lines.index) == lines
    assert parts == messages.split(lines), "always the same"
    assert parts[0] != lines[:42] + lines[60:74], "it is drawn"


def test_a_test_needs_held_out_kinds_of_both_labels():
    lines = [Message(label, f"{label} {n}", "bill") for label in (WANTED,) for n in range(20)]
    lines += [Message(UNWANTED, f"unwanted {n}", "prize") for n in range(20)]
    assert [len(part) for part in messages.split(lines)] == [28, 4, 8]


def test_messages_that_are_too_few_are_not_split():
    with pytest.raises(ValueError, match="2 messages are too few"):
        messages.split(some((WANTED, "hello"), (UNWANTED, "buy")))


def test_the_best_rule_of_one_word():
    lines = some((WANTED, "Hello, Anna!"), (WANTED, "hello you"), (UNWANTED, "Buy, BUY"), (UNWANTED, "you buy hello"))
    rule = best_one_word_rule(lines)
    assert rule == OneWordRule("buy", True)
    assert str(rule) == "unwanted if it has 'buy'"
    assert rule.accuracy(lines) == 1
    assert rule.accuracy(some((WANTED, "buyer"), (WANTED, "buy"))) == 0.5
    assert [rule.label("BUY"), rule.label("by")] == [UNWANTED, WANTED]


def test_a_word_may_speak_for_wanted():
    lines = some((WANTED, "see you"), (WANTED, "you there"), (UNWANTED, "hello"), (UNWANTED, "good day"))
    rule = best_one_word_rule(lines)
    assert rule == OneWordRule("you", False)
    assert str(rule) == "unwanted if it does not have 'you'"
    assert rule.accuracy(lines) == 1


def test_of_equally_good_words_it_is_the_first_that_speaks_for_unwanted():
    assert best_one_word_rule(some((WANTED, "a b"), (UNWANTED, "z y"))) == OneWordRule("y", True)
    assert best_one_word_rule(some((WANTED, "b a"), (UNWANTED, "!"))) == OneWordRule("a", False)


def test_no_rule_is_better():
    few = TRAIN[:50]
    found = {word for message in few for word in words(message.text)}
    best = max(OneWordRule(word, has).accuracy(few) for word in found for has in (True, False))
    assert best_one_word_rule(few).accuracy(few) == best


def test_words():
    assert words("Don't CALL 555-0100, 'Élan' it's_ok") == {"don't", "call", "555", "0100", "élan", "it's_ok"}


def test_the_majority():
    assert majority_share(some((WANTED, "a"), (UNWANTED, "b"), (WANTED, "c"))) == 2 / 3


@pytest.mark.parametrize("asked", [majority_share, best_one_word_rule, OneWordRule("a", True).accuracy, NaiveBayes])
def test_nothing_is_refused(asked):
    with pytest.raises(ValueError, match="there are no messages"):
        asked([])


def test_messages_without_words_have_no_rule():
    with pytest.raises(ValueError, match="have no words"):
        best_one_word_rule(some((WANTED, "!"), (UNWANTED, "?")))


def read(tmp_path, content):
    (tmp_path / "mine.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    return messages.read_messages(tmp_path / "mine.txt")


def test_the_collection_of_uci_is_read_as_it_stands(tmp_path):
    content = 'ham\tShe said "hi\nspam\t"WIN\x85 £1000, a\ttab\u2028 and\x0c more\r\nham\t  ok  \n\n'
    assert read(tmp_path, content) == some(
        (WANTED, 'She said "hi'), (UNWANTED, '"WIN\x85 £1000, a\ttab\u2028 and\x0c more'), (WANTED, "  ok  ")
    )


@pytest.mark.parametrize("labels", [("0", "1"), ("ham", "spam")])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_books_tables_are_read(tmp_path, labels, end):
    ham, spam = labels
    content = end.join(["Label,Text", f'{ham},"Hi, ""you"""', f'{spam},"two{end}lines"', f"{ham},plain", ""])
    assert read(tmp_path, content) == some((WANTED, 'Hi, "you"'), (UNWANTED, f"two{end}lines"), (WANTED, "plain"))


def test_a_table_like_our_own_is_read(tmp_path):
    content = '\ufefflabel\ttext\tkind\nwanted\tSay "hi"\tfamily\nunwanted\tPay, now\tprize'
    assert read(tmp_path, content) == [Message(WANTED, 'Say "hi"', "family"), Message(UNWANTED, "Pay, now", "prize")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("\ufeff", "is empty"),
        ("label\ttext\tkind\n", "has a header and no messages"),
        ("Label,Text\r\n", "has a header and no messages"),
        ("ham\ta\nham\tb\n", "every message is wanted, so there is nothing to tell apart"),
        ("Label,Text\n1,a\n", "every message is unwanted, so"),
        (b"ham\ta\nspam\tb\nham\t\xa31000\n", "line 3: byte 0xa3 is not UTF-8 (invalid start byte)"),
        (b"\xff\xfeh\0", "line 1: byte 0xff is not UTF-8"),
        ("once upon a time\n", "line 1: 1 field, expected ham or spam, a tab and a text, or a header: 'label\\ttext"),
        ("eggs\tb\n", "line 1: the label is 'eggs', expected ham or spam, or a header"),
        ("ham\ta\nspam b\n", "line 2: 1 field, expected ham or spam, a tab and a text"),
        ("ham\ta\n\nspam\tb\n", "line 2: 1 field"),
        ("ham\ta\nspam\t \n", "line 2: the text is empty"),
        ("ham\ta\n1\tb\n", "line 2: the label is '1', expected ham or spam"),
        ("label\ttext\tkind\nwanted\ta\n", "line 2: 2 fields, expected a label, a text and a kind with tabs between"),
        ("label\ttext\tkind\nwanted\ta\tb\tc\n", "line 2: 4 fields"),
        ("label\ttext\tkind\nwanted\ta\t \n", "line 2: the kind is empty"),
        ("label\ttext\tkind\nwanted\ta\tb\nspam\ta\tb\n", "line 3: the label is 'spam', expected wanted or unwanted"),
        ("Label,Text\n0,a\n1,b,c\n", "line 3: 3 fields, expected a label and a text with a comma between"),
        ('Label,Text\n0,"a\nb"\n2,c\n', "line 4: the label is '2', expected 0 or 1 or ham or spam"),
        ('Label,Text\n0,a\n1,"b\nc\n', "line 3: the table is broken here"),
        ('Label,Text\n0,a\n1,"b"c\n', "line 3: the table is broken here"),
    ],
)
def test_what_is_no_file_of_messages_is_refused_by_line(tmp_path, content, said):
    with pytest.raises(ValueError, match=r"mine\.txt.*" + re.escape(said)):
        read(tmp_path, content)


def test_a_file_that_cannot_be_read_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.tsv"):
        messages.read_messages(tmp_path / "none.tsv")
