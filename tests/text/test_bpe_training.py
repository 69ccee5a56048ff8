"""Training a byte-pair encoding, clause by clause. The why: docs/text/bpe_training.md."""

import random
from collections import Counter
from itertools import pairwise
from pydoc_data.topics import topics

import pytest
import regex
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from katas.text.bpe_training import merge_pair, pair_counts, train_bpe
from tests.support import SCRIPTS, clause, refuses, same

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SINGLE = [bytes([byte]) for byte in range(256)]

FRAGMENTS = ["a", "b", "ab", " ", " the", "'s", "'ll", "\r\n", "\t", "42", "!?", "é", "e\u0301", "漢字", "👍🏽"]
SPECIALS = ["<|end|>", "<|", "<|a.b|>", "[x](y)", "a*", "é?"]
TIES = st.text("ab", max_size=16) | st.text("ab ", max_size=32)
MIXED = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)
SIZES = st.integers(256, 280)
ID = st.sampled_from([1, 2, 12, 21, 300])
IDS = st.lists(ID, max_size=10)


def cut(text, special_tokens):
    """The parts of a text between its special tokens, found place by place."""
    parts, start, at = [], 0, 0
    while at < len(text):
        if here := max((token for token in special_tokens if text.startswith(token, at)), key=len, default=""):
            parts.append(text[start:at])
            start = at + len(here)
        at += len(here) or 1
    return [*parts, text[start:]]


def joined(piece, pair):
    """A piece, as a list of byte strings, with the pair joined wherever it stands, from left to right."""
    result, at = [], 0
    while at < len(piece):
        width = 2 if tuple(piece[at : at + 2]) == pair else 1
        result.append(b"".join(piece[at : at + width]))
        at += width
    return result


def recounted(text, vocab_size, special_tokens=()):
    """What training gives when every pair of every piece is counted anew before each merge."""
    pieces = [found for part in cut(text, special_tokens) for found in regex.findall(GPT2, part)]
    pieces, merges = [[bytes([byte]) for byte in piece.encode()] for piece in pieces], []
    while 256 + len(merges) + len(special_tokens) < vocab_size:
        counts = Counter(pair for piece in pieces for pair in pairwise(piece))
        if not counts:
            break
        most = max(counts.values())
        merges.append(max(pair for pair, count in counts.items() if count == most))
        pieces = [joined(piece, merges[-1]) for piece in pieces]
    tokens = [*SINGLE, *(left + right for left, right in merges), *(token.encode() for token in special_tokens)]
    return dict(enumerate(tokens)), merges


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def merged(ids, pair):
        result = kata.merge_pair(ids, pair, 9)
        return result, ids, result is ids

    def counted():
        words = {(1, 1, 1, 2): 3, (2, 1, 1, 3): 1, (): 2, (3,): 5}
        return kata.pair_counts(words), words

    def learned(text, vocab_size=300, special_tokens=()):
        vocab, merges = kata.train_bpe(text, vocab_size, special_tokens)
        return {
            token_id: token for token_id, token in vocab.items() if SINGLE[token_id : token_id + 1] != [token]
        }, merges

    def twice():
        special_tokens = ["<a>", "<abc>"]
        return [learned("ab ab<abc>ab", 262, special_tokens) for _ in range(2)], special_tokens

    def refused(*values, text="", vocab_size=300, special_tokens=()):
        try:
            return learned(text, vocab_size, special_tokens)
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in values]

    return {
        "counts": counted,
        "counts of one piece": lambda: kata.pair_counts({(1, 2, 3, 4): 1}),
        "merged": lambda: merged([1, 1, 1, 2, 1, 1, 3], (1, 1)),
        "merged with longer numbers": lambda: merged([11, 2, 1, 21, 1, 2], (1, 2)),
        "merged in two orders": lambda: merged([2, 1, 2, 3], (1, 2)),
        "merged in vain": lambda: merged([1, 2, 3], (1, 1)),
        "one merge": lambda: learned("he he hen", 257),
        "three merges": lambda: learned("he he hen", 259),
        "ties": lambda: learned("low lower lowest", 264),
        "ties with a prefix": lambda: learned("ab1ab1ac1aba1xy1zz"),
        "weights": lambda: learned("the then the other the then the", 266),
        "runs": lambda: learned("aaaaaaa banana bananas", 270),
        "changing neighbours": lambda: learned("aaabaaaaa"),
        "rare": lambda: learned("hen"),
        "words": lambda: learned(" It's  foo_bar2\t\tIT'S\n", 290),
        "lines": lambda: learned("he hen\nhe he\n", 290),
        "bytes": lambda: learned("Größe größer", 280),
        "beyond Latin": lambda: learned("слово слова", 280),
        "nothing": lambda: learned(""),
        "room": lambda: learned("he he hen", 258, ("<b>", "<a>")),
        "specials": lambda: learned("he<b>he<a>hen he", 262, ("<b>", "<a>")),
        "left and right": lambda: learned("he<b>n he n", 262, ("<b>", "<a>")),
        "word as special": lambda: learned(" hi  endho", 300, ("end",)),
        "longest": lambda: learned("xbcdexbcde", 300, ("xb", "x", "xbc")),
        "left to right": lambda: learned("abcde de", 300, ("bcd", "ab")),
        "twice": twice,
        "literal": lambda: learned("he<axb> hi", 300, ("<a.b>",)),
        "too small": lambda: refused(200, 258, vocab_size=200, special_tokens=("<a>", "<b>")),
        "too small by one": lambda: refused(257, 258, vocab_size=257, special_tokens=("<a>", "<b>")),
        "repeated": lambda: [refused("<a>", special_tokens=["<a>", *more, "<a>"]) for more in ([], ["<b>"])],
        "empty": lambda: refused(2, special_tokens=("<a>", "<b>", "")),
        "one string": lambda: refused("<end>", text="hen", special_tokens="hen"),
        "no string": lambda: refused("int", 7, text="he7he", special_tokens=("<a>", 7)),
        "no text": lambda: refused("bytes", "b'low'", text=b"low"),
        "surrogate": lambda: refused(5, text="größe\ud800"),
    }


