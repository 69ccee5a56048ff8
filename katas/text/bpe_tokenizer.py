"""Kata: a byte-pair tokenizer. The why, a figure and hints: docs/text/bpe_tokenizer.md."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self, SupportsIndex


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
        raise NotImplementedError

    @classmethod
    def from_ranks(
        cls, ranks: Mapping[bytes, int], special_tokens: Mapping[str, int] | Sequence[str] | None = ()
    ) -> Self:
        """Make a tokenizer from tiktoken's ranks: the id of each token, lower for an earlier merge."""
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        raise NotImplementedError

    def encode_iterable(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids of a text that comes in chunks, such as the lines of a file, one by one."""
        raise NotImplementedError

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of ids."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer to a file."""
        raise NotImplementedError

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a tokenizer from a file that save has written."""
        raise NotImplementedError
