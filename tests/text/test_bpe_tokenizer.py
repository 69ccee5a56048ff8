"""A byte-pair tokenizer, clause by clause. The why: docs/text/bpe_tokenizer.md."""

import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import regex
import tiktoken
import torch
from hypothesis import given
from hypothesis import strategies as st

from dojo.ladder.fast_bpe_training import train_bpe as trained
from katas.text.bpe_tokenizer import BPETokenizer
from tests.support import SCRIPTS, clause, gpt2, refuses, same, story

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SINGLE = [bytes([byte]) for byte in range(256)]
BYTES = dict(enumerate(SINGLE))

END = "<|end|>"
SPECIALS = ["<|end|>", "<|end|><|end|>", "<|", "a*", "é?", "’s"]
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
    "漢字",
    "👍🏽",
    "<",
    "|",
]
MIXED = st.lists(st.sampled_from([*FRAGMENTS, *SPECIALS]), max_size=12).map("".join)
# st.text() reads Unicode's categories at first, which takes two seconds.
CHARACTERS = (st.integers(0, 0xD7FF) | st.integers(0xE000, 0x10FFFF)).map(chr)
LETTERS = st.sampled_from(sorted({letter for text in SCRIPTS.values() for letter in text})) | st.characters(
    max_codepoint=0x24F
)

# A text in which nearly every place is a bad one to cut at: contractions, white space, special tokens in each other.
TRICKY = "It's we'll they'rest  \n\n  x 1st--'d<|en<|end|><|end|> y'<|end|>s  <|end|>\té’sa**  <|end|>"


def with_merges(*merges, more=()):
    """A vocabulary of the single bytes, what the merges make, and more tokens; and the merges, as bytes."""
    pairs = [tuple(part.encode() if isinstance(part, str) else part for part in pair) for pair in merges]
    tokens = dict.fromkeys([*SINGLE, *(left + right for left, right in pairs), *(token.encode() for token in more)])
    return dict(enumerate(tokens)), pairs


def tokens_of(tokenizer, vocab, text):
    """What a text is cut into, as bytes: easier to read than ids."""
    ids = tokenizer.encode(text)
    unknown = [token_id for token_id in ids if token_id not in vocab]
    assert not unknown, f"{text!r} became {ids}, and {unknown[0]} is no id of vocab"
    return [vocab[token_id] for token_id in ids]


def parts_of(text, special_tokens):
    """A text, cut at its special tokens place by place: each part, and the special token after it, "" at the end."""
    parts, start, at = [], 0, 0
    while at < len(text):
        if here := max((token for token in special_tokens if text.startswith(token, at)), key=len, default=""):
            parts.append((text[start:at], here))
            start = at + len(here)
        at += len(here) or 1
    return [*parts, (text[start:], "")]


def plainly(text, vocab, merges, special_tokens=()):
    """The ids of a text, one pair at a time; the special tokens are in vocab."""
    ids, order, found = {token: token_id for token_id, token in vocab.items()}, {}, []
    for place, pair in enumerate(merges):
        order.setdefault(pair, place)
    for part, special in parts_of(text, special_tokens):
        for piece in regex.findall(GPT2, part):
            tokens = [bytes([byte]) for byte in piece.encode()]
            while ranked := [(order[pair], at) for at, pair in enumerate(pairwise(tokens)) if pair in order]:
                _, at = min(ranked)
                tokens[at : at + 2] = [tokens[at] + tokens[at + 1]]
            found += [ids[token] for token in tokens]
        found += [ids[special.encode()]] if special else []
    return found


def by_tiktoken(vocab):
    """tiktoken's encoding for a vocabulary in which the ids are the ranks."""
    ranks = {token: rank for rank, token in vocab.items()}
    return tiktoken.Encoding("test", pat_str=GPT2, mergeable_ranks=ranks, special_tokens={})


@cache
def from_the_story():
    """A vocabulary of 600 tokens, trained on the story."""
    return trained(story(), 600)


