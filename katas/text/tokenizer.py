"""Kata: a tokenizer of words. The why, a figure and hints: docs/text/tokenizer.md."""

from collections.abc import Iterable, Mapping


def split_words(text: str) -> list[str]:
    """Cut a text into its words, in their order; a sign is a word too.

    Clauses:
        example  "It's late--go!" becomes ["It", "'", "s", "late", "--", "go", "!"].
        white    White space, every character for which str.isspace() is true, ends a word and is dropped; no word is
                 empty, and a text of white space alone has none.
        signs    Each of the eleven characters , . : ; ? _ ! " ( ) ' is a word of its own, wherever it stands.
        hyphens  Two hyphens side by side are a word of their own, taken from left to right: a---b becomes a, --, -b.
        rest     What lies between these is one word, every character in it left as it is, a single hyphen too.
        no-text  A text that is no str raises a TypeError that names its type and value, in encode too.

    Not allowed: tiktoken, tokenizers, sentencepiece, transformers, nltk, spacy.
    Source: book section 2.2.
    """
    raise NotImplementedError


def build_vocab(words: Iterable[str]) -> dict[str, int]:
    """Number the distinct words of a text, and make room for two that stand for something else.

    "<|endoftext|>" marks the border between two texts, "<|unk|>" takes the place of every unknown word.

    Clauses:
        sorted      The distinct words have the ids 0, 1, 2, ... in the order in which sorted() puts them, by code
                    point, and the dict holds them in this order.
        specials    After them come "<|endoftext|>" and then "<|unk|>", with the last two ids, each there once, whether
                    or not they are among words.
        iterable    words is any iterable of str, also one that can be read only once, and is not changed.
        one-string  A single str as words raises a TypeError that names it.
        no-word     A word that is no str raises a TypeError that names its type and value.

    Source: book sections 2.3 and 2.4.
    """
    raise NotImplementedError


class WordTokenizer:
    """Turn a text into the ids of its words, and ids into a text.

    `vocab` maps each word to its id; ids are any int, in any order, with or without gaps.

    Clauses:
        known    encode gives the id of each word that split_words finds, in their order.
        joined   decode takes any iterable of ids, and puts one space between each two of their words.
        closed   From the joined text all white space right before one of , . : ; ? ! " ( ) ' is removed, and nothing
                 else: not what stands before _ or --, and not what stands after a sign.
        unknown  A word that is not in vocab becomes the id of "<|unk|>".
        marker   "<|endoftext|>" and "<|unk|>" are found as words, like any other: in end.<|endoftext|>Next, where
                 split_words finds the word <|endoftext|>Next, the marker is not.
        again    encode gives the same ids for a text and for what decode makes of its ids.
        own      The tokenizer keeps a copy of vocab: it changes nothing in the caller's, nor does a later change there
                 reach it.
        no-unk   Where vocab has no "<|unk|>", an unknown word makes encode raise a ValueError that names it.
        no-id    An id that is not in vocab makes decode raise a ValueError that names it.
        twice    A vocab with one id for two words is refused with a ValueError that names the id and both words.

    Source: book sections 2.3 and 2.4.
    """

    def __init__(self, vocab: Mapping[str, int]) -> None:
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        raise NotImplementedError
