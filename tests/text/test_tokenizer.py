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

PARTS = ["a", "the", "Cat", "-", "--", "---", " ", "  ", "\n", "\t", "\x1c", "\u00a0", "\u200b", *SIGNS]
PARTS += ["’", "“", "。", "漢字", "é", "e\u0301", "👍🏽", "1", "/", "<|", END, UNK]
TEXTS = st.text("ab- _.,'\n", max_size=16) | st.lists(st.sampled_from(PARTS), max_size=16).map("".join) | st.text()
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


def dealt_ids(words):
    """A vocab of these words: ids with gaps, in an order of their own."""
    return {word: 7 * (place * 5 % 101) for place, word in enumerate(dict.fromkeys(words))}


def made(vocab):
    """A tokenizer with a copy of this vocab; a vocab that is refused is a failure."""
    try:
        return WordTokenizer(dict(vocab))
    except (KeyError, TypeError, ValueError) as error:
        pytest.fail(f"the vocab {vocab} was not accepted: {type(error).__name__}: {error}")


def decoded(tokenizer, ids):
    """What decode makes of ids that are all in vocab."""
    try:
        return tokenizer.decode(ids)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        pytest.fail(f"decode ended in {type(error).__name__}, though every id is in vocab: {error}")


def encoded(tokenizer, text):
    """What encode makes of a text whose words all have an id, their own or that of <|unk|>."""
    try:
        return tokenizer.encode(text)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        pytest.fail(f"encode of {text!r} ended in {type(error).__name__}: {error}")