class Watched:
    """Chunks that count how many of them were read."""

    def __init__(self, chunks):
        self.chunks, self.read = chunks, 0

    def __iter__(self):
        for chunk in self.chunks:
            self.read += 1
            yield chunk


def probe(kata):
    """Small cases on which the known mistakes differ. No word stands in two of them: a learner may remember words."""
    make, ranked = kata.BPETokenizer, kata.BPETokenizer.from_ranks
    single = dict(enumerate(SINGLE))
    ranks = {token: rank for rank, token in single.items()}

    def ids(text, *merges, specials=(), more=()):
        vocab, pairs = with_merges(*merges, more=[*specials, *more])
        return make(vocab, pairs, specials).encode(text)

    def streamed(*chunks, specials=()):
        merges = ((" ", " "), ("'", "l"), ("'l", "l"), ("l", "l"), (" ", "x"), ("\n", "\n"))
        return list(make(*with_merges(*merges, more=specials), specials).encode_iterable(chunks))

    def read():
        chunks = Watched([" gx"] * 100)
        made = make(*with_merges((" ", "g"), (" g", "x"), (" gx", " gx"))).encode_iterable(chunks)
        before = chunks.read
        return next(made), before, chunks.read <= 11

    def decoded(*token_ids):
        return make({**single, 300: b"\xe6\xbc", 301: b"<a>"}, [], ["<a>"]).decode(token_ids)

    def unchanged():
        vocab, merges = with_merges(("d", "f"))
        tokenizer = make(vocab, merges, ["<new>"])
        size = len(vocab)
        vocab.clear()
        return size, tokenizer.decode([256, 100])

    def loaded(tokenizer, text):
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(Path(folder) / "file")
            return tokenizer.encode(text), kata.BPETokenizer.load(Path(folder) / "file").encode(text)

    def in_two_tokenizers():
        text = "jqjq"
        return [make(*with_merges(*merges)).encode(text) for merges in [(("j", "q"),), (("q", "j"),)]]

    return {
        "first merge": lambda: ids("jkv", ("k", "v"), ("j", "k")),
        "second merge": lambda: ids("jvk", ("j", "v"), ("v", "k"), ("jv", "k")),
        "ids in another order": lambda: make(
            {**single, 256: b"vz", 257: b"jv", 258: b"kj"}, [(b"j", b"v"), (b"v", b"z"), (b"k", b"j")]
        ).encode("jvz kjv"),
        "in a row": lambda: ids("zkvqj", ("k", "v"), ("z", "k"), ("v", "q"), ("q", "j"), more=["zkv"]),
        "repeated": lambda: ids("jjjjj", ("j", "j"), ("jj", "j")),
        "not by merges": lambda: ids("kkv kkz", ("k", "v"), more=["kkv", " kk"]),
        "accent": lambda: ids("é", (b"\xc3", b"\xa9")),
        "Chinese": lambda: ids("漢"),
        "ids of bytes": lambda: make({1000 + number: token for number, token in single.items()}, []).encode("xkz"),
        "ids of merges": lambda: make({**single, 301: b"zk", 299: b"kj"}, [(b"z", b"k"), (b"k", b"j")]).encode("zkkj"),
        "words": lambda: ids("zj zv", ("j", " "), (" ", "z"), (" z", "v")),
        "word and sign": lambda: ids("zv!", ("v", "!"), ("z", "v!")),
        "lines": lambda: ids("zj\nzj", ("j", "\n"), ("\n", "z")),
        "accents": lambda: ids("éjv zkz", (b"\xc3", b"\xa9"), (b"\xc3\xa9", "j"), ("j", "v"), "zk", "kz"),
        "capitals": lambda: ids("ZJ"),
        "special": lambda: ids("zk<|e|>kz", specials=["<|e|>"]),
        "special piece": lambda: ids("kstop\nzkstopk", specials=["kstop"]),
        "special word": lambda: ids("zkstopkj", specials=["stop"]),
        "decoded character": lambda: decoded(300, 0xA2),
        "decoded accent": lambda: decoded(0xC3, 0xA9),
        "decoded special": lambda: decoded(106, 301),
        "encoded and decoded": lambda: make(single, []).decode(make(single, []).encode("Kz\t")),
        "invalid": lambda: decoded(106, 0xFF, 107),
        "spaces before a special": lambda: ids("zz zk  <|e|>zz", (" ", " "), specials=["<|e|>"]),
        "contraction after a special": lambda: ids("kk'<|e|>s", ("'", "s"), specials=["<|e|>"]),
        "longest": lambda: ids("zvzvzv", specials=["zv", "zvzv"]),
        "longest, in the other order": lambda: ids("zvzvkzv", specials=["zvzvk", "zvzv", "zv"]),
        "three lengths": lambda: ids("zvzvkzv", specials=["zvzv", "zv", "zvzvk"]),
        "left to right": lambda: ids("kjvz", specials=["jvz", "kj"]),
        "new id": lambda: make({**single, 900: b"zzk"}, [], ["<z>"]).encode("<z>"),
        "two new ids": lambda: make(single, [], ["<z>", "<k>"]).encode("<k><z>"),
        "ordinary": lambda: ids("<|z|>", more=["<|z|>"]),
        "unknown id": lambda: decoded(106, 999, 107),
        "chunks": lambda: streamed("xl", "l"),
        "contraction in two chunks": lambda: streamed("xk'l", "l"),
        "white space in two chunks": lambda: streamed("xj  ", "x"),
        "special in two chunks": lambda: streamed("xk'", "ll q j v k q j v", " k xz", specials=["q j v k"]),
        "last chunk": lambda: streamed("xq xk", " xq <|en", specials=[END]),
        "reading ahead": read,
        "ranks": lambda: ranked({**ranks, b"qv": 256, b"vz": 257}).encode("qvz"),
        "rank ids": lambda: ranked(ranks, {"<q>": 400}).encode("<q>"),
        "loaded": lambda: loaded(make(*with_merges(("v", "v"), ("q", "v"))), "qvv"),
        "loaded special": lambda: loaded(make(single, [], ["<v>"]), "qv<v>"),
        "loaded ranks": lambda: loaded(ranked({**ranks, b"qz": 256}, {"<j>": 999}), "qz<j>"),
        "dicts": unchanged,
        "two tokenizers": in_two_tokenizers,
    }


