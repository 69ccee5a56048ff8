"""Training a byte-pair encoding, clause by clause. The why: docs/text/bpe_training.md."""

import random
from collections import Counter
from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from katas.text.bpe_training import merge_pair, pair_counts, train_bpe
from tests.support import SCRIPTS, clause, refuses, same

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SINGLE = [bytes([byte]) for byte in range(256)]

FRAGMENTS = ["a", "b", "ab", " ", " the", "'s", "'ll", "\r\n", "\t", "42", "!?", "é", "e\u0301", "漢字", "👍🏽"]
MIXED = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)
FEW_LETTERS = st.text("ab", max_size=16) | st.text("ab ", max_size=32)
ID = st.sampled_from([1, 2, 12, 21, 300])
IDS = st.lists(ID, max_size=10)


def merged(piece, pair):
    """A piece, as a list of byte strings, with every occurrence of the pair merged, found from the left."""
    result, at = [], 0
    while at < len(piece):
        width = 2 if tuple(piece[at : at + 2]) == pair else 1
        result.append(b"".join(piece[at : at + width]))
        at += width
    return result


def recounted(text, most, ties=True):
    """At most this many merges, by counting all pairs of all pieces before each; without ties, up to the first tie."""
    pieces, merges = [[bytes([byte]) for byte in piece.encode()] for piece in regex.findall(GPT2, text)], []
    while len(merges) < most:
        counts = Counter(pair for piece in pieces for pair in pairwise(piece))
        commonest = [pair for pair, count in counts.items() if count == max(counts.values())]
        if not commonest or (len(commonest) > 1 and not ties):
            break
        merges.append(max(commonest))
        pieces = [merged(piece, merges[-1]) for piece in pieces]
    return merges


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def merges(text, count, special_tokens=()):
        return kata.train_bpe(text, 256 + count + len(special_tokens), special_tokens)[1]

    def vocab(text, vocab_size, special_tokens=()):
        learned, _ = kata.train_bpe(text, vocab_size, special_tokens)
        return {number: token for number, token in learned.items() if SINGLE[number : number + 1] != [token]}

    def after(call, argument):
        call(argument)
        return argument

    return {
        "counts": lambda: kata.pair_counts({(1, 2, 3, 4): 1}),
        "counts of a run": lambda: kata.pair_counts({(1, 1, 1, 1, 1): 2, (1, 1): 1}),
        "counts of two pieces": lambda: kata.pair_counts({(1, 2): 3, (2, 5): 1, (1, 2, 4): 2}),
        "merged": lambda: kata.merge_pair([1, 2, 3, 1, 2, 2, 1, 2], (1, 2), 9),
        "merged run": lambda: kata.merge_pair([1, 1, 1, 2], (1, 1), 9),
        "merged digits": lambda: kata.merge_pair([11, 2, 1, 22], (1, 2), 9),
        "two merges": lambda: merges("he he hen", 2),
        "repeated words": lambda: merges(" hat hat hat it", 2),
        "run": lambda: merges("aaaabaaaab", 3),
        "old pair": lambda: merges("abcabcabcbcxa", 3),
        "bytes": lambda: vocab("", 256),
        "two bytes": lambda: merges("é é é", 1),
        "accent and sign": lambda: sorted(merges("é.ab", 2)),
        "accent and letter": lambda: merges("éa", 2),
        "letter and digit": lambda: sorted(merges("a1 b", 1)),
        "word and sign": lambda: sorted(merges("ab.", 1)),
        "contraction": lambda: sorted(merges("x's", 1)),
        "capitals": lambda: sorted(merges("AB ab Ab", 3)),
        "capital contraction": lambda: sorted(merges("X'S yz", 2)),
        "spaces": lambda: sorted(merges("a  b", 1)),
        "lines": lambda: sorted(merges("\nb\nb\nb", 1)),
        "ids": lambda: vocab("he he hen", 258),
        "size": lambda: len(kata.train_bpe("he he he she", 258)[0]),
        "size with a rare pair": lambda: len(kata.train_bpe("he", 257)[0]),
        "tie": lambda: merges("ab1cd", 1),
        "tie of bytes": lambda: merges("ac1ab1ab1abx1cx", 2),
        "tie with a prefix": lambda: merges("aa1ab1ab1ac1aba", 3),
        "specials": lambda: vocab("he he he hen hens henst", 260, ("<b>", "<a>")),
        "cut": lambda: sorted(merges("zend ab", 1, ("end",))),
        "around a special": lambda: sorted(merges("h<a>e bc", 2, ("<a>",))),
        "special across words": lambda: merges("ab cd", 1, ("b c",)),
        "space before a special": lambda: merges("h  end", 1, ("end",)),
        "longest": lambda: sorted(merges("zzycd", 1, ("zz", "zzy"))),
        "longest, in the other order": lambda: sorted(merges("zzycd", 1, ("zzy", "zz"))),
        "three lengths": lambda: merges("zzyxcd", 1, ("zzy", "zz", "zzyx")),
        "left to right": lambda: sorted(merges("abcd ef", 2, ("bcd", "ab"))),
        "literal": lambda: sorted(merges("<xb>cd", 2, ("<.b>",))),
        "words afterwards": lambda: after(kata.pair_counts, {(1, 2): 3}),
        "ids afterwards": lambda: after(lambda ids: kata.merge_pair(ids, (1, 2), 9), [1, 2, 3]),
        "same list": lambda: after(lambda ids: kata.merge_pair(ids, (5, 5), 9).append(7), [1, 2, 3]),
        "specials afterwards": lambda: after(lambda tokens: kata.train_bpe("", 300, tokens), ["<a>", "<abc>", "<b>"]),
    }