@clause("neighbours")
def test_two_ids_side_by_side_are_a_pair():
    seen = pair_counts({(1, 2, 3): 1})
    same(seen, {(1, 2): 1, (2, 3): 1}, "the piece 1, 2, 3 was counted: its pairs are (1, 2) and (2, 3)")


@clause("overlap")
@pytest.mark.parametrize("length", [2, 3, 4, 7])
def test_overlapping_pairs_all_count(length):
    because = f"the id 1 stands {length} times in a row, so that {length - 1} of them have another right behind"
    same(pair_counts({(1,) * length: 1}), {(1, 1): length - 1}, because)


@clause("weighted")
def test_a_piece_counts_as_often_as_it_occurs():
    seen = pair_counts({(1, 2): 3, (1, 2, 4): 2})
    same(seen, {(1, 2): 5, (2, 4): 2}, "1, 2 occurs 3 times and 1, 2, 4 occurs 2 times")


@clause("borders")
def test_two_pieces_make_no_pair_between_them():
    because = "of the pieces 1, 2 and 3, 4 and 5 and an empty one, only the first two hold a pair"
    same(pair_counts({(1, 2): 1, (3, 4): 1, (5,): 1, (): 1}), {(1, 2): 1, (3, 4): 1}, because)


@clause("weighted")
@given(st.dictionaries(IDS.map(tuple), st.integers(1, 4), max_size=5))
def test_counts_are_those_of_writing_every_piece_out(words):
    written_out = [word for word, times in words.items() for _ in range(times)]
    expected = Counter(word[at : at + 2] for word in written_out for at in range(len(word) - 1))
    same(pair_counts(words), dict(expected), f"the words were {words}")


@clause("kept")
def test_counting_leaves_the_words_alone():
    words = {(1, 2): 3, (1, 2, 4): 2}
    seen = pair_counts(words)
    same(words, {(1, 2): 3, (1, 2, 4): 2}, "words is another after its pairs were counted: it was changed in place")
    same(seen, {(1, 2): 5, (2, 4): 2}, "words stayed as it was, but its pairs were counted wrong")


@clause("replaced")
def test_every_occurrence_becomes_the_new_id():
    seen = merge_pair([1, 2, 3, 1, 2, 2, 1], (1, 2), 9)
    same(seen, [9, 3, 9, 2, 1], "(1, 2) was to become 9 in 1, 2, 3, 1, 2, 2, 1, and what is not that pair was to stay")
    seen = merge_pair([11, 2, 1, 22, 1, 2], (1, 2), 9)
    same(seen, [11, 2, 1, 22, 9], "(1, 2) was to become 9 in 11, 2, 1, 22, 1, 2: 11 does not end in the id 1")


