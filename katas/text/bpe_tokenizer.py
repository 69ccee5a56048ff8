"""Kata: a byte-pair tokenizer. The why, a figure and hints: docs/text/bpe_tokenizer.md."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self, SupportsIndex


class BPETokenizer:
    """Turn text into ids and ids into text, with a finished vocabulary.

    `vocab` has the bytes of each id and `merges` the pairs of byte strings to join, as train_bpe returns them.
    `special_tokens`, a list or a tuple of str, are markers that become one id each; None is as good as ().
    train_bpe and SPLIT_PATTERN are those of text/bpe_training.

    Clauses:
        joined       A piece is its single UTF-8 bytes at first. As long as any two neighbours are a pair in merges, one
                     pair is joined: of those there, the one that stands first in merges, at its leftmost place.
        ids          What is left becomes its id in vocab. Ids may be any ints: a byte's need not be its value, and a
                     merge's tells nothing about its place in merges.
        pieces       Pairs are joined within the pieces that SPLIT_PATTERN finds, never across them.
        specials     Special tokens are found from left to right, the longest of those that begin at a place, and
                     become one id each.
        apart        A part between special tokens is split into pieces as if it were a text of its own.
        special-ids  A special token has the id of its bytes in vocab, the greatest if there are several. Those that are
                     not in vocab take the ids that follow its greatest, in the order given.
        ordinary     A text that is not among special_tokens is ordinary, even if vocab has its bytes.
        agrees       With what train_bpe returns, and with GPT-2's vocabulary, encode gives the ids of tiktoken's
                     encode(text, allowed_special="all"), for text in every script and for none.
        decoded      decode puts the bytes of its ids together and reads them as UTF-8, where what is invalid becomes
                     U+FFFD, as in bytes.decode(errors="replace"): decode(encode(text)) is text.
        integers     decode takes any iterable of integers, also NumPy's or a tensor with one axis. An id that no token
                     has raises a ValueError that names it, and one that is no integer a TypeError that names its type.
        streamed     encode_iterable gives the ids of encode("".join(chunks)), wherever the text is cut, within a
                     special token, a contraction or white space too. A chunk may be empty. A str is its characters.
        lazy         encode_iterable reads a chunk only when an id is asked for, and then at most ten pieces, or one
                     chunk, beyond the piece of that id; further only where a special token may have begun.
        bounded      However much it has encoded, a tokenizer holds 12 MB at most beside its vocabulary and what it
                     needs for one chunk and one piece.
        linear       A piece that is ten times as long takes about ten times as long, also read letter by letter.
        ranks        from_ranks takes one number for each token, its id and its priority. A piece that is a token
                     becomes that token. In others, as long as any two neighbours together are a token, those that
                     are the token of lowest rank are joined, at the leftmost place.
        rank-ids     from_ranks takes special tokens as above, ranks in place of vocab, or a dict from each to its id.
        independent  What is done later to vocab, merges, ranks, special_tokens or a result changes no tokenizer, and a
                     tokenizer changes none of them.
        saved        load(path) gives a tokenizer with the ids of the one saved there, also of one from from_ranks. The
                     file is UTF-8 JSON, with the same bytes for equal arguments, whatever the order in a vocab.
        whole        A save that fails leaves what was at path before, and no other file beside it.
        no-file      load raises a ValueError that names path where the file is not one of save's, or not all of it, and
                     a FileNotFoundError where there is none.
        no-bytes     A vocab, or ranks, without all single bytes raises a ValueError that names the value of one that is
                     missing. An id that is no int, or a token that is no bytes, raises a TypeError that names its type.
        twice        Two ids with the same bytes raise a ValueError that names both, unless these are the bytes of a
                     special token. Two ranks that are equal, or a special token's id that is another token's too, raise
                     a ValueError that names it.
        no-merge     A merge whose left, right or joined bytes are not in vocab raises a ValueError that names its left
                     and its right.
        no-special   An empty special token raises a ValueError that names its index, one given twice a ValueError that
                     names it. A single str as special_tokens raises a TypeError that names it, a special token that is
                     no str a TypeError that names its type.
        no-text      A text or chunk that is no str raises a TypeError that names its type.
        surrogate    A lone surrogate raises a ValueError, no UnicodeEncodeError, that names its index in the text, in
                     all chunks put together, or in its special token.

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
        """A tokenizer from tiktoken's ranks, which need no merges."""
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        raise NotImplementedError

    def encode_iterable(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids of a text that comes in chunks, such as the lines of a file, one by one and long before its end."""
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