@clause("neighbours")
def test_two_ids_side_by_side_are_a_pair():
    seen = pair_counts({(1, 2, 3): 1})
    same(seen, {(1, 2): 1, (2, 3): 1}, "the pairs of the piece 1, 2, 3 were counted; they are (1, 2) and (2, 3)")


@clause("neighbours")
@pytest.mark.parametrize("length", [2, 3, 4, 7])
def test_overlapping_pairs_all_count(length):
    because = f"the pairs of a piece of {length} ones were counted; each one but the last is followed by another"
    same(pair_counts({(1,) * length: 1}), {(1, 1): length - 1}, because)


@clause("neighbours")
def test_two_pieces_have_no_pair_between_them():
    because = "the pairs of the pieces 1, 2 and 3, 4 and 5 and an empty one were counted; only the first two have one"
    same(pair_counts({(1, 2): 1, (3, 4): 1, (5,): 1, (): 1}), {(1, 2): 1, (3, 4): 1}, because)


@clause("weighted")
def test_a_piece_counts_as_often_as_it_occurs():
    seen = pair_counts({(1, 2): 3, (1, 2, 4): 2})
    same(seen, {(1, 2): 5, (2, 4): 2}, "the piece 1, 2 occurs 3 times and the piece 1, 2, 4 occurs 2 times")


@clause("weighted")
@given(st.dictionaries(IDS.map(tuple), st.integers(1, 4), max_size=5))
def test_counts_are_those_of_writing_every_piece_out(words):
    written_out = [word for word, times in words.items() for _ in range(times)]
    expected = Counter(word[at : at + 2] for word in written_out for at in range(len(word) - 1))
    same(pair_counts(words), dict(expected), f"the pairs of {words} were counted")


@clause("replaced")
def test_every_occurrence_becomes_the_new_id():
    seen = merge_pair([1, 2, 3, 1, 2, 2, 1], (1, 2), 9)
    same(seen, [9, 3, 9, 2, 1], "the pair (1, 2) was replaced by 9 in 1, 2, 3, 1, 2, 2, 1")
    seen = merge_pair([11, 2, 1, 22, 1, 2], (1, 2), 9)
    same(seen, [11, 2, 1, 22, 9], "the pair (1, 2) was replaced by 9 in 11, 2, 1, 22, 1, 2, where 11 is one id")


@clause("leftmost")
@pytest.mark.parametrize(("length", "expected"), [(2, [9]), (3, [9, 1]), (4, [9, 9]), (5, [9, 9, 1])])
def test_occurrences_are_found_from_the_left(length, expected):
    because = f"the pair (1, 1) was replaced by 9 in a piece of {length} ones; two occurrences cannot share an id"
    same(merge_pair([1] * length, (1, 1), 9), expected, because)