@clause("leftmost")
@pytest.mark.parametrize(("length", "expected"), [(2, [9]), (3, [9, 1]), (4, [9, 9]), (5, [9, 9, 1])])
def test_occurrences_are_taken_from_the_left(length, expected):
    because = f"(1, 1) was to become 9 in {length} ones: the first two make a 9, then one goes on behind them"
    same(merge_pair([1] * length, (1, 1), 9), expected, because)


@clause("replaced")
@given(IDS, st.tuples(ID, ID))
def test_merging_is_replacing_in_a_string(ids, pair):
    written = "".join(map(chr, ids)).replace("".join(map(chr, pair)), chr(999))  # one character for one id
    same(merge_pair(ids, pair, 999), list(map(ord, written)), f"{pair} was to become 999 in {ids}")


@clause("new-list")
@pytest.mark.parametrize("pair", [(1, 2), (2, 2)])
def test_merging_leaves_the_ids_alone(pair):
    ids = [1, 2, 3, 1, 2]
    seen = merge_pair(ids, pair, 9)
    same(ids, [1, 2, 3, 1, 2], f"ids is another after {pair} became 9 in it: it was changed in place")
    assert seen is not ids, f"{pair} does not occur, and ids itself came back: whoever changes one changes both"
    same(seen, [9, 3, 9] if pair == (1, 2) else [1, 2, 3, 1, 2], f"ids was left alone, but {pair} became 9 wrongly")


@clause("new-list")
def test_a_tuple_gives_a_list_too():
    same(merge_pair((1, 2, 3), (1, 2), 9), [9, 3], "(1, 2) was to become 9 in the tuple 1, 2, 3")


@clause("commonest")
def test_the_commonest_pair_is_joined_first():
    _, merges = train_bpe("he he hen", 259)
    because = 'in "he he hen", h-e occurs 3 times; joined, it follows a space 2 times; that one stands before n once'
    same(merges, [(b"h", b"e"), (b" ", b"he"), (b" he", b"n")], because)


@clause("bytes")
def test_the_first_ids_are_the_single_bytes():
    vocab, _ = train_bpe("he he hen", 260, ("<end>",))
    same([vocab.get(byte) for byte in range(256)], SINGLE, "id n, up to 255, is the one byte of value n")


@clause("joined")
@given(TIES | MIXED, SIZES)
def test_every_merge_makes_the_next_id(text, vocab_size):
    vocab, merges = train_bpe(text, vocab_size)
    because = f"{text!r} was trained on to {vocab_size} tokens, and id 256 + n is what merge n joined"
    same(vocab, dict(enumerate([*SINGLE, *(left + right for left, right in merges)])), because)


@clause("ties")
@pytest.mark.parametrize(
    ("text", "expected", "because"),
    [
        ("ab1cd", [(b"c", b"d"), (b"a", b"b")], "both pairs occur once, and c is greater than a"),
        ("bc1bd", [(b"b", b"d"), (b"b", b"c")], "b-c and b-d occur once, and d is greater than c"),
        (
            "ab1ab1abx1cx",
            [(b"a", b"b"), (b"c", b"x")],
            "ab-x and c-x occur once: c is greater than ab, whatever their ids",
        ),
        (
            "ab1ab1ac1aba",
            [(b"a", b"b"), (b"ab", b"a")],
            "a-c and ab-a occur once: ab is greater than a, whatever follows",
        ),
        ("low lower lowest", [(b"o", b"w"), (b"l", b"ow"), (b"low", b"e"), (b" ", b"lowe")], "o is greater than l"),
    ],
)
def test_ties_go_to_the_greater_pair(text, expected, because):
    _, merges = train_bpe(text, 256 + len(expected))
    same(merges, expected, f"{text!r}: {because}")


@clause("room")
@pytest.mark.parametrize("special_tokens", [(), ("<a>", "<b>")], ids=["no special tokens", "two special tokens"])
@pytest.mark.parametrize("merges", [0, 1, 3])
def test_the_vocabulary_has_the_size_asked_for(merges, special_tokens):
    vocab_size = 256 + merges + len(special_tokens)
    vocab, made = train_bpe("the other mother", vocab_size, special_tokens)
    because = f"vocab_size={vocab_size} is 256 bytes, {merges} merges and {len(special_tokens)} special tokens"
    same((len(vocab), len(made)), (vocab_size, merges), because)