def probe(kata):
    """Small cases on which the known mistakes differ."""

    def tried(call, *named):
        """What came, or which error, and whether it names what it should."""
        try:
            return call()
        except Exception as error:
            return type(error).__name__, [str(value) in str(error) for value in named]

    def built(words, *named):
        return tried(lambda: list(kata.build_vocab(words).items()), *named)

    def used_up():
        words = ["b", "a", UNK, "b", "c"]
        return built(words), words, built(word for word in words), built(dict.fromkeys(words))

    def coded(vocab, *texts):
        def each():
            tokenizer = kata.WordTokenizer(dict(vocab))
            return [tried(lambda text=text: tokenizer.encode(text), *text.split()) for text in texts]

        return tried(each)

    def told(vocab, *many):
        def each():
            tokenizer = kata.WordTokenizer(dict(vocab))
            return [tried(lambda ids=ids: tokenizer.decode(ids), *ids) for ids in many]

        return tried(each)

    def split_no_text():
        return [tried(lambda x=x: kata.split_words(x), type(x).__name__, x) for x in (7, None, b"low", [])]

    def encode_no_text():
        tokenizer = kata.WordTokenizer(dict(LOOSE))
        return [tried(lambda x=x: tokenizer.encode(x), type(x).__name__, x) for x in (7, None, ["the"], b"")]

    def owned():
        vocab = dict(LOOSE)
        tokenizer, other = kata.WordTokenizer(vocab), kata.WordTokenizer({"cat": 1, UNK: 2})
        before = tokenizer.encode("the cat ate"), vocab == LOOSE, other.encode("cat the"), other.decode([1, 2])
        vocab["ate"], vocab["cat"] = 11, 12
        after = tried(lambda: tokenizer.encode("the cat ate")), tried(lambda: tokenizer.decode([7])), len(vocab)
        vocab.clear()
        return before, after, tried(lambda: tokenizer.encode("cat ate")), tried(lambda: tokenizer.decode([40]))

    def both():
        one, other = kata.WordTokenizer(dict(LOOSE)), kata.WordTokenizer({"cat": 1, UNK: 2})
        return tried(lambda: one.encode("the cat")), tried(lambda: one.decode([7, 40])), other.encode("the cat")

    def owned_without_unk():
        vocab = dict(bare)
        tokenizer = kata.WordTokenizer(vocab)
        before = tokenizer.encode("the"), tried(lambda: tokenizer.encode("owl"), "owl"), dict(vocab)
        vocab.clear()
        return before, tried(lambda: tokenizer.encode("the")), tried(lambda: tokenizer.decode([0]))

    def grown():
        tokenizer = kata.WordTokenizer(dict(LOOSE))
        return tokenizer.encode("new cat new"), tried(lambda: tokenizer.decode([1001]), 1001)

    beside = "The -cat ｃat <|ENDOFTEXT|> sat,the"
    bare = {"the": 0, "cat": 1, ".": 2}
    spaced = {"New York ": 0, " .": 1, "a ,b": 2, "_": 3, "c": 4, "\t": 5, "!": 6}
    sevens = {word: 7 * number for number, word in enumerate([*WORDS, "’"])}
    parts = {
        "line": LINE,
        "mixed": "Stop! The “cats” -- (all 3.5 of them) -- don't; they_ran: 'why?'",
        "clusters": 'so... "What?!" a---b ---- c-- -- -d - (x) a-b',
        "hyphens": "a-b c--d ’e ---f",
        "white": " \n a\tb\r\n c\x0bd\x1ce\x85f\u00a0g\u2003h\u3000i ",
        "no width": "j’\u200bk l",
        "rest": "Well-known “THE the the” it’s 1/2 …#x @y <b>[z]{}* e\u0301 \u00e9 ﬁ 。漢字、 %&+=|~^`$\\",
        "markers": f"the far.{END}Next {END} cat far{END} {END}. {UNK} <|ENDOFTEXT|> cat",
        "end": "the cat",
        "numbers": "3.14 1,000 12:30 x_1 n't 'tis dogs'",
        "nothing": "",
        "a space": " ",
        "lone": "a",
    }
    found = {f"words of {name}": lambda text=text: kata.split_words(text) for name, text in parts.items()}
    return found | {
        "no text": split_no_text,
        "no text to encode": encode_no_text,
        "no text at all": lambda: (split_no_text(), encode_no_text()),
        "vocab": lambda: built(["the", "cat", "the", "B", "b", "é", "10", "9", ",", "aa", "B"]),
        "vocab of far letters": lambda: built(["\U0001d518", "\ufb01", "z"]),
        "vocab of nothing": lambda: [built([]), built(["a"])],
        "vocab with specials": lambda: built(["the", UNK, "~", END, "the", UNK]),
        "vocab with one special": lambda: [built(["the", END, "~"]), built(["the", UNK, "~"])],
        "vocab sources": used_up,
        "vocab of a text": lambda: [built(text, repr(text)) for text in ("tea", "", "t")],
        "vocab of no words": lambda: [
            built(words, type(word).__name__, word)
            for word in (7, None, b"cat", ["cat"])
            for words in (["the", word, "a"], [word])
        ],
        "ids": lambda: coded(VOCAB, LINE, "the dog--"),
        "ids beside words": lambda: (kata.split_words(beside), coded(VOCAB, beside)),
        "loose ids": lambda: coded(LOOSE, "the cat,sat the"),
        "unknown": lambda: coded(VOCAB, "the owl sat, owl", "The CAT", "sa", "catdog", "cat- -the", "ｃat"),
        "unknown in loose ids": lambda: coded(LOOSE, "the owl, the", "The"),
        "markers": lambda: [coded(vocab, parts["markers"]) for vocab in (VOCAB, LOOSE)],
        "no markers": lambda: coded({"the": 0, UNK: 5}, f"the {END} the"),
        "text": lambda: told(VOCAB, [8, 3, 0, 8, 4, 1, 5, 2], [], [9, 8, 10, 2], (3, 3)),
        "loose text": lambda: told(LOOSE, [40, 7, 1000, 0, 3, -5]),
        "once": lambda: tried(lambda: kata.WordTokenizer(dict(LOOSE)).decode(i for i in [40, 7])),
        "closed": lambda: told(sevens, *([0, token_id, 7] for token_id in sevens.values())),
        "closed twice": lambda: told(sevens, [7 * n for n in (0, 6, 7, 12, 13, 14, 15, 0, 10, 0)], [42, 42, 77, 77]),
        "spaced": lambda: told(spaced, [0, 1, 4], [4, 2], [4, 5, 6], [1, 4], [0, 3, 5], [5, 4]),
        "without unk": lambda: coded(bare, "the cat.", "the owl.", "the"),
        "no id": lambda: told(LOOSE, [40, 8], [-1], [1], [5], [2, 40], [-6]),
        "no id in order": lambda: told(VOCAB, [11], [-1], [8, 99], [-11]),
        "two with one id": lambda: [
            tried(lambda v=v: (str(type(kata.WordTokenizer(v))), told(v, [77], [0])), "cat", "dog", 77)
            for v in ({"cat": 77, "dog": 77}, {"cat": 77, "the": 3, "dog": 77, UNK: 4})
        ],
        "own": owned,
        "two tokenizers": both,
        "own without unk": owned_without_unk,
        "grown": grown,
    }


