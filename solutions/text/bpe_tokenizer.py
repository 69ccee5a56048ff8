"""Kata: a byte-pair tokenizer. The why, a figure and hints: docs/text/bpe_tokenizer.md."""

import json
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, count, pairwise
from operator import index
from pathlib import Path
from typing import Self, SupportsIndex

import regex

from .bpe_training import SPLIT_PATTERN, merge_pair


class BPETokenizer:
    """Turn text into ids and ids into text, with a trained vocabulary.

    `vocab` has the bytes of each id and `merges` the pairs of byte strings in the order in which they were merged, as
    train_bpe returns them. `special_tokens` are markers such as "<|endoftext|>"; None is the same as ().

    Clauses:
        bytes     Each piece of the text begins as its single UTF-8 bytes.
        order     As long as neighbours in a piece are a pair in merges, the pair that comes first in merges is merged.
        ids       Each token that is left becomes its id in vocab. The ids may be any numbers.
        pieces    Pairs are merged within the pieces that SPLIT_PATTERN finds, never across two pieces.
        special   A special token in the text becomes one id, the one that its bytes have in vocab.
        decoded   decode joins the bytes of its ids and reads them as UTF-8, so that decode(encode(text)) is text.
        invalid   Where the bytes of the ids are not UTF-8, decode writes U+FFFD, as errors="replace" does.
        tiktoken  For a trained vocabulary, and for GPT-2's, encode gives the ids that tiktoken gives.

    Further clauses:
        apart        The text between two special tokens is split into pieces as if it were a text of its own.
        longest      Special tokens are found from left to right. Where several begin, the longest is found.
        new-ids      Special tokens that vocab does not have take the ids after its greatest, in the order given.
        ordinary     Only special_tokens are treated as special tokens, whatever else is in vocab.
        integers     decode takes any iterable of integers, also NumPy's, or a tensor with one axis.
        unknown-id   decode raises a ValueError that names an id without a token.
        streamed     encode_iterable gives the ids of encode("".join(chunks)), wherever the text is cut into chunks.
        lazy         encode_iterable reads the next chunk only when more ids are requested.
        ranks        from_ranks takes the id of each token and no merges: neighbours that make a token are merged, the
                     token with the lowest id first.
        rank-ids     from_ranks also takes special_tokens as a dict from each to its id.
        saved        load(path) gives a tokenizer with the ids of the one that was saved there.
        independent  A tokenizer shares nothing with another one, or with the dicts and lists that it was made of.

    Not allowed: tiktoken, tokenizers, sentencepiece, transformers.
    Source: Sennrich et al. 2016, section 3.2; Radford et al. 2019, section 2.2; book section 2.5 uses one.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Sequence[str] | None = (),
    ) -> None:
        self._vocab = dict(vocab)
        self._ids = {token: token_id for token_id, token in vocab.items()}
        self._order: dict[tuple[bytes, bytes], int] | None = {pair: place for place, pair in enumerate(merges)}
        self._use(_numbered(special_tokens or (), self._ids))

    @classmethod
    def from_ranks(
        cls, ranks: Mapping[bytes, int], special_tokens: Mapping[str, int] | Sequence[str] | None = ()
    ) -> Self:
        """Make a tokenizer from tiktoken's ranks: the id of each token, lower for an earlier merge."""
        tokenizer = cls({rank: token for token, rank in ranks.items()}, [])
        tokenizer._order = None
        if isinstance(special_tokens, Mapping):
            tokenizer._use(dict(special_tokens))
        else:
            tokenizer._use(_numbered(special_tokens or (), ranks))
        return tokenizer

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return [token_id for piece in self._split(text) for token_id in self._encode_piece(piece)]

    def encode_iterable(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids of a text that comes in chunks, such as the lines of a file, one by one."""
        held = ""
        for chunk in chunks:
            held += chunk
            settled = self._settled(held)
            held = held[sum(map(len, settled)) :]
            for piece in settled:
                yield from self._encode_piece(piece)
        yield from self.encode(held)

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of ids."""
        tokens = []
        for token_id in map(index, ids):
            if token_id not in self._tokens:
                raise ValueError(f"no token has the id {token_id}")
            tokens.append(self._tokens[token_id])
        return b"".join(tokens).decode(errors="replace")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer to a file."""
        content = {
            "vocab": {token_id: token.hex() for token_id, token in self._vocab.items()},
            "merges": None if self._order is None else [[left.hex(), right.hex()] for left, right in self._order],
            "special_tokens": self._special,
        }
        Path(path).write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a tokenizer from a file that save has written."""
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        vocab = {int(token_id): bytes.fromhex(token) for token_id, token in content["vocab"].items()}
        if content["merges"] is None:
            return cls.from_ranks({token: rank for rank, token in vocab.items()}, content["special_tokens"])
        merges = [(bytes.fromhex(left), bytes.fromhex(right)) for left, right in content["merges"]]
        return cls(vocab, merges, list(content["special_tokens"]))

    def _use(self, special: dict[str, int]) -> None:
        self._special = special
        self._tokens = self._vocab | {token_id: name.encode() for name, token_id in special.items()}

    def _split(self, text: str) -> list[str]:
        """The pieces of a text; a special token is a piece."""
        if not self._special:
            return regex.findall(SPLIT_PATTERN, text)
        # Of several alternatives a pattern takes the first that fits, so the longest comes first.
        names = "|".join(regex.escape(name) for name in sorted(self._special, key=len, reverse=True))
        pieces: list[str] = []
        for part in regex.split(f"({names})", text):
            pieces += [part] if part in self._special else regex.findall(SPLIT_PATTERN, part)
        return pieces

    def _settled(self, text: str) -> list[str]:
        """The pieces at the beginning of a text that stay the same whatever comes after it."""
        pieces = self._split(text)
        # No special token that is still incomplete begins before this place. Of the pieces before it the last two may
        # change: after "'" and "l", another "l" makes the one piece "'ll".
        place = len(text) - max(map(len, self._special), default=1) + 1
        return pieces[: max(bisect_right(list(accumulate(map(len, pieces))), place) - 2, 0)]

    def _encode_piece(self, piece: str) -> list[int]:
        if piece in self._special:
            return [self._special[piece]]
        ids = [self._ids[bytes([byte])] for byte in piece.encode()]
        while ranks := {pair: rank for pair in pairwise(ids) if (rank := self._rank(pair)) is not None}:
            pair = min(ranks, key=lambda pair: ranks[pair])
            ids = merge_pair(ids, pair, self._ids[self._joined(pair)])
        return ids

    def _rank(self, pair: tuple[int, int]) -> int | None:
        """The rank of a pair: the lowest is merged first, and without a rank a pair is not merged."""
        if self._order is None:
            return self._ids.get(self._joined(pair))
        return self._order.get((self._vocab[pair[0]], self._vocab[pair[1]]))

    def _joined(self, pair: tuple[int, int]) -> bytes:
        return self._vocab[pair[0]] + self._vocab[pair[1]]


def _numbered(special_tokens: Iterable[str], ids: Mapping[bytes, int]) -> dict[str, int]:
    """The ids of special tokens: those that their bytes have, or else the next ones."""
    new = count(max(ids.values()) + 1)
    return {name: ids[name.encode()] if name.encode() in ids else next(new) for name in special_tokens}