@clause("rare")
def test_pairs_that_occur_once_are_joined():
    _, merges = train_bpe("hen", 258)
    same(merges, [(b"h", b"e"), (b"he", b"n")], '"hen" has room for two merges, of pairs that occur once')


@clause("exhausted")
@pytest.mark.parametrize("vocab_size", [259, 1000])
def test_training_ends_when_no_pair_is_left(vocab_size):
    vocab, merges = train_bpe("hen", vocab_size)
    because = f'after two merges "hen" is one token and nothing is left to join, though vocab_size={vocab_size}'
    same((len(vocab), merges), (258, [(b"h", b"e"), (b"he", b"n")]), because)


@clause("encoded")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("éé", [(b"\xc3", b"\xa9"), (b"\xc3\xa9", b"\xc3\xa9")]),
        ("漢", [(b"\xe6", b"\xbc"), (b"\xe6\xbc", b"\xa2")]),
        ("ßÜ", [(b"\xc3", b"\x9f"), (b"\xc3\x9f", b"\xc3"), (b"\xc3\x9f\xc3", b"\x9c")]),
    ],
)
def test_characters_are_built_from_their_bytes(text, expected):
    _, merges = train_bpe(text, 300)
    same(merges, expected, f"{text!r} is {text.encode()} in UTF-8, and its bytes are joined like any others")


@clause("pieces")
@pytest.mark.parametrize(
    "pieces",
    [
        ["it", "'s", " they", "'d", " we", "'ll", " IT", "'", "S"],
        ["at", " 3", "rd", " 10000", "x", "²"],
        ["ah", "!!", " ok", " ...", " foo", "_", "bar"],
        ["so", "  ", " on", "\t", "\t", "and", "   "],
        ["up", "\r\n\r", "\n", "to", "\n"],
        ["Été", " e", "\u0301", "te", " слово", "１２", "漢字", "。"],
    ],
    ids=["contractions", "digits", "signs", "spaces", "line ends", "scripts"],
)
def test_when_nothing_is_left_to_join_every_piece_is_one_token(pieces):
    text = "".join(pieces)
    _, merges = train_bpe(text, 1000)
    tokens = {left + right for left, right in merges}
    whole = {piece.encode() for piece in pieces if len(piece.encode()) > 1}
    assert whole <= tokens, f"{text!r} was trained to the end, but its pieces {sorted(whole - tokens)} are no tokens"
    across = sorted(token for token in tokens if not any(token in piece for piece in whole))
    assert not across, (
        f"{text!r} has the pieces {pieces}, but {across} are tokens: joined across pieces, or never there"
    )


@clause("specials")
@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize("vocab_size", [262, 1000])
def test_special_tokens_come_last_in_the_order_given(vocab_size, kind):
    special_tokens = kind(["<b>", "<é>", "<a>"])
    vocab, merges = train_bpe("he he hen", vocab_size, special_tokens)
    because = (
        f"vocab_size={vocab_size}, so there are 3 merges, up to id 258, and then the special tokens {special_tokens}"
    )
    expected = {256: b"he", 257: b" he", 258: b" hen", 259: b"<b>", 260: "<é>".encode(), 261: b"<a>"}
    same({token_id: token for token_id, token in vocab.items() if token_id > 255}, expected, because)
    same(len(merges), 3, because)


@clause("cut")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("he<end>n", [(b"h", b"e")]),
        ("<end>he<end><end>he<end>", [(b"h", b"e")]),
        ("<end>e<end>n<end <", [(b"n", b"d"), (b"e", b"nd"), (b" ", b"<")]),
        ("hi  <end>hi", [(b"h", b"i"), (b" ", b" ")]),
        ("it'<end>s", [(b"i", b"t")]),
    ],
)
def test_special_tokens_take_no_part(text, expected):
    vocab, merges = train_bpe(text, 300, ("<end>",))
    same(merges, expected, f"{text!r} was trained to the end: it is cut at <end>, and each part is split on its own")
    same(vocab.get(256 + len(expected)), b"<end>", f"{text!r} has {len(expected)} pairs to join, and then comes <end>")