@clause("example")
def test_a_sentence_by_hand():
    same(split_words("It's late--go!"), ["It", "'", "s", "late", "--", "go", "!"], 'the text was "It\'s late--go!"')
    seen = split_words("so it ends")
    same(seen, ["so", "it", "ends"], 'the text was "so it ends": its last word has nothing behind it')


@clause("white")
def test_white_space_is_dropped():
    seen = split_words("  the\tcat \r\n\n sat ")
    same(seen, ["the", "cat", "sat"], "the text was '  the\\tcat \\r\\n\\n sat ', and only three words are in it")


@clause("white")
def test_every_white_space_ends_a_word():
    for letter in filter(str.isspace, map(chr, range(0x3100))):
        because = f"between a and b stands U+{ord(letter):04X}, of which isspace() is true"
        same(split_words(f"{letter}a{letter}b,{letter}"), ["a", "b", ","], because)


@clause("white")
@pytest.mark.parametrize("letter", ["\u200b", "\u2060", "\ufeff", "\u00ad", "\x00", "\x1b", "\u180e"], ids=ascii)
def test_what_is_no_white_space_is_kept(letter):
    text = f"{letter}a{letter}b {letter} c{letter}"
    because = f"U+{ord(letter):04X} is seen as nothing, or as a gap, but isspace() is false: it is a part of its word"
    same(split_words(text), [f"{letter}a{letter}b", letter, f"c{letter}"], because)


@clause("white")
@pytest.mark.parametrize("text", ["", " ", "\n\n", " \t\u00a0\u3000"], ids=ascii)
def test_a_text_without_words_has_none(text):
    same(split_words(text), [], f"there is no word in {text!r}")
    same(split_words(f"{text}a{text}"), ["a"], f"an a stands between {text!r} and {text!r}")


@clause("signs")
@pytest.mark.parametrize("sign", SIGNS)
def test_a_sign_is_a_word_of_its_own(sign):
    text = f"{sign}a{sign} b{sign}c {sign} {sign}{sign}"
    because = f"the text was {text!r}: {sign} is a word wherever it stands, also between two letters"
    same(split_words(text), [sign, "a", sign, "b", sign, "c", sign, sign, sign], because)


@clause("signs")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.14 1,000 12:30", ["3", ".", "14", "1", ",", "000", "12", ":", "30"]),
        ("don't 'tis dogs'", ["don", "'", "t", "'", "tis", "dogs", "'"]),
        ("x_1 __init__", ["x", "_", "1", "_", "_", "init", "_", "_"]),
        ('so... "what?!"', ["so", ".", ".", ".", '"', "what", "?", "!", '"']),
        ("(f(x));", ["(", "f", "(", "x", ")", ")", ";"]),
    ],
)
def test_signs_have_no_exceptions(text, expected):
    same(split_words(text), expected, f"the text was {text!r}: a sign stands alone, in numbers, names and rows too")