@clause("bytes")
@pytest.mark.parametrize("text", ["hen", "né", "漢", "👍"])
def test_without_merges_the_tokens_are_the_bytes(text):
    vocab, _ = with_merges()
    because = f"{text!r} was encoded without merges; it is {text.encode()} in UTF-8"
    same(tokens_of(BPETokenizer(vocab, []), vocab, text), [bytes([byte]) for byte in text.encode()], because)


@clause("order")
@pytest.mark.parametrize(
    ("merges", "text", "expected"),
    [
        ([("h", "e")], "hen", [b"he", b"n"]),
        ([("h", "e"), ("e", "r")], "her", [b"he", b"r"]),
        ([("e", "r"), ("h", "e")], "her", [b"h", b"er"]),
        ([("e", "r"), ("h", "e"), ("h", "er")], "her", [b"her"]),
        ([("l", "o"), ("o", "w"), ("lo", "w"), ("low", "e")], "lower", [b"lowe", b"r"]),
        (["he", " w", "er", "at", ("he", "r"), (" w", "e")], " weather", [b" we", b"at", b"her"]),
        ([("a", "a")], "aaa", [b"aa", b"a"]),
        ([("a", "a"), ("aa", "aa")], "aaaaaaa", [b"aaaa", b"aa", b"a"]),
        ([(b"\xbc", b"\xa2")], "漢", [b"\xe6", b"\xbc\xa2"]),
    ],
)
def test_the_pair_that_comes_first_in_merges_is_merged_first(merges, text, expected):
    vocab, merges = with_merges(*merges)
    because = f"{text!r} was encoded with the merges {merges}"
    same(tokens_of(BPETokenizer(vocab, merges), vocab, text), expected, because)


