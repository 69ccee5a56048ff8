"""The rungs between the plain way and the fast one: short forms of training and encoding byte pairs.

Each step leaves out work that the one before does again and again. The references in solutions/text/ and the two fast
forms in this folder are the other rungs.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import regex

from dojo.ladder.fast_bpe_training import SPLIT_PATTERN

Merges = list[tuple[bytes, bytes]]
Vocabulary = tuple[dict[int, bytes], Merges]
Pair = tuple[int, int]
_BYTES = {byte: bytes([byte]) for byte in range(256)}


def recount_everything(text: str, vocab_size: int) -> Vocabulary:
    """Before each merge, count the pairs of all pieces of the text, each as often as it occurs."""
    vocab, merges = dict(_BYTES), []
    pieces = [list(piece.encode()) for piece in regex.findall(SPLIT_PATTERN, text)]
    while len(vocab) < vocab_size and (counts := Counter(pair for piece in pieces for pair in pairwise(piece))):
        pair = _commonest(counts, vocab)
        pieces = [_merged(piece, pair, len(vocab)) for piece in pieces]
        merges.append(_join(pair, vocab))
    return vocab, merges


def keep_the_counts(text: str, vocab_size: int) -> Vocabulary:
    """Count once. After a merge, count again only the pieces that had the pair; each piece is kept once."""
    vocab, merges = dict(_BYTES), []
    times = Counter(regex.findall(SPLIT_PATTERN, text))
    words = [list(word.encode()) for word in times]
    counts: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)  # the words in which a pair occurs, or once occurred

    def count(number: int, sign: int) -> None:
        for pair in pairwise(words[number]):
            counts[pair] += sign * weights[number]
            holders[pair].add(number)

    weights = list(times.values())
    for number in range(len(words)):
        count(number, 1)
    while len(vocab) < vocab_size and +counts:
        pair = _commonest(counts, vocab)
        for number in holders.pop(pair):
            count(number, -1)
            words[number] = _merged(words[number], pair, len(vocab))
            count(number, 1)
        del counts[pair]
        merges.append(_join(pair, vocab))
    return vocab, merges


def _commonest(counts: Mapping[Pair, int], vocab: Mapping[int, bytes]) -> Pair:
    most = max(counts.values())
    return max((pair for pair in counts if counts[pair] == most), key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))


def _merged(piece: list[int], pair: Pair, new_id: int) -> list[int]:
    if pair not in pairwise(piece):
        return piece
    merged, at = [], 0
    while at < len(piece):
        here = tuple(piece[at : at + 2]) == pair
        merged.append(new_id if here else piece[at])
        at += 1 + here
    return merged


def _join(pair: Pair, vocab: dict[int, bytes]) -> tuple[bytes, bytes]:
    left, right = vocab[pair[0]], vocab[pair[1]]
    vocab[len(vocab)] = left + right
    return left, right


def remembering(encode: Callable[[str], list[int]]) -> Callable[[str], list[int]]:
    """Any encoder, asked once for each different piece."""
    known = cache(encode)
    return lambda text: [token_id for piece in regex.findall(SPLIT_PATTERN, text) for token_id in known(piece)]


def trained_in_rust(text: str, vocab_size: int) -> list[bytes]:
    """The vocabulary that the trainer of `tokenizers` gives: bytes first, GPT-2's pieces."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = BpeTrainer(vocab_size=vocab_size, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    byte_of = {letter: byte for byte, letter in _letters().items()}
    return [bytes(byte_of[letter] for letter in token) for token in tokenizer.get_vocab()]


def encoder_in_rust(vocab: Mapping[int, bytes], merges: Sequence[tuple[bytes, bytes]]) -> Callable[[str], list[int]]:
    """The encoder of `tokenizers` with our vocabulary."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    letters = _letters()

    def written(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    ids = {written(token): token_id for token_id, token in vocab.items()}
    tokenizer = Tokenizer(BPE(ids, [(written(left), written(right)) for left, right in merges]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    return lambda text: tokenizer.encode(text).ids


def encoder_of_tiktoken(vocab: Mapping[int, bytes], merges: Any) -> Callable[[str], list[int]]:
    import tiktoken

    ranks = {token: rank for rank, token in vocab.items()}
    return tiktoken.Encoding("bench", pat_str=SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens={}).encode_ordinary


def _letters() -> dict[int, str]:
    """How GPT-2's files write each byte: as itself where it can be seen, else as a letter from 256 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + place) for place, byte in enumerate(others)}