@clause("hyphens")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("late--go", ["late", "--", "go"]),
        ("late -- go", ["late", "--", "go"]),
        ("--late--", ["--", "late", "--"]),
        ("a---b", ["a", "--", "-b"]),
        ("a----b", ["a", "--", "--", "b"]),
        ("-----", ["--", "--", "-"]),
        ("'--,", ["'", "--", ","]),
        ("- - -- - -", ["-", "-", "--", "-", "-"]),
        ("a- -b -- -c-", ["a-", "-b", "--", "-c-"]),
    ],
)
def test_two_hyphens_are_a_word(text, expected):
    because = f"the text was {text!r}: hyphens are taken two by two from the left, and one that is left over is no sign"
    same(split_words(text), expected, because)


@clause("hyphens")
def test_ten_thousand_hyphens():
    same(split_words("-" * 10_001), ["--"] * 5_000 + ["-"], "the text was 10 001 hyphens")


@clause("rest")
@pytest.mark.parametrize(
    "text",
    [
        "a well-known state-of-the-art half- and -half",
        "“so” it’s ‘this’ … and – or — «that»",
        "1/2 50% #1 me@home [x] {y} a|b c*d ~e = f+g <b> & \\n `h` $5 ^ §7",
        "The the THE tHe the the",
        "道可道， 非常道。 吾輩は猫である、 ¿qué ¡no ！？ ；：",
        "e\u0301 é ﬁ ½ Å \u212b ß ẞ",
        "<|endoftext|> <|unk|> <|end|>of",
    ],
    ids=["hyphens", "quotes and dashes", "symbols", "case", "other points", "look-alikes", "markers"],
)
def test_every_other_character_stays_as_it_is(text):
    because = f"the text was {text!r}: it has none of the signs, so its words are what stands between the spaces"
    same(split_words(text), text.split(" "), because)


@clause("rest")
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_can_be_split(script):
    same(split_words(SCRIPTS[script]), spelled(SCRIPTS[script]), f"the text was {SCRIPTS[script]!r}")


@clause("rest")
@given(TEXTS)
def test_words_are_those_found_letter_by_letter(text):
    same(
        split_words(text), spelled(text), f"the text was {text!r}; going through it letter by letter gives other words"
    )


@clause("rest")
def test_nothing_of_a_story_is_lost():
    seen = split_words(story())
    same("".join(seen), "".join(story().split()), "the words of data/story.txt, put together, are not its letters")
    same(seen, spelled(story()), "data/story.txt was split; going through it letter by letter gives other words")


@clause("no-text")
@pytest.mark.parametrize("text", [b"low", b"", 7, None, ["low"], []], ids=repr)
def test_a_text_that_is_no_string_is_refused(text):
    with refuses(TypeError, type(text).__name__, repr(text)):
        split_words(text)
    same(split_words("low"), ["low"], "a text of one word was split after the refusal")


@clause("no-text")
@pytest.mark.parametrize("text", [b"the", 7, None, ["the"], []], ids=repr)
def test_encode_refuses_what_is_no_string(text):
    tokenizer = made(VOCAB)
    with refuses(TypeError, type(text).__name__, repr(text)):
        tokenizer.encode(text)


@clause("sorted")
def test_the_vocabulary_of_a_line():
    seen = build_vocab(["the", "cat", "sat", ",", "the", "dog", "ran", "--", "far", "."])
    same(seen, VOCAB, f"these were the words of {LINE!r}, sorted and numbered from 0; the comes twice and counts once")


@clause("sorted")
def test_words_are_sorted_by_code_point():
    words = ["b", "é", "aa", "Z", "9", "10", "_", "a", "漢", "--", "z", "B", "\U0001d518", "\ufb01", "e\u0301"]
    expected = ["--", "10", "9", "B", "Z", "_", "a", "aa", "b", "e\u0301", "z", "é", "漢", "\ufb01", "\U0001d518"]
    vocab = build_vocab(words)
    by_id = sorted(vocab, key=lambda word: vocab[word])
    same(by_id[:-2], expected, f"the words were {words}: capitals before small letters, letters with accents after z")