@clause("order")
def test_only_merges_says_what_is_merged():
    vocab = {**BYTES, 256: b"er", 257: b"he", 258: b"hen", 259: b"nn"}
    tokenizer = BPETokenizer(vocab, [(b"h", b"e"), (b"e", b"r")])
    for text, expected in (("her", [b"he", b"r"]), ("hen", [b"he", b"n"]), ("nn", [b"n", b"n"])):
        because = f"{text!r} was encoded with the merges h-e and e-r; vocab also has er before he, and hen and nn"
        same(tokens_of(tokenizer, vocab, text), expected, because)


@clause("order")
@given(st.text("ab", max_size=40), st.text("ab", max_size=24))
def test_the_tokens_are_those_of_merging_pair_by_pair(source, text):
    vocab, merges = trained(source, 266)
    because = f"{text!r} was encoded with the merges {merges}, one pair at a time"
    expected = [vocab[token_id] for token_id in plainly(text, vocab, merges)]
    same(tokens_of(BPETokenizer(vocab, merges), vocab, text), expected, because)


@clause("ids")
def test_ids_are_those_of_vocab_and_no_others():
    vocab, merges = with_merges(("h", "e"), (" ", "t"), (" t", "he"))
    shuffled = {3 * ((token_id + 224) % 259) - 100: token for token_id, token in vocab.items()}
    named = {token: token_id for token_id, token in shuffled.items()}
    expected = [named[token] for token in (b"he", b" the", b" ", b"!", b"\xc3", b"\xa9")]
    because = "vocab gives other ids to all tokens, also to the bytes; the order of merges is as before"
    same(BPETokenizer(shuffled, merges).encode("he the !é"), expected, because)


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
def test_pairs_are_merged_within_pieces_and_never_across(pieces):
    text, merges = "".join(pieces), []
    for piece in [piece.encode() for piece in pieces]:
        merges += [(piece[:at], piece[at : at + 1]) for at in range(1, len(piece))]
    vocab, merges = with_merges(*dict.fromkeys(merges), *pairwise(pieces))
    because = f"{text!r} has the pieces {pieces}; merges makes each of them, and would also merge one with the next"
    expected = [vocab[token_id] for token_id in plainly(text, vocab, merges)]
    same(tokens_of(BPETokenizer(vocab, merges), vocab, text), expected, because)


@clause("special")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (END, [END]),
        ("x<|end|>y", ["x", END, "y"]),
        ("<|end|><|end|>the<|end|>", [END, END, "the", END]),
        ("<|end <|ending|> the", ["<|", "end", " ", "<|", "end", "ing", "|>", " the"]),
    ],
)
def test_a_special_token_becomes_one_id(text, expected):
    vocab, merges = with_merges(
        *["th", ("th", "e"), (" ", "the"), "<|", "|>", "en", ("en", "d"), "in", ("in", "g")], more=[END]
    )
    because = f"{text!r} was encoded with the special token {END}"
    seen = tokens_of(BPETokenizer(vocab, merges, [END]), vocab, text)
    same(seen, [token.encode() for token in expected], because)


@clause("decoded")
@pytest.mark.parametrize(
    ("ids", "expected"),
    [([104, 105], "hi"), ([0xC3, 0xA9], "é"), ([256, 0xA2, 257, 256, 0xA2], "漢<é>漢"), ([], "")],
)
def test_bytes_are_joined_before_they_are_read(ids, expected):
    tokenizer = BPETokenizer({**BYTES, 256: b"\xe6\xbc", 257: "<é>".encode()}, [], ["<é>"])
    same(
        tokenizer.decode(ids), expected, f"the ids {ids} were decoded; 256 is two of the three bytes of 漢, 257 is <é>"
    )


