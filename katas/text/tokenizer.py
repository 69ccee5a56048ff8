"""Kata: a tokenizer of words. The why, a figure and hints: docs/text/tokenizer.md."""

from collections.abc import Iterable, Mapping


def split_words(text: str) -> list[str]:
    """Split a text into words. A sign is a word too: "It's late--go!" is It, ', s, late, --, go, !.

    Clauses:
        white-space  White space separates words and is dropped. No word is empty.
        signs        Each of the eleven characters , . : ; ? _ ! " ( ) ' is a word of its own, wherever it occurs.
        hyphens      Two hyphens side by side are a word of their own. A single hyphen stays in its word.
        unchanged    All other characters stay as they are, capitals and accents too.

    Further clauses:
        unicode-spaces  White space is every character for which str.isspace() is true, such as the no-break space.

    Not allowed: tiktoken, tokenizers, sentencepiece, transformers, nltk, spacy.
    Source: book section 2.2.
    """
    raise NotImplementedError


def build_vocab(words: Iterable[str]) -> dict[str, int]:
    """Number the distinct words of a text, and add two special words.

    "<|endoftext|>" separates two texts, and "<|unk|>" stands for every unknown word.

    Clauses:
        sorted   The distinct words have the ids 0, 1, 2, ... in the order of sorted().
        special  After them, "<|endoftext|>" and "<|unk|>" have the last two ids, in this order.

    Further clauses:
        special-once  A special word that is among words has one id, one of the last two.
        iterable      words may be any iterable of str, also one that can be read only once.
        one-string    A single str as words raises a TypeError that names it.

    Source: book sections 2.3 and 2.4.
    """
    raise NotImplementedError


class WordTokenizer:
    """Turn a text into the ids of its words, and ids into a text.

    `vocab` maps each word to its id. The ids may be any int.

    Clauses:
        encoded  encode gives the id in vocab of each word that split_words finds, in their order.
        unknown  A word that is not in vocab becomes the id of "<|unk|>".
        joined   decode puts one space between the words of its ids.
        closed   decode removes the white space before each of , . : ; ? ! " ( ) ' and no other.

    Further clauses:
        copied       The tokenizer keeps a copy of vocab.
        no-unknown   Without "<|unk|>" in vocab, an unknown word raises a ValueError that names it.
        unknown-id   decode raises a ValueError that names an id that is not in vocab.
        repeated-id  A vocab in which two words have one id raises a ValueError that names the id.

    Source: book sections 2.3 and 2.4.
    """

    def __init__(self, vocab: Mapping[str, int]) -> None:
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        raise NotImplementedError