@clause("sorted")
@given(st.lists(st.text("abAé,-漢", min_size=1, max_size=3), max_size=10))
def test_an_id_is_the_number_of_smaller_words(words):
    expected = {word: sum(other < word for other in set(words)) for word in words}
    seen = build_vocab(words)
    same({word: seen.get(word) for word in words}, expected, f"the words were {words}")
    same(len(seen), len(expected) + 2, f"the words were {words}; besides them there are two special ones")


@clause("sorted")
def test_the_dict_is_in_the_order_of_the_ids():
    seen = build_vocab(["the", "owl", "ate"])
    same(list(seen.values()), [0, 1, 2, 3, 4], f"the dict came as {seen}: it holds its words in the order of their ids")


@clause("specials")
@pytest.mark.parametrize("words", [[], ["the"], ["the", "zebra", "~", "漢字"]], ids=str)
def test_two_special_words_have_the_last_ids(words):
    seen = build_vocab(words)
    because = f"the words were {words}; {END} comes after them, and {UNK} after it"
    same({word: seen.get(word) for word in (END, UNK)}, {END: len(words), UNK: len(words) + 1}, because)
    same(len(seen), len(words) + 2, because)


@clause("specials")
@pytest.mark.parametrize("among", [[END], [UNK], [UNK, END], [END, UNK, END, UNK]], ids=str)
def test_special_words_among_the_words_are_there_once(among):
    words = ["the", *among, "~", "cat", "the"]
    because = f"the words were {words}: what is special comes last, once, and leaves no gap where it would be sorted"
    same(build_vocab(words), {"cat": 0, "the": 1, "~": 2, END: 3, UNK: 4}, because)


@clause("iterable")
@pytest.mark.parametrize("kind", [list, tuple, set, iter, dict.fromkeys], ids=lambda kind: kind.__name__)
def test_words_may_come_from_anything(kind):
    try:
        seen = build_vocab(kind(["the", "cat", "sat", "the"]))
    except (AttributeError, TypeError) as error:
        pytest.fail(f"the, cat, sat, the, as {kind.__name__}, ended in {type(error).__name__}: {error}")
    because = f"the words were the, cat, sat, the, as {kind.__name__}; what can be read once is empty the second time"
    same(seen, {"cat": 0, "sat": 1, "the": 2, END: 3, UNK: 4}, because)


@clause("iterable")
def test_the_words_are_left_alone():
    words = ["the", "cat", "the", UNK]
    seen = build_vocab(words)
    same(words, ["the", "cat", "the", UNK], "the list of words is another after the call: it was changed in place")
    assert "cat" in seen, f"the list stayed as it was, but cat is not in its vocabulary {seen}"
    first = dict(seen)
    seen["owl"] = 9
    same(build_vocab(words), first, "the same words gave another vocabulary the second time")


@clause("one-string")
@pytest.mark.parametrize("text", ["the cat", "cat", "c"])
def test_a_single_string_as_words_is_refused(text):
    with refuses(TypeError, text):
        build_vocab(text)
    assert build_vocab([text]), f"a list with the one word {text!r} gave an empty vocabulary"


@clause("one-string")
def test_an_empty_text_is_a_single_string_too():
    with refuses(TypeError, "''"):
        build_vocab("")


@clause("no-word")
@pytest.mark.parametrize("word", [7, None, b"cat", ["cat"], 0], ids=repr)
def test_a_word_that_is_no_string_is_refused(word):
    for words in (["the", word, "sat"], [word], [word, word]):
        with refuses(TypeError, type(word).__name__, repr(word)):
            build_vocab(words)


@clause("known")
def test_a_line_by_hand():
    because = f"the text was {LINE!r}, and the vocab {VOCAB}"
    same(encoded(made(VOCAB), LINE), [8, 3, 7, 0, 8, 4, 6, 1, 5, 2], because)