@clause("decoded")
@given(st.lists(CHARACTERS, max_size=30).map("".join) | MIXED)
def test_every_text_comes_back(text):
    tokenizer = BPETokenizer(*with_merges((" ", "t"), (b"\xc3", b"\xa9"), (b"\xe6", b"\xbc"), more=[END]), [END])
    same(tokenizer.decode(tokenizer.encode(text)), text, f"{text!r} was encoded and decoded")


@clause("invalid")
@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([0xA9, 0xC3], "\ufffd\ufffd"),
        ([104, 0xE6, 0xBC, 105], "h\ufffdi"),
        ([0xF0, 0x9F, 0x91, 0x8D, 0xFF], "👍\ufffd"),
    ],
)
def test_bytes_that_are_no_text_become_the_replacement_character(ids, expected):
    same(BPETokenizer(BYTES, []).decode(ids), expected, f"the bytes {bytes(ids)} were decoded")


@clause("tiktoken")
@pytest.mark.parametrize("script", SCRIPTS)
def test_texts_of_every_script_have_the_ids_of_tiktoken(script):
    vocab, merges = trained(SCRIPTS[script] + SCRIPTS["English"], 290)
    expected = by_tiktoken(vocab).encode(SCRIPTS[script])
    because = f"{SCRIPTS[script]!r} was encoded with 34 merges, and by tiktoken"
    same(BPETokenizer(vocab, merges).encode(SCRIPTS[script]), expected, because)


@clause("tiktoken")
def test_english_has_the_ids_of_tiktoken():
    vocab, merges = from_the_story()
    text = story()[:4000]
    because = "the first 4 000 letters of the story were encoded with 344 merges, and by tiktoken"
    same(BPETokenizer(vocab, merges).encode(text), by_tiktoken(vocab).encode(text), because)


@clause("tiktoken")
@given(st.text(LETTERS, max_size=30))
def test_any_text_has_the_ids_of_tiktoken(text):
    vocab, merges = from_the_story()
    because = f"{text!r} was encoded with 344 merges, and by tiktoken"
    same(BPETokenizer(vocab, merges).encode(text), by_tiktoken(vocab).encode(text), because)


@pytest.mark.slow
@clause("tiktoken")
def test_with_the_vocabulary_of_gpt2_the_ids_are_those_of_tiktoken():
    encoding, merges = gpt2()
    vocab = {token_id: encoding.decode_single_token_bytes(token_id) for token_id in range(encoding.n_vocab)}
    text = "\n".join([story()[:1000], *SCRIPTS.values(), TRICKY])
    because = "a text of many scripts was encoded with GPT-2's vocabulary, in which ! has the id 0, and by tiktoken"
    same(BPETokenizer(vocab, merges).encode(text), encoding.encode(text, disallowed_special=()), because)


@clause("apart")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("he<|end|>n", ["he", END, "n"]),
        ("hi  <|end|>hi", ["h", "i", "  ", END, "h", "i"]),
        ("it'<|end|>s", ["i", "t", "'", END, "s"]),
        ("it'<|end|>'s", ["i", "t", "'", END, "'s"]),
    ],
)
def test_the_text_between_special_tokens_is_split_by_itself(text, expected):
    vocab, merges = with_merges((" ", " "), ("'", "s"), ("h", "e"), ("he", "n"), (">", "n"), more=[END])
    because = f"{text!r} has the special token {END}, and a piece ends there"
    seen = tokens_of(BPETokenizer(vocab, merges, [END]), vocab, text)
    same(seen, [token.encode() for token in expected], because)


@clause("longest")
@pytest.mark.parametrize(
    ("special_tokens", "text", "expected"),
    [
        (["<a>", "<a><a>"], "<a><a><a>", ["<a><a>", "<a>"]),
        (["<a><a>", "<a>"], "<a><a><a>", ["<a><a>", "<a>"]),
        (["abc", "bcde"], "abcde", ["abc", "d", "e"]),
        (["bc", "abcd"], "abce", ["a", "bc", "e"]),
    ],
)
def test_the_longest_special_token_at_a_place_is_found(special_tokens, text, expected):
    vocab, merges = with_merges(more=special_tokens)
    seen = tokens_of(BPETokenizer(vocab, merges, special_tokens), vocab, text)
    because = f"{text!r} was encoded with the special tokens {special_tokens}"
    same(seen, [token.encode() for token in expected], because)


