"""Kata: training a byte-pair encoding. The why, a figure and hints: docs/text/bpe_training.md."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import regex

# GPT-2's pattern, for the regex package: a contraction; a run of letters, of digits or of other signs, with the space
# before it; or white space, the last of which before a word belongs to that word.
SPLIT_PATTERN = (
    r"'s|'t|'re|'ve|'m|'ll|'d"
    r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)


def pair_counts(words: Mapping[tuple[int, ...], int]) -> dict[tuple[int, int], int]:
    """Count how often each pair of neighbouring ids occurs in a text.

    `words` maps each distinct piece of the text, as a tuple of ids, to how often the piece occurs.

    Clauses:
        neighbours  Two ids side by side in a piece are a pair: 1, 2, 3 has (1, 2) and (2, 3), and 1, 1, 1 has (1, 1)
                    twice.
        weighted    The pairs of a piece that occurs n times count n times.
    """
    counts: Counter[tuple[int, int]] = Counter()
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] += times
    return counts


def merge_pair(ids: Sequence[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """Replace a pair of neighbouring ids by one new id, wherever it occurs in a piece.

    Clauses:
        replaced  Every occurrence of the pair becomes new_id. All other ids stay, in their order.
        leftmost  Occurrences are found from the left and do not overlap: with the pair (1, 1), 1, 1, 1 becomes
                  new_id, 1.
    """
    merged: list[int] = []
    at = 0
    while at < len(ids):
        if tuple(ids[at : at + 2]) == pair:
            merged.append(new_id)
            at += 2
        else:
            merged.append(ids[at])
            at += 1
    return merged


def train_bpe(
    text: str, vocab_size: int, special_tokens: Sequence[str] = ()
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Learn a byte-pair encoding: merge the commonest pair of neighbours into a new token, again and again.

    Returns `vocab`, the bytes of each id, and `merges`, the pairs of byte strings in the order in which they were
    merged. `special_tokens` are markers between documents, such as "<|endoftext|>".

    Clauses:
        bytes      The first 256 ids are the single bytes, in order, and each piece begins as its UTF-8 bytes.
        pieces     Pairs are counted and merged within the pieces that SPLIT_PATTERN finds in the text, never across
                   two pieces.
        commonest  Each merge takes the pair that occurs most often in the text as merged so far.
        ids        Merge number n, counted from 0, makes id 256 + n. Its bytes are those of its pair, left before right.
        size       Merging goes on until vocab has vocab_size tokens, also with pairs that occur once.

    Further clauses:
        ties        Among equally common pairs the greatest is merged. Pairs are compared as tuples of byte strings.
        exhausted   When no pair is left, training ends and vocab is smaller than vocab_size.
        specials    Special tokens take the ids after the last merge, in the order given, and count towards vocab_size.
        cut         The text is cut at its special tokens before it is split. Their characters are not counted.
        longest     Special tokens are found from left to right. Where several begin, the longest is found.
        literal     The characters of a special token have no meaning as a pattern.
        pure        The three functions change none of their arguments, and no call affects a later one.
        too-small   A vocab_size below 256 plus the special tokens raises a ValueError that names it.
        repeated    A special token given twice raises a ValueError that names it.
        empty       An empty special token raises a ValueError that names special_tokens.
        one-string  A single str as special_tokens raises a TypeError that names it.

    Not allowed: tiktoken, tokenizers, sentencepiece.
    Source: Gage 1994; Sennrich et al. 2016, section 3.2; Radford et al. 2019, section 2.2; book section 2.5 uses one.
    """
    _check(vocab_size, special_tokens)
    vocab = {byte: bytes([byte]) for byte in range(256)}
    merges = []
    words = _words(text, special_tokens)
    while len(vocab) < vocab_size - len(special_tokens) and (counts := pair_counts(words)):
        pair = max(counts, key=lambda pair: (counts[pair], vocab[pair[0]], vocab[pair[1]]))
        words = {_merged(word, pair, len(vocab)): times for word, times in words.items()}
        left, right = vocab[pair[0]], vocab[pair[1]]
        merges.append((left, right))
        vocab[len(vocab)] = left + right
    for token in special_tokens:
        vocab[len(vocab)] = token.encode()
    return vocab, merges


def _check(vocab_size: int, special_tokens: Sequence[str]) -> None:
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens is one str, {special_tokens!r}, and not a list of them")
    if vocab_size < 256 + len(special_tokens):
        raise ValueError(f"vocab_size is {vocab_size}, but bytes and special tokens take {256 + len(special_tokens)}")
    if "" in special_tokens:
        raise ValueError(f"special_tokens has an empty str: {special_tokens}")
    for token, times in Counter(special_tokens).items():
        if times > 1:
            raise ValueError(f"special_tokens has {token!r} {times} times")


def _words(text: str, special_tokens: Sequence[str]) -> dict[tuple[int, ...], int]:
    """The distinct pieces of the text, as bytes, and how often each occurs."""
    # Of several alternatives a pattern takes the first that fits, so the longest comes first.
    cut = "|".join(regex.escape(token) for token in sorted(special_tokens, key=len, reverse=True))
    pieces: Counter[str] = Counter()
    for part in regex.split(cut, text) if cut else [text]:
        pieces.update(regex.findall(SPLIT_PATTERN, part))
    return {tuple(piece.encode()): times for piece, times in pieces.items()}


def _merged(word: tuple[int, ...], pair: tuple[int, int], new_id: int) -> tuple[int, ...]:
    # Most words do not hold the pair, and looking is faster than rebuilding.
    return tuple(merge_pair(word, pair, new_id)) if pair in pairwise(word) else word