@clause("leftmost")
@given(IDS, st.tuples(ID, ID))
def test_merging_is_replacing_in_a_string(ids, pair):
    written = "".join(map(chr, ids)).replace("".join(map(chr, pair)), chr(999))  # one character for each id
    same(merge_pair(ids, pair, 999), list(map(ord, written)), f"the pair {pair} was replaced by 999 in {ids}")


@clause("bytes")
def test_the_first_ids_are_the_single_bytes():
    vocab, _ = train_bpe("he he he", 257)
    same([vocab.get(byte) for byte in range(256)], SINGLE, "each id up to 255 should be the byte of that value")


@clause("bytes")
@pytest.mark.parametrize(
    ("text", "expected"), [("é é é", (b"\xc3", b"\xa9")), ("漢漣", (b"\xe6", b"\xbc")), ("👍🐍", (b"\xf0", b"\x9f"))]
)
def test_a_piece_begins_as_its_bytes(text, expected):
    _, merges = train_bpe(text, 257)
    same(merges, [expected], f"one merge was made of {text!r}, which is {text.encode()} in UTF-8")


@clause("pieces")
@pytest.mark.parametrize(
    "pieces",
    [
        ["x", "'s", " y", "'d", " X", "'", "S"],
        ["at", " 3", "x", "42", "y", "²", " "],
        ["ah", "!!", " o", "..", "1", " .", "\t", "a", "_", "b", "?"],
        ["so", "  ", " b", "\t", "\t", "c", "  "],
        ["up", "\r\n", "\n", "to", "\n"],
        ["é", ".", "ß", "1", "д", "!", "ab", "\u0301"],
    ],
    ids=["contractions", "digits", "signs", "spaces", "line ends", "letters of other scripts"],
)
def test_pairs_are_merged_within_pieces_and_never_across(pieces):
    text, whole = "".join(pieces), {piece.encode() for piece in pieces if len(piece.encode()) == 2}
    _, merges = train_bpe(text, 256 + len(whole))
    tokens = {left + right for left, right in merges}
    because = f"{text!r} has the pieces {pieces}, and {len(whole)} merges were made, one for each piece of two bytes"
    assert tokens == whole, (
        f"the tokens {sorted(tokens - whole)} were made instead of {sorted(whole - tokens)}: {because}"
    )


@clause("commonest")
def test_the_commonest_pair_is_merged_first():
    _, merges = train_bpe("he he hen", 258)
    because = 'of "he he hen", h-e occurs 3 times and is merged; then a space comes before he 2 times'
    same(merges, [(b"h", b"e"), (b" ", b"he")], because)


@clause("commonest")
@given(st.text("aaab", max_size=24) | st.text("aaaabb ", max_size=32) | MIXED)
def test_merges_are_those_of_counting_again_before_each(text):
    expected = recounted(text, 6, ties=False)
    because = f"{len(expected)} merges were made of {text!r}, with all pairs counted again before each"
    same(train_bpe(text, 256 + len(expected))[1], expected, because)


@clause("commonest")
@pytest.mark.parametrize("seed", [1, 4, 9])
def test_a_longer_text_is_counted_again_before_each_merge(seed):
    text = "".join(random.Random(seed).choices("abcdef ", weights=[50, 25, 12, 8, 5, 3, 30], k=1200))
    expected = recounted(text, 20, ties=False)
    because = f"{len(expected)} merges were made of 1 200 random letters, which begin {text[:30]!r}"
    same(train_bpe(text, 256 + len(expected))[1], expected, because)


@clause("ids")
def test_merges_are_pairs_of_bytes_and_make_the_next_ids():
    vocab, merges = train_bpe("he he hen", 258)
    same(merges[:1], [(b"h", b"e")], "the first merge is that of the bytes h and e")
    seen = {number: token for number, token in vocab.items() if number > 255}
    same(seen, {256: b"he", 257: b" he"}, 'of "he he hen", h-e was merged first, and then the space and he')