@clause("longest")
@given(MIXED, st.lists(st.sampled_from(SPECIALS), max_size=4, unique=True))
def test_special_tokens_are_those_of_looking_place_by_place(text, special_tokens):
    vocab, merges = with_merges((" ", "t"), ("|", ">"), ("<", "|"), more=special_tokens)
    because = f"{text!r} was encoded with the special tokens {special_tokens}"
    seen = BPETokenizer(vocab, merges, special_tokens).encode(text)
    same(seen, plainly(text, vocab, merges, special_tokens), because)


@clause("new-ids")
def test_special_tokens_that_vocab_lacks_take_the_next_ids():
    vocab = {**{token_id - 256: token for token_id, token in BYTES.items()}, 900: b"<b>", 7: b"<c>"}
    tokenizer = BPETokenizer(vocab, [], ["<z>", "<b>", "<a>", "<c>", "<é>"])
    because = "vocab has <b> as 900 and <c> as 7, and the special tokens <z>, <a> and <é> follow in that order"
    same(tokenizer.encode("<c><b><z><a><é>"), [7, 900, 901, 902, 903], because)
    same(tokenizer.decode([903, 901, 7]), "<é><z><c>", because)


@clause("ordinary")
@pytest.mark.parametrize("none", [(), [], None])
def test_without_special_tokens_their_text_is_ordinary(none):
    vocab, merges = with_merges(("<", "|"), ("|", ">"), more=[END])
    because = f"{END} is in vocab, but not among the special tokens, which are {none!r}"
    seen = tokens_of(BPETokenizer(vocab, merges, none), vocab, END)
    same(seen, [b"<|", b"e", b"n", b"d", b"|>"], because)


@clause("integers")
@pytest.mark.parametrize(
    "kind",
    [tuple, iter, lambda ids: np.array(ids, dtype=np.uint16), torch.tensor],
    ids=["tuple", "iterator", "NumPy array", "tensor"],
)
def test_ids_come_in_every_form(kind):
    same(BPETokenizer(BYTES, []).decode(kind([104, 105])), "hi", "the ids 104 and 105 were decoded, in this form")


@clause("unknown-id")
@pytest.mark.parametrize("unknown", [-1, 256, 10**20])
def test_an_id_without_a_token_is_refused(unknown):
    with refuses(ValueError, unknown):
        BPETokenizer(BYTES, []).decode([104, unknown, 105])


@cache
def for_tricky():
    """A vocabulary that merges much of the tricky text."""
    return with_merges(
        (" ", " "), ("'", "l"), ("'l", "l"), ("'", "r"), ("'r", "e"), ("'", "s"), ("\n", "\n"), ("<", "|"), ("|", ">"),
        (" ", "x"), (" ", "'"), ("r", "e"), ("re", "s"), ("*", "*"), more=SPECIALS,
    )  # fmt: skip


@clause("streamed")
@pytest.mark.parametrize("special_tokens", [[], SPECIALS], ids=["no special tokens", "special tokens"])
def test_a_text_may_be_cut_at_every_place(special_tokens):
    tokenizer, expected = BPETokenizer(*for_tricky(), special_tokens), plainly(TRICKY, *for_tricky(), special_tokens)
    for place in range(len(TRICKY) + 1):
        chunks = [TRICKY[:place], TRICKY[place:]]
        because = f"the chunks are {chunks}, the special tokens {special_tokens}"
        same(list(tokenizer.encode_iterable(chunks)), expected, because)