@clause("longest")
@pytest.mark.parametrize(
    ("text", "special_tokens", "expected"),
    [
        ("<a>bcd", ("<a>", "<a>b"), [(b"c", b"d")]),
        ("<a>bcd", ("<a>b", "<a>"), [(b"c", b"d")]),
        ("abcde", ("bcd", "ab"), [(b"d", b"e"), (b"c", b"de")]),
        ("aaaxy", ("aa", "aaaa"), [(b"x", b"y"), (b"a", b"xy")]),
    ],
)
def test_the_longest_special_token_at_a_place_is_taken(text, special_tokens, expected):
    vocab, merges = train_bpe(text, 300, special_tokens)
    because = f"{text!r} was cut at {special_tokens}, from left to right and at each place by the longest"
    same(merges, expected, because)
    same(len(vocab), 256 + len(expected) + 2, because)


@clause("literal")
@pytest.mark.parametrize(
    ("token", "twin"), [("<|a.b|>", "<|axb|>"), ("[x](y)", "xy"), ("a*", "aaa"), ("^$", ""), ("\\d", "7"), ("a|b", "a")]
)
def test_a_special_token_is_no_pattern(token, twin):
    text = f"he{token}he {twin} {twin}he"
    because = f"{text!r} is to be cut at {token!r} and nowhere else, {twin!r} not even if a pattern would find it"
    same(train_bpe(text, 300, (token,)), recounted(text, 300, (token,)), because)


@clause("order")
@given(st.lists(st.sampled_from(["ab", "ba", "abc", "cb", "ca", "é"]), max_size=10), st.randoms(use_true_random=False))
def test_shuffling_the_pieces_changes_nothing(words, chance):
    shuffled = chance.sample(words, len(words))
    one, other = ("".join(f" {word}" for word in order) for order in (words, shuffled))
    because = f"{one!r} and {other!r} hold the same pieces: what is met first must not decide"
    expected = recounted(one, 262)
    for text in (one, other):
        same(train_bpe(text, 262), expected, because)


@clause("untouched")
def test_a_call_leaves_nothing_behind():
    tokens = ["<a>", "<abc>"]
    first = train_bpe("he he<a>hen", 261, tokens)
    same(
        tokens, ["<a>", "<abc>"], "the list given as special_tokens is another after the call: it was changed in place"
    )
    same(first, recounted("he he<a>hen", 261, tokens), "special_tokens stayed as it was, but the training went wrong")
    train_bpe("something else", 270)
    again = train_bpe("he he<a>hen", 261, tokens)
    same(again, first, "the same call gave something else the second time: something is kept between calls")


@clause("recount")
@given(TIES, SIZES)
def test_merges_are_those_of_recounting_where_ties_abound(text, vocab_size):
    because = f"{text!r} was trained on to {vocab_size} tokens; counting all pairs anew gives other merges"
    same(train_bpe(text, vocab_size), recounted(text, vocab_size), because)


@clause("recount")
@pytest.mark.parametrize("letters", ["ab", "abc", "abcd", "abc ", "abcde  "])
def test_merges_are_those_of_recounting_to_the_end(letters):
    text = "".join(random.Random(letters).choices(letters, k=150))
    because = f"{text!r} was trained to the end; counting all pairs anew gives other merges"
    same(train_bpe(text, 1000), recounted(text, 1000), because)


@clause("recount")
@given(MIXED, SIZES)
def test_merges_are_those_of_recounting_in_many_scripts(text, vocab_size):
    because = f"{text!r} was trained on to {vocab_size} tokens; counting all pairs anew gives other merges"
    same(train_bpe(text, vocab_size), recounted(text, vocab_size), because)


@clause("recount")
@given(
    st.lists(st.sampled_from([*FRAGMENTS, *SPECIALS]), max_size=12).map("".join),
    st.lists(st.sampled_from(SPECIALS), max_size=4, unique=True),
)
def test_merges_are_those_of_recounting_between_special_tokens(text, special_tokens):
    because = f"{text!r} was trained on to 268 tokens with {special_tokens}; counting anew gives other merges"
    same(train_bpe(text, 268, special_tokens), recounted(text, 268, special_tokens), because)