@clause("ids")
@given(FEW_LETTERS | MIXED, st.integers(0, 8))
def test_every_merge_makes_the_next_id(text, most):
    vocab, merges = train_bpe(text, 256 + len(recounted(text, most, ties=False)))
    because = f"{len(merges)} merges were made of {text!r}: id 256 + n is the left and right of merge n"
    same(vocab, dict(enumerate([*SINGLE, *(left + right for left, right in merges)])), because)


@clause("size")
@pytest.mark.parametrize("vocab_size", [256, 257, 259])
def test_vocab_has_the_size_asked_for(vocab_size):
    vocab, merges = train_bpe("the other mother then", vocab_size)
    because = f"vocab_size={vocab_size} is 256 bytes and {vocab_size - 256} merges; these are tokens and merges"
    same((len(vocab), len(merges)), (vocab_size, vocab_size - 256), because)


@clause("size")
def test_pairs_that_occur_once_are_merged():
    vocab, merges = train_bpe("hen", 258)
    because = 'of "hen" two merges were asked for, of pairs that occur once; these are tokens and merges'
    same((len(vocab), len(merges)), (258, 2), because)


@clause("ties")
@pytest.mark.parametrize(
    ("text", "expected", "because"),
    [
        ("ab1cd", [(b"c", b"d")], "a-b and c-d occur once, and c is greater than a"),
        ("bc1bd", [(b"b", b"d")], "b-c and b-d occur once, and d is greater than c"),
        (
            "ab1ab1abx1cx",
            [(b"a", b"b"), (b"c", b"x")],
            "ab-x and c-x occur once, and c is greater than ab, whatever their ids",
        ),
        (
            "ab1ab1ac1aba",
            [(b"a", b"b"), (b"ab", b"a")],
            "a-c and ab-a occur once, and ab is greater than a, whatever follows",
        ),
        ("low lower lowest", [(b"o", b"w"), (b"l", b"ow"), (b"low", b"e"), (b" ", b"lowe")], "o is greater than l"),
    ],
)
def test_among_equally_common_pairs_the_greatest_is_merged(text, expected, because):
    _, merges = train_bpe(text, 256 + len(expected))
    same(merges, expected, f"{len(expected)} merges were made of {text!r}: {because}")


@clause("ties")
@given(FEW_LETTERS | MIXED, st.integers(0, 20))
def test_merges_are_those_of_counting_again_where_ties_abound(text, most):
    expected = recounted(text, most)
    because = f"{len(expected)} merges were made of {text!r}, with all pairs counted again before each"
    same(train_bpe(text, 256 + len(expected))[1], expected, because)


@clause("ties")
@pytest.mark.parametrize("script", [script for script in SCRIPTS if script != "nothing"])
def test_texts_of_every_script_give_the_merges_of_counting_again(script):
    expected = recounted(SCRIPTS[script], 14)
    because = f"{len(expected)} merges were made of {SCRIPTS[script]!r}, with all pairs counted again before each"
    same(train_bpe(SCRIPTS[script], 256 + len(expected))[1], expected, because)


@clause("exhausted")
@pytest.mark.parametrize(("text", "tokens"), [("hen", 258), ("h", 256), ("", 256)])
def test_training_ends_when_no_pair_is_left(text, tokens):
    vocab, merges = train_bpe(text, 300)
    because = f"{text!r} has pairs for {tokens - 256} merges, though vocab_size is 300; these are tokens and merges"
    same((len(vocab), len(merges)), (tokens, tokens - 256), because)


@clause("specials")
@pytest.mark.parametrize("kind", [tuple, list])
def test_special_tokens_come_last_in_the_order_given(kind):
    special_tokens = kind(["<b>", "<é>", "<a>"])
    vocab, merges = train_bpe("he he hen", 261, special_tokens)
    because = f"vocab_size=261 leaves room for 2 merges, ids 256 and 257, and the special tokens {special_tokens}"
    expected = {256: b"he", 257: b" he", 258: b"<b>", 259: "<é>".encode(), 260: b"<a>"}
    same({number: token for number, token in vocab.items() if number > 255}, expected, because)
    same(len(merges), 2, because)