@clause("streamed")
@pytest.mark.parametrize("text", [TRICKY, *SCRIPTS.values()], ids=["tricky", *SCRIPTS])
def test_a_text_may_come_letter_by_letter(text):
    tokenizer, expected = BPETokenizer(*for_tricky(), SPECIALS), plainly(text, *for_tricky(), SPECIALS)
    sparse = [part for letter in text for part in ("", letter, "")]
    for how, chunks in (("a str", text), ("letters", list(text)), ("letters with empty chunks between them", sparse)):
        same(list(tokenizer.encode_iterable(chunks)), expected, f"{text!r} came as {how}")


@clause("streamed")
@given(MIXED, st.lists(st.integers(0, 60), max_size=8), st.lists(st.sampled_from(SPECIALS), max_size=4, unique=True))
def test_a_text_may_be_cut_anywhere(text, places, special_tokens):
    places = sorted({0, len(text), *(place for place in places if place < len(text))})
    chunks = [text[start:end] for start, end in pairwise(places)]
    expected = plainly(text, *for_tricky(), special_tokens)
    because = f"the chunks are {chunks}, the special tokens {special_tokens}"
    same(list(BPETokenizer(*for_tricky(), special_tokens).encode_iterable(chunks)), expected, because)


@clause("lazy")
@pytest.mark.parametrize("chunk", [" word", "道可道非常道。", "1a2b", "x'd!", "<|a"])
def test_chunks_are_read_when_ids_are_requested(chunk):
    chunks = Watched([chunk] * 1000)
    ids = BPETokenizer(*with_merges((" ", "t")), [END]).encode_iterable(chunks)
    same(chunks.read, 0, f"chunks {chunk!r} were read before an id was requested")
    next(ids)
    assert chunks.read <= 11, f"one id was requested, and {chunks.read} chunks {chunk!r} were read, expected at most 11"
    for _ in range(200):
        next(ids)
    assert chunks.read <= 220, f"201 ids were requested, and {chunks.read} chunks {chunk!r} were read"


@clause("ranks")
@pytest.mark.parametrize(
    ("more", "text", "expected"),
    [
        (["he", "er"], "her", ["he", "r"]),
        (["er", "he"], "her", ["h", "er"]),
        (["bc", "ab", "abc"], "abcx", ["abc", "x"]),
        (["aa"], "aaaaa", ["aa", "aa", "a"]),
        ([" b"], "a b", ["a", " b"]),
    ],
)
def test_neighbours_that_make_the_token_of_lowest_id_are_merged(more, text, expected):
    vocab, _ = with_merges(more=more)
    tokenizer = BPETokenizer.from_ranks({token: rank for rank, token in vocab.items()})
    because = f"{text!r} was encoded with the ranks of the bytes, and after them of {more}"
    same(tokens_of(tokenizer, vocab, text), [token.encode() for token in expected], because)


@clause("ranks")
@given(st.text("ab ", max_size=24))
def test_trained_ranks_give_the_ids_of_tiktoken(text):
    vocab, _ = trained("abba aab abab bb a", 266)
    tokenizer = BPETokenizer.from_ranks({token: rank for rank, token in vocab.items()})
    same(
        tokenizer.encode(text), by_tiktoken(vocab).encode(text), f"{text!r} was encoded with 10 merges, and by tiktoken"
    )


@pytest.mark.slow
@clause("ranks")
def test_the_ranks_of_gpt2_give_the_ids_of_tiktoken():
    encoding, _ = gpt2()
    ranks = {encoding.decode_single_token_bytes(rank): rank for rank in range(50_256)}
    text = "<|endoftext|>".join([story()[:1000], *SCRIPTS.values(), TRICKY])
    tokenizer = BPETokenizer.from_ranks(ranks, ["<|endoftext|>"])
    because = "a text of many scripts was encoded with GPT-2's ranks, and by tiktoken"
    same(tokenizer.encode(text), encoding.encode(text, allowed_special="all"), because)