@clause("known")
def test_ids_are_those_of_the_vocab():
    because = f"the text was 'the cat, the\\nsat', and the vocab {LOOSE}: an id is what vocab says, and 0 is an id too"
    same(encoded(made(LOOSE), "the cat, the\nsat"), [40, 7, 1000, 40, -5], because)
    same(encoded(made({"a": 5, "b": 0}), "b a b"), [0, 5, 0], "the vocab was {'a': 5, 'b': 0}")


@clause("known")
@given(TEXTS)
def test_every_word_is_looked_up(text):
    vocab = dealt_ids(spelled(text))
    because = f"the text was {text!r}, and the vocab {vocab}: it holds every word of the text"
    same(encoded(made(vocab), text), [vocab[word] for word in spelled(text)], because)


@clause("joined")
def test_words_stand_a_space_apart():
    tokenizer = made(VOCAB)
    same(decoded(tokenizer, [8, 3, 7]), "the cat sat", f"ids 8, 3, 7, and the vocab {VOCAB}")
    same(decoded(tokenizer, [8, 9, 10, 3]), f"the {END} {UNK} cat", "ids 8, 9, 10, 3: 9 and 10 are words as well")
    same(decoded(tokenizer, [3, 3]), "cat cat", "id 3 came twice")
    same(decoded(tokenizer, []), "", "there were no ids")


@clause("joined")
def test_ids_are_looked_up_by_what_the_vocab_says():
    because = f"ids 40, 7, 0, -5, and the vocab {LOOSE}: an id is no place in the dict, nor in a list"
    same(decoded(made(LOOSE), [40, 7, 0, -5]), f"the cat {UNK} sat", because)


@clause("joined")
@pytest.mark.parametrize("kind", [tuple, iter, range], ids=lambda kind: kind.__name__)
def test_ids_may_come_from_anything(kind):
    ids = range(3, 6) if kind is range else kind([3, 4, 5])
    seen = decoded(made(VOCAB), ids)
    same(seen, "cat dog far", f"the ids were 3, 4, 5, as {kind.__name__}; some things can be read only once")


@clause("closed")
def test_no_space_before_a_comma():
    seen = decoded(made(VOCAB), [8, 3, 7, 0, 8, 4, 6, 1, 5, 2])
    same(seen, "the cat sat, the dog ran -- far.", f"the ids were those of {LINE!r}")


@clause("closed")
@pytest.mark.parametrize("sign", [*SIGNS, "--", "-", "’"])
def test_which_signs_close_up(sign):
    tokenizer, closes = made({"a": 0, sign: 1, "b": 2, f"{sign}x": 3}), sign in SIGNS and sign != "_"
    gap, where = ("", "goes") if closes else (" ", "stays")
    because = (
        f"the words were {['a', sign, 'b', sign, sign, sign + 'x']}: the space before {sign} {where}, after it it stays"
    )
    same(decoded(tokenizer, [0, 1, 2, 1, 1, 3]), f"a{gap}{sign} b{gap}{sign}{gap}{sign}{gap}{sign}x", because)


@clause("closed")
def test_all_white_space_before_a_sign_goes():
    words = {"New York ": 0, ".": 1, " !": 2, "a \t\n, b": 3, "\u00a0": 4, "c ": 5, "_": 6}
    tokenizer = made(words)
    because = f"the vocab was {words}: the words are joined, and then white space goes wherever a sign follows it"
    same(decoded(tokenizer, [0, 1, 3, 2]), "New York. a, b!", f"ids 0, 1, 3, 2; {because}")
    same(decoded(tokenizer, [2, 4, 1]), "!.", f"ids 2, 4, 1; {because}")
    same(decoded(tokenizer, [5, 6, 4, 5]), "c  _ \u00a0 c ", f"ids 5, 6, 4, 5; {because}; here none follows")