@clause("ranks")
def test_tiktoken_encodes_with_the_ranks_as_the_merges_do():
    text = "\n".join(topics[name] for name in sorted(topics))[:6000]
    vocab, merges = train_bpe(text, 300, ("<end>",))
    ranks = {token: rank for rank, token in vocab.items() if token != b"<end>"}
    encoding = tiktoken.Encoding("trained", pat_str=GPT2, mergeable_ranks=ranks, special_tokens={"<end>": 299})
    merged = {piece: [bytes([byte]) for byte in piece.encode()] for piece in set(regex.findall(GPT2, text))}
    for pair in merges:
        merged = {piece: joined(parts, pair) for piece, parts in merged.items()}
    expected = [part for piece in regex.findall(GPT2, text) for part in merged[piece]]
    seen = encoding.encode_ordinary(text)
    assert len(seen) < 0.8 * len(text), f"6 000 letters of English became {len(seen)} tokens: there is little to merge"
    because = "of the first 6 000 letters of Python's own help, tiktoken makes other tokens with these ranks"
    same([vocab[token_id] for token_id in seen], expected, because)
    same(encoding.decode(seen), text, "tiktoken does not decode back what it encoded with these ranks")


@clause("any-text")
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_can_be_trained_on(script):
    same(train_bpe(SCRIPTS[script], 270), recounted(SCRIPTS[script], 270), f"the text was {SCRIPTS[script]!r}")


@clause("any-text")
def test_control_characters_are_bytes_like_any_others():
    text = "".join(map(chr, range(32))) * 2
    same(train_bpe(text, 300), recounted(text, 300), "the text was the 32 control characters, and the same again")


@clause("any-text")
def test_an_empty_text_gives_the_bytes_and_special_tokens():
    expected = dict(enumerate([*SINGLE, b"<end>"]))
    same(train_bpe("", 300, ("<end>",)), (expected, []), "an empty text has no pair to join")
    same(train_bpe("<end><end>", 300, ("<end>",)), (expected, []), "a text of special tokens alone has no pair to join")


@clause("any-text")
def test_one_letter_ten_thousand_times():
    doubled = [(b"a" * 2**n, b"a" * 2**n) for n in range(13)]
    _, merges = train_bpe("a" * 10_000, 269)
    same(merges, doubled, "of a letter repeated 10 000 times, each merge joins two of what the last one made")


@clause("too-small")
@pytest.mark.parametrize(("vocab_size", "special_tokens"), [(-1, ()), (0, ()), (255, ()), (257, ("<a>", "<b>"))])
def test_a_vocabulary_without_room_is_refused(vocab_size, special_tokens):
    with refuses(ValueError, vocab_size, 256 + len(special_tokens)):
        train_bpe("he he hen", vocab_size, special_tokens)


@clause("repeated")
@pytest.mark.parametrize("special_tokens", [("<a>", "<b>", "<b>"), ["<b>", "<a>", "<b>"]])
def test_a_repeated_special_token_is_refused(special_tokens):
    with refuses(ValueError, "<b>"):
        train_bpe("he he hen", 300, special_tokens)


@clause("empty")
@pytest.mark.parametrize(("special_tokens", "index"), [(("",), 0), (("<a>", "<b>", "", "<c>"), 2)])
def test_an_empty_special_token_is_refused(special_tokens, index):
    with refuses(ValueError, index):
        train_bpe("he he hen", 300, special_tokens)


@clause("one-string")
@pytest.mark.parametrize("token", ["<end>", "e"])
def test_a_single_string_as_special_tokens_is_refused(token):
    with refuses(TypeError, "special_tokens", token):
        train_bpe("he he hen", 300, token)


@clause("no-string")
@pytest.mark.parametrize("token", [7, b"<end>"])
def test_a_special_token_that_is_no_string_is_refused(token):
    with refuses(TypeError, type(token).__name__, repr(token)):
        train_bpe("he he hen", 300, ("<a>", token))


@clause("no-text")
@pytest.mark.parametrize("text", [b"low", 7, None, ["low"]])
def test_a_text_that_is_no_string_is_refused(text):
    with refuses(TypeError, type(text).__name__, repr(text)):
        train_bpe(text, 300)


@clause("surrogate")
@pytest.mark.parametrize(("text", "index"), [("\ud800", 0), ("größe\udfff he", 5), ("👍 he he \udc8d\ud83d", 8)])
def test_a_lone_surrogate_is_refused(text, index):
    with refuses(ValueError, index):
        train_bpe(text, 300)


@clause("surrogate")
def test_a_lone_surrogate_in_a_special_token_is_refused():
    with refuses(ValueError, 3):
        train_bpe("he he hen", 300, ("<a>", "<é>\udfff"))
