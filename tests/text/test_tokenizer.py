"""A tokenizer of words, clause by clause. The why: docs/text/tokenizer.md."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katas.text.tokenizer import WordTokenizer, build_vocab, split_words
from tests.support import SCRIPTS, clause, refuses, same, story

SIGNS = ",.:;?_!\"()'"
END, UNK = "<|endoftext|>", "<|unk|>"
LINE = "the cat sat, the dog ran--far."
VOCAB = {",": 0, "--": 1, ".": 2, "cat": 3, "dog": 4, "far": 5, "ran": 6, "sat": 7, "the": 8, END: 9, UNK: 10}
LOOSE = {"the": 40, "cat": 7, UNK: 0, ",": 1000, END: 3, "sat": -5}  # ids with gaps, in no order

PARTS = [
    "a",
    "the",
    "Cat",
    "-",
    "--",
    "---",
    " ",
    "  ",
    "\n",
    "\t",
    *SIGNS,
    "’",
    "。",
    "漢字",
    "é",
    "👍🏽",
    "1",
    "/",
    END,
]
TEXTS = st.text("ab- _.,'\n", max_size=16) | st.lists(st.sampled_from(PARTS), max_size=16).map("".join)
WORDS = ["the", "cat", "Größe", "漢字", "-", "--", *SIGNS, END, UNK]


def spelled(text):
    """The words of a text, found letter by letter."""
    words, word, at = [], "", 0
    while at < len(text):
        sign = "--" if text[at : at + 2] == "--" else text[at] if text[at] in SIGNS else ""
        if sign or text[at].isspace():
            words += [word, sign]
            word = ""
        else:
            word += text[at]
        at += len(sign) or 1
    return [found for found in [*words, word] if found]


def closed_up(words):
    """Words with a space between each two, less the spaces before a sign; written from the last letter to the first."""
    text = ""
    for letter in reversed(" ".join(words)):
        if not (letter.isspace() and text and text[0] in SIGNS.replace("_", "")):
            text = letter + text
    return text


def ids_for(words):
    """A vocab of these words: ids with gaps, in no order."""
    return {word: 7 * (place * 5 % 101) for place, word in enumerate(dict.fromkeys(words))}


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def encoded(vocab, text):
        return kata.WordTokenizer(dict(vocab)).encode(text)

    def decoded(vocab, *ids):
        return kata.WordTokenizer(dict(vocab)).decode(ids)

    def closed(sign):
        return decoded({"a": 0, sign: 1, "b": 2}, 0, 1, 2)

    def encoded_after(change):
        vocab = dict(VOCAB)
        tokenizer = kata.WordTokenizer(vocab)
        change(vocab)
        return tokenizer.encode("the cat owl")

    texts = {
        "words": "the cat",
        "comma": "cat, dog",
        "dash": "ran--far",
        "hyphen": "well-known",
        "lines": "a\tb\nc",
        "two spaces": "a  b",
        "apostrophe": "it's",
        "underscore": "x_1",
        "brackets": '"(a)"',
        "colon": "a: b;",
        "symbols": "a/b #c",
        "capitals": "The THE",
        "accent": "é 漢字",
        "no-break space": "a\u00a0b",
        "three hyphens": "a---b",
    }
    return {f"split {name}": lambda text=text: kata.split_words(text) for name, text in texts.items()} | {
        "vocab": lambda: kata.build_vocab(["the", "cat", "sat"]),
        "vocab of a repeated word": lambda: kata.build_vocab(["the", "cat", "the"]),
        "vocab of capitals": lambda: kata.build_vocab(["b", "C", "a"]),
        "vocab of signs": lambda: kata.build_vocab(["the", ","]),
        "vocab of nothing": lambda: kata.build_vocab([]),
        "vocab of a special word": lambda: kata.build_vocab(["the", UNK, "~"]),
        "ids": lambda: encoded(VOCAB, "the cat sat"),
        "ids around signs": lambda: encoded(VOCAB, "the cat, far"),
        "other ids": lambda: encoded(LOOSE, "sat the cat"),
        "the id 0": lambda: encoded({"b": 0, "a": 5, UNK: 2}, "a b"),
        "unknown word": lambda: encoded(VOCAB, "the owl sat"),
        "unknown word, other ids": lambda: encoded({"the": 40, UNK: 7, END: 50}, "the owl"),
        "unknown capitals": lambda: encoded(VOCAB, "the CAT"),
        "unknown twice": lambda: encoded(VOCAB, "owl owl"),
        "no unknown": lambda: encoded({"the": 0}, "owl"),
        "text": lambda: decoded(VOCAB, 8, 3, 7),
        "text of other ids": lambda: decoded({"a": 1, "b": 0}, 1, 0),
        "text with special words": lambda: decoded(VOCAB, 8, 9, 10),
        "unknown id": lambda: decoded(VOCAB, 8, 99),
        "repeated id": lambda: decoded({"cat": 7, "dog": 7}, 7),
        "closed comma": lambda: closed(","),
        "closed question": lambda: closed("?"),
        "closed colon": lambda: closed(":"),
        "closed quote": lambda: closed('"'),
        "closed bracket": lambda: closed("("),
        "closed underscore": lambda: closed("_"),
        "closed dash": lambda: closed("--"),
        "closed symbol": lambda: closed("#"),
        "changed vocab": lambda: encoded_after(lambda vocab: vocab.update(cat=77)),
        "grown vocab": lambda: (lambda vocab: (kata.WordTokenizer(vocab).encode("owl"), len(vocab)))(dict(VOCAB)),
    }


@clause("white-space")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so it ends", ["so", "it", "ends"]),
        ("  the\tcat \r\n\n sat ", ["the", "cat", "sat"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_white_space_separates_words_and_is_dropped(text, expected):
    same(split_words(text), expected, f"the text was {text!r}")


@clause("signs")
@pytest.mark.parametrize("sign", SIGNS)
def test_a_sign_is_a_word_of_its_own(sign):
    text = f"{sign}a{sign} b{sign}c {sign} {sign}{sign}"
    expected = [sign, "a", sign, "b", sign, "c", sign, sign, sign]
    same(split_words(text), expected, f"the text was {text!r}, in which {sign} is a word wherever it occurs")


@clause("signs")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's late!", ["It", "'", "s", "late", "!"]),
        ("3.14 1,000", ["3", ".", "14", "1", ",", "000"]),
        ("x_1 __init__", ["x", "_", "1", "_", "_", "init", "_", "_"]),
        ('so... "what?!"', ["so", ".", ".", ".", '"', "what", "?", "!", '"']),
    ],
)
def test_signs_have_no_exceptions(text, expected):
    same(split_words(text), expected, f"the text was {text!r}")


@clause("hyphens")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("late--go", ["late", "--", "go"]),
        ("--late -- go--", ["--", "late", "--", "go", "--"]),
        ("a well-known half- and -half", ["a", "well-known", "half-", "and", "-half"]),
        ("a---b", ["a", "--", "-b"]),
        ("----", ["--", "--"]),
    ],
)
def test_two_hyphens_are_a_word_and_one_is_not(text, expected):
    same(split_words(text), expected, f"the text was {text!r}")


@clause("unchanged")
@pytest.mark.parametrize(
    "text",
    [
        "The THE tHe the the",
        "“so” it’s ‘this’ … and – or — «that»",
        "1/2 50% #1 me@home [x] {y} a|b c*d ~e = f+g <b> & \\n `h` $5 ^ §7",
        "道可道， 非常道。 ¿qué ¡no",
        "e\u0301 é ﬁ ½ Å ß",
        "a\u200bb \ufeffc",
        "<|endoftext|> <|unk|>",
    ],
    ids=["capitals", "quotes and dashes", "symbols", "other signs", "look-alikes", "no width", "special words"],
)
def test_every_other_character_stays_as_it_is(text):
    same(split_words(text), text.split(" "), f"the text was {text!r}, in which only spaces separate words")


@clause("unchanged")
@given(TEXTS)
def test_words_are_those_found_letter_by_letter(text):
    same(split_words(text), spelled(text), f"the text was {text!r}")


@clause("unchanged")
def test_nothing_of_a_story_is_lost():
    same(split_words(story()), spelled(story()), "the text was data/story.txt")


@clause("sorted")
def test_the_vocabulary_of_a_line():
    seen = build_vocab(["the", "cat", "sat", ",", "the", "dog", "ran", "--", "far", "."])
    expected = {word: token_id for word, token_id in VOCAB.items() if word not in (END, UNK)}
    because = f"these were the words of {LINE!r}; `the` comes twice and has one id"
    same({word: seen.get(word) for word in expected}, expected, because)


@clause("sorted")
def test_words_are_sorted_by_code_point():
    words = ["b", "é", "aa", "Z", "9", "10", "_", "a", "漢", "--", "z", "B"]
    vocab, expected = build_vocab(words), ["--", "10", "9", "B", "Z", "_", "a", "aa", "b", "z", "é", "漢"]
    same(
        sorted(words, key=lambda word: vocab[word]), expected, f"the words were {words}, and their order is that of ids"
    )


@clause("special")
@pytest.mark.parametrize("words", [[], ["the"], ["the", "zebra", "~", "漢字"]], ids=str)
def test_two_special_words_have_the_last_ids(words):
    seen = build_vocab(words)
    because = f"the words were {words}, and after them come {END} and {UNK}"
    same({word: seen.get(word) for word in (END, UNK)}, {END: len(words), UNK: len(words) + 1}, because)
    same(len(seen), len(words) + 2, because)


@clause("encoded")
def test_a_line_by_hand():
    seen = WordTokenizer(dict(VOCAB)).encode(LINE)
    same(seen, [8, 3, 7, 0, 8, 4, 6, 1, 5, 2], f"the text was {LINE!r}, and the vocab {VOCAB}")


@clause("encoded")
@given(TEXTS)
def test_ids_are_those_of_the_vocab(text):
    vocab = ids_for([*spelled(text), UNK])
    because = f"the text was {text!r}, and the vocab {vocab}"
    same(WordTokenizer(dict(vocab)).encode(text), [vocab[word] for word in spelled(text)], because)


@clause("unknown")
def test_an_unknown_word_becomes_unk():
    tokenizer, because = WordTokenizer(dict(VOCAB)), f"the vocab was {VOCAB}, which has no owl"
    same(
        tokenizer.encode("the owl sat, owl."), [8, 10, 7, 0, 10, 2], f"the text was 'the owl sat, owl.', and {because}"
    )
    same(tokenizer.encode("owl"), [10], f"the text was 'owl', and {because}")


@clause("unknown")
@pytest.mark.parametrize("word", ["The", "CAT", "ca", "cats", "cat-", "-", "?", "漢字"])
def test_a_word_is_known_as_it_is_or_not_at_all(word):
    seen = WordTokenizer(dict(VOCAB)).encode(f"cat {word} the")
    same(seen, [3, 10, 8], f"the text was 'cat {word} the', and {word!r} is not in the vocab {VOCAB}")


@clause("unknown")
def test_the_id_of_unk_is_that_of_the_vocab():
    seen = WordTokenizer(dict(LOOSE)).encode("the owl, cat!")
    same(seen, [40, 0, 1000, 7, 0], f"the text was 'the owl, cat!', and the vocab {LOOSE}")


@clause("joined")
def test_words_stand_a_space_apart():
    tokenizer = WordTokenizer(dict(VOCAB))
    for ids, expected in (
        ([8, 3, 7], "the cat sat"),
        ([8, 9, 10, 3], f"the {END} {UNK} cat"),
        ([3, 3], "cat cat"),
        ([], ""),
    ):
        same(tokenizer.decode(ids), expected, f"the ids were {ids}, and the vocab {VOCAB}")


@clause("joined")
def test_ids_are_looked_up_in_the_vocab():
    same(
        WordTokenizer(dict(LOOSE)).decode([40, 7, 0, -5]),
        f"the cat {UNK} sat",
        f"ids 40, 7, 0, -5, and the vocab {LOOSE}",
    )


@clause("closed")
def test_no_space_before_a_comma():
    seen = WordTokenizer(dict(VOCAB)).decode([8, 3, 7, 0, 8, 4, 6, 1, 5, 2])
    same(seen, "the cat sat, the dog ran -- far.", f"the ids were those of {LINE!r}")


@clause("closed")
@pytest.mark.parametrize("sign", [*SIGNS, "--", "-", "’"])
def test_which_signs_close_up(sign):
    tokenizer, closes = WordTokenizer({"a": 0, sign: 1, "b": 2}), sign in SIGNS and sign != "_"
    gap = "" if closes else " "
    because = f"the words were a, {sign}, b, {sign}, {sign}; the space before {sign} {'goes' if closes else 'stays'}"
    same(tokenizer.decode([0, 1, 2, 1, 1]), f"a{gap}{sign} b{gap}{sign}{gap}{sign}", because)


@clause("closed")
@given(st.lists(st.sampled_from(WORDS), max_size=10))
def test_a_text_closes_up_as_letter_by_letter(words):
    vocab = ids_for(WORDS)
    same(
        WordTokenizer(dict(vocab)).decode([vocab[word] for word in words]), closed_up(words), f"the words were {words}"
    )


@clause("unicode-spaces")
def test_every_white_space_of_unicode_separates_words():
    for letter in filter(str.isspace, map(chr, range(0x3100))):
        because = f"between a and b stands U+{ord(letter):04X}, for which isspace() is true"
        same(split_words(f"{letter}a{letter}b,{letter}"), ["a", "b", ","], because)


@clause("unicode-spaces")
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_split(script):
    same(split_words(SCRIPTS[script]), spelled(SCRIPTS[script]), f"the text was {SCRIPTS[script]!r}")


@clause("special-once")
@pytest.mark.parametrize("among", [[END], [UNK], [UNK, END, UNK]], ids=str)
def test_special_words_among_the_words_have_one_id(among):
    words = ["the", *among, "~", "cat", "the"]
    same(build_vocab(words), {"cat": 0, "the": 1, "~": 2, END: 3, UNK: 4}, f"the words were {words}")


@clause("iterable")
@pytest.mark.parametrize("kind", [tuple, set, iter, dict.fromkeys], ids=lambda kind: kind.__name__)
def test_words_come_from_any_iterable(kind):
    seen = build_vocab(kind(["the", "cat", "sat", "the"]))
    same(seen, {"cat": 0, "sat": 1, "the": 2, END: 3, UNK: 4}, f"the words were the, cat, sat, the, as {kind.__name__}")


@clause("one-string")
@pytest.mark.parametrize("text", ["the cat", "c"])
def test_a_single_string_as_words_is_refused(text):
    with refuses(TypeError, text):
        build_vocab(text)


@clause("copied")
def test_a_later_change_of_the_vocab_changes_nothing():
    vocab = dict(VOCAB)
    tokenizer = WordTokenizer(vocab)
    vocab.clear()
    because = "the caller cleared its vocab after the tokenizer was made"
    same(tokenizer.encode("the cat, far owl"), [8, 3, 0, 5, 10], because)
    same(tokenizer.decode([8, 3, 5, 10]), f"the cat far {UNK}", because)


@clause("copied")
def test_the_vocab_of_the_caller_stays_as_it_was():
    vocab = dict(VOCAB)
    tokenizer = WordTokenizer(vocab)
    tokenizer.decode(tokenizer.encode("the owl"))
    same(vocab, VOCAB, "the caller's vocab was changed while the tokenizer was used")


@clause("no-unknown")
@pytest.mark.parametrize("text", ["owl", "the cat owl"])
def test_without_unk_an_unknown_word_is_refused(text):
    with refuses(ValueError, "owl"):
        WordTokenizer({"the": 0, "cat": 1}).encode(text)


@clause("no-unknown")
def test_without_unk_known_words_have_their_ids():
    same(WordTokenizer({"the": 0, "cat": 1}).encode("the cat"), [0, 1], "both words are in a vocab without <|unk|>")


@clause("unknown-id")
@pytest.mark.parametrize(("vocab", "wrong"), [(VOCAB, 11), (VOCAB, -1), (LOOSE, 6)])
def test_an_id_without_a_word_is_refused(vocab, wrong):
    with refuses(ValueError, wrong):
        WordTokenizer(dict(vocab)).decode([*vocab.values(), wrong])


@clause("repeated-id")
@pytest.mark.parametrize("vocab", [{"cat": 77, "dog": 77}, {"cat": 77, "the": 1, "dog": 77, UNK: 2}], ids=str)
def test_two_words_with_one_id_are_refused(vocab):
    with refuses(ValueError, 77):
        WordTokenizer(vocab)