@clause("closed")
@given(st.lists(st.sampled_from(WORDS), max_size=10))
def test_a_text_closes_up_as_letter_by_letter(words):
    vocab = dealt_ids(WORDS)
    seen = decoded(made(vocab), [vocab[word] for word in words])
    same(seen, closed_up(words), f"the words were {words}; going through them letter by letter gives another text")


@clause("unknown")
def test_an_unknown_word_becomes_unk():
    tokenizer, because = made(VOCAB), f"the vocab was {VOCAB}, which has no owl"
    same(encoded(tokenizer, "the owl sat, owl."), [8, 10, 7, 0, 10, 2], f"'the owl sat, owl.', and {because}")
    same(encoded(tokenizer, "owl"), [10], f"'owl' alone, and {because}")
    same(encoded(tokenizer, "the owl sat"), [8, 10, 7], f"'the owl sat', after two other texts, and {because}")


@clause("unknown")
@pytest.mark.parametrize("word", ["The", "CAT", "ca", "cats", "catdog", "cat-", "sat’s", "-", "?", "漢字", "8", "ｃat"])
def test_a_word_is_known_as_it_is_or_not_at_all(word):
    seen = encoded(made(VOCAB), f"cat {word} the")
    same(seen, [3, 10, 8], f"{word!r} is not in the vocab {VOCAB}, however near it comes")


@clause("unknown")
def test_the_id_of_unk_is_that_of_the_vocab():
    seen = encoded(made(LOOSE), "the owl, cat!")
    same(
        seen, [40, 0, 1000, 7, 0], f"'the owl, cat!', and the vocab {LOOSE}: {UNK} has the id 0 and stands where it is"
    )


@clause("marker")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"the cat. {END} the dog", [8, 3, 2, 9, 8, 4]),
        (END, [9]),
        (f"{END}\n{END}", [9, 9]),
        (f"cat,{END}.the", [3, 0, 9, 2, 8]),
        (f"far--{END}--far", [5, 1, 9, 1, 5]),
        (f"the {UNK} sat", [8, 10, 7]),
        (f"far.{END}the dog", [5, 2, 10, 4]),
        (f"far{END} dog", [10, 4]),
        (f"{END}{END}", [10]),
        ("<|ENDOFTEXT|> <| endoftext |>", [10, 10, 10, 10]),
    ],
)
def test_a_marker_is_a_word_like_any_other(text, expected):
    because = f"the text was {text!r}, and the vocab {VOCAB}: a marker is found where split_words leaves it as a word"
    same(encoded(made(VOCAB), text), expected, because)


@clause("marker")
def test_a_vocab_need_not_have_a_marker():
    seen = encoded(made({"the": 1, UNK: 2}), f"the {END} the")
    same(seen, [1, 2, 1], f"{END} is not in this vocab, so it is an unknown word")


@clause("again")
@given(TEXTS, st.sets(st.sampled_from(["a", "the", "Cat", "--", "-", "é", *SIGNS, END])))
def test_what_comes_back_is_read_as_the_same_ids(text, known):
    vocab = dealt_ids([*sorted(known), UNK])
    tokenizer = made(vocab)
    ids = encoded(tokenizer, text)
    same(ids, [vocab.get(word, vocab[UNK]) for word in spelled(text)], f"{text!r} was encoded with the vocab {vocab}")
    back = decoded(tokenizer, ids)
    same(encoded(tokenizer, back), ids, f"{text!r} became {ids}, these became {back!r}, and it has other ids")


@clause("again")
@pytest.mark.parametrize("text", ["- --", "-- -", "a - -- b", "a _ _ --- b", "' ' -- ,", "---"])
def test_signs_do_not_grow_together(text):
    vocab = dealt_ids(["a", "b", "-", "--", "_", "'", ","])
    tokenizer = made(vocab)
    ids = encoded(tokenizer, text)
    same(ids, [vocab[word] for word in spelled(text)], f"{text!r} was encoded with the vocab {vocab}")
    back = decoded(tokenizer, ids)
    same(encoded(tokenizer, back), ids, f"{text!r} became {ids}, these became {back!r}, and it has other ids")