@clause("rank-ids")
def test_special_tokens_of_ranks_come_with_their_ids():
    ranks = {token: rank for rank, token in BYTES.items()}
    for special_tokens in ({"<b>": 400, "<a>": 299}, {"<a>": 299, "<b>": 100_000}):
        tokenizer = BPETokenizer.from_ranks(ranks, special_tokens)
        expected = [special_tokens["<a>"], special_tokens["<b>"]]
        same(tokenizer.encode("<a><b>"), expected, f"from_ranks was given the special tokens {special_tokens}")
        same(tokenizer.decode(expected), "<a><b>", f"from_ranks was given the special tokens {special_tokens}")


@clause("saved")
@pytest.mark.parametrize("kind", ["merges", "no merges", "ranks", "ranks and ids"])
def test_what_was_saved_comes_back(kind, tmp_path):
    vocab, merges = with_merges((" ", "t"), ("h", "e"), (" t", "he"), (b"\xc3", b"\xa9"), ("e", "r"), more=["<b>"])
    reversed_ids = {508 - token_id: token for token_id, token in vocab.items()}  # "er" is lower than "he"
    ranks, special_tokens = {token: rank for rank, token in vocab.items()}, ["<b>", "<a><a>", '<"é">', "<a>"]
    tokenizer = {
        "merges": lambda: BPETokenizer(reversed_ids, merges, special_tokens),
        "no merges": lambda: BPETokenizer(BYTES, []),
        "ranks": lambda: BPETokenizer.from_ranks(ranks, special_tokens),
        "ranks and ids": lambda: BPETokenizer.from_ranks(ranks, {"<b>": 999, "<a>": 777}),
    }[kind]()
    text = 'her the <a>\n<b><"é"> \x00é漢<a><a>'
    expected = tokenizer.encode(text)
    for path in (tmp_path / "tokenizer.json", str(tmp_path / "a name of another kind")):
        tokenizer.save(path)
        loaded = BPETokenizer.load(path)
        same(loaded.encode(text), expected, f"a tokenizer with {kind} was saved and loaded, and encoded {text!r}")
        same(loaded.decode(expected), text, f"a tokenizer with {kind} was saved and loaded, and decoded {text!r}")


@clause("independent")
def test_two_tokenizers_share_nothing():
    text, because = "hehe", "'hehe' was encoded by two tokenizers, one with the merge h-e and one with e-h"
    for merge, expected in ((("h", "e"), [256, 256]), (("e", "h"), [104, 256, 101])):
        same(BPETokenizer(*with_merges(merge)).encode(text), expected, because)


@clause("independent")
def test_what_was_given_can_be_changed_later():
    vocab, merges, special_tokens = *with_merges(("h", "e"), ("l", "o")), ["<a>", "<lé>"]
    told = repr((vocab, merges, special_tokens))
    tokenizer = BPETokenizer(vocab, merges, special_tokens)
    same(repr((vocab, merges, special_tokens)), told, "vocab, merges or special_tokens was changed by the constructor")
    for changed in (vocab, merges, special_tokens):
        changed.clear()
    because = "vocab, merges and special_tokens were cleared after the tokenizer was made"
    same(tokenizer.encode("<a>he lo<lé>"), [258, 256, 32, 257, 259], because)
    same(tokenizer.decode([258, 256, 32, 257, 259]), "<a>he lo<lé>", because)


@clause("independent")
def test_the_ids_of_special_tokens_can_be_changed_later():
    ids = {"<a>": 300}
    tokenizer = BPETokenizer.from_ranks({token: rank for rank, token in BYTES.items()}, ids)
    ids.clear()
    same(tokenizer.encode("<a>"), [300], "special_tokens of from_ranks was cleared after the tokenizer was made")


@clause("independent")
def test_what_was_returned_can_be_changed_later():
    tokenizer = BPETokenizer(*with_merges(("h", "e")))
    for _ in range(2):
        ids = tokenizer.encode("he")
        same(ids, [256], "'he' was encoded twice, and the first list of ids was changed in between")
        ids += [0, 0]