@clause("cut")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h<end>e he", [(b"h", b"e"), (b" ", b"he")]),
        ("<end><end>xy<end><end>", [(b"x", b"y")]),
        ("hi  <end>x", [(b"h", b"i"), (b" ", b" ")]),
        ("x'<end>s yz", [(b"y", b"z"), (b" ", b"yz")]),
    ],
)
def test_the_text_is_cut_at_special_tokens(text, expected):
    _, merges = train_bpe(text, 256 + len(expected) + 1, ("<end>",))
    because = f"{text!r} is cut at <end>, each part is split by itself, and then {len(expected)} merges were made"
    same(sorted(merges), sorted(expected), because)


@clause("longest")
@pytest.mark.parametrize(
    ("text", "special_tokens", "expected"),
    [
        ("<a>zcd", ("<a>", "<a>z"), (b"c", b"d")),
        ("<a>zcd", ("<a>z", "<a>"), (b"c", b"d")),
        ("abcd", ("bcd", "ab"), (b"c", b"d")),
    ],
)
def test_the_longest_special_token_at_a_place_is_found(text, special_tokens, expected):
    _, merges = train_bpe(text, 259, special_tokens)
    because = f"{text!r} is cut at {special_tokens}, from left to right and where several begin at the longest"
    same(merges, [expected], because)


@clause("literal")
@pytest.mark.parametrize(
    ("token", "twin", "expected"),
    [
        ("<.b>", "<xb>", (b"x", b"b")),
        ("[x](y)", "xy", (b"x", b"y")),
        ("a*", "aa", (b"a", b"a")),
        ("a|b", "ab", (b"a", b"b")),
        ("\\d", " 7", (b" ", b"7")),
    ],
)
def test_a_special_token_is_no_pattern(token, twin, expected):
    text = twin + token + twin
    _, merges = train_bpe(text, 258, (token,))
    same(merges, [expected], f"{text!r} is cut at {token!r} itself, and not where {token!r} would match as a pattern")


@clause("pure")
def test_counting_leaves_the_words_alone():
    words = {(1, 2): 3, (1, 2, 4): 2}
    pair_counts(words)
    same(words, {(1, 2): 3, (1, 2, 4): 2}, "words was changed by pair_counts")


@clause("pure")
@pytest.mark.parametrize("pair", [(1, 2), (2, 2)])
def test_merging_leaves_the_ids_alone(pair):
    ids = [1, 2, 3, 1, 2]
    merge_pair(ids, pair, 9).append(7)
    same(ids, [1, 2, 3, 1, 2], f"merge_pair replaced {pair} and its result was appended to: ids was changed by that")


@clause("pure")
def test_a_call_affects_no_later_one():
    tokens = ["<a>", "<abc>"]
    first = train_bpe("he he<a>hen", 260, tokens)
    same(tokens, ["<a>", "<abc>"], "special_tokens was changed by train_bpe")
    train_bpe("something else", 270)
    because = "train_bpe was called twice with the same arguments: something is kept between calls"
    same(train_bpe("he he<a>hen", 260, tokens), first, because)


@clause("too-small")
@pytest.mark.parametrize(("vocab_size", "special_tokens"), [(0, ()), (255, ()), (257, ("<a>", "<b>"))])
def test_a_vocabulary_without_room_is_refused(vocab_size, special_tokens):
    with refuses(ValueError, vocab_size):
        train_bpe("he he hen", vocab_size, special_tokens)


@clause("repeated")
@pytest.mark.parametrize("special_tokens", [("<a>", "<b>", "<b>"), ["<b>", "<a>", "<b>"]])
def test_a_repeated_special_token_is_refused(special_tokens):
    with refuses(ValueError, "<b>"):
        train_bpe("he he hen", 300, special_tokens)


@clause("empty")
@pytest.mark.parametrize("special_tokens", [("",), ("<a>", "")])
def test_an_empty_special_token_is_refused(special_tokens):
    with refuses(ValueError, "special_tokens"):
        train_bpe("he he hen", 300, special_tokens)


@clause("one-string")
@pytest.mark.parametrize("token", ["<end>", "e"])
def test_a_single_string_as_special_tokens_is_refused(token):
    with refuses(TypeError, token):
        train_bpe("he he hen", 300, token)