@clause("own")
def test_a_later_change_of_the_vocab_changes_nothing():
    vocab = dict(VOCAB)
    tokenizer = WordTokenizer(vocab)
    vocab["cat"], vocab["owl"] = 90, 91
    del vocab["far"]
    because = "the caller changed the vocab after the tokenizer was made, and the tokenizer follows"
    same(encoded(tokenizer, "the cat, far owl"), [8, 3, 0, 5, 10], because)
    vocab.clear()
    same(encoded(tokenizer, "the cat, far owl"), [8, 3, 0, 5, 10], because)
    same(decoded(tokenizer, [8, 3, 5, 10]), f"the cat far {UNK}", because)


@clause("own")
def test_the_vocab_of_the_caller_stays_as_it_was():
    for vocab in (VOCAB, {"the": 3, "cat": 1}):
        given_vocab = dict(vocab)
        tokenizer = WordTokenizer(given_vocab)
        seen = encoded(tokenizer, "the cat"), decoded(tokenizer, [vocab["the"]])
        if UNK in vocab:
            encoded(tokenizer, "owl")
        same(list(given_vocab.items()), list(vocab.items()), "the caller's vocab is another after it was used")
        same(seen, ([vocab["the"], vocab["cat"]], "the"), "the vocab was left alone, but its words were taken wrongly")


@clause("own")
def test_two_tokenizers_have_two_vocabularies():
    one, other = made(VOCAB), made({"cat": 1, UNK: 0})
    because = "another tokenizer was made after the first one, and the first one knows its words"
    same(encoded(one, "the cat owl"), [8, 3, 10], because)
    same(decoded(one, [8, 3, 0]), "the cat,", because)
    same(encoded(other, "the cat"), [0, 1], "the vocab of the second tokenizer is {'cat': 1, '<|unk|>': 0}")


@clause("no-unk")
@pytest.mark.parametrize("vocab", [{"the": 0, "cat": 1, ".": 2}, {"the": 7, "cat": 9, ".": 8, END: 10}], ids=str)
def test_without_unk_an_unknown_word_is_refused(vocab):
    tokenizer = made(vocab)
    for text in ("owl", "the owl.", "the cat. owl"):
        with refuses(ValueError, "owl"):
            tokenizer.encode(text)
    because = f"every word is in the vocab {vocab}, which has no {UNK} and needs none here"
    same(encoded(tokenizer, "the cat."), [vocab["the"], vocab["cat"], vocab["."]], because)


@clause("no-unk")
def test_unk_itself_is_unknown_then():
    tokenizer = made({"the": 0})
    with refuses(ValueError, UNK):
        tokenizer.encode(f"the {UNK}")


@clause("no-id")
@pytest.mark.parametrize(
    ("vocab", "wrong"),
    [(VOCAB, 11), (VOCAB, -1), (VOCAB, -11), (VOCAB, 50_256), (LOOSE, 6), (LOOSE, 4), (LOOSE, -1), ({}, 0)],
    ids=["one too many", "-1", "-11", "of GPT-2", "a gap", "another gap", "-1 in loose ids", "an empty vocab"],
)
def test_an_id_without_a_word_is_refused(vocab, wrong):
    tokenizer = made(vocab)
    for ids in ([wrong], [*vocab.values(), wrong]):
        with refuses(ValueError, wrong):
            tokenizer.decode(ids)


@clause("twice")
@pytest.mark.parametrize(
    "vocab",
    [{"cat": 77, "dog": 77}, {"cat": 77, "the": 1, "dog": 77, UNK: 2}, {"the": 0, UNK: 1, "dog": 77, "cat": 77}],
    ids=["alone", "apart", "last"],
)
def test_two_words_with_one_id_are_refused(vocab):
    with refuses(ValueError, "cat", "dog", 77):
        WordTokenizer(dict(vocab))
    made({**vocab, "dog": 78})
