"""Kata: a byte-pair tokenizer. The why, a figure and hints: docs/text/bpe_tokenizer.md."""

import json
import os
import reprlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, count, pairwise
from operator import index
from pathlib import Path
from typing import Self, SupportsIndex

import regex

from .bpe_training import SPLIT_PATTERN

_Pair = tuple[bytes, bytes]


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
        names = _checked(special_tokens)
        ids = _ids_of(vocab, names)
        order = {pair: place for place, pair in enumerate(dict.fromkeys((left, right) for left, right in merges))}
        for left, right in order:
            if not (left in ids and right in ids and left + right in ids):
                raise ValueError(f"merge {left!r}, {right!r}: vocab needs both, and what they make together")
        self._begin(dict(vocab), ids, order, _with_ids(names, ids))

    @classmethod
    def from_ranks(
        cls, ranks: Mapping[bytes, int], special_tokens: Mapping[str, int] | Sequence[str] | None = ()
    ) -> Self:
        """A tokenizer from tiktoken's ranks, which need no merges."""
        names, ids = _checked(special_tokens), dict(ranks)
        vocab = _tokens_of(ids)
        specials = dict(special_tokens) if isinstance(special_tokens, Mapping) else _with_ids(names, ids)
        tokenizer = cls.__new__(cls)
        tokenizer._begin(vocab, ids, None, specials)
        return tokenizer

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        _refuse_no_str("text", text)
        return list(self.encode_iterable([text]))

    def encode_iterable(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids of a text that comes in chunks, such as the lines of a file, one by one and long before its end."""
        return chain.from_iterable(self._encoded(chunks))

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of ids."""
        return b"".join(map(self._token, ids)).decode(errors="replace")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer to a file."""
        order = self._order
        # JSON knows no bytes, but Latin-1 has one character for each.
        content = {
            "vocab": [[token_id, token.decode("latin-1")] for token_id, token in sorted(self._vocab.items())],
            "merges": order if order is None else [[part.decode("latin-1") for part in pair] for pair in order],
            "special_tokens": self._specials,
        }
        path = Path(path)
        beside = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            beside.write_bytes(json.dumps(content).encode())
            beside.replace(path)  # at once: nobody ever finds half a file
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a tokenizer from a file that save has written."""
        written = Path(path).read_bytes()
        try:
            content = json.loads(written.decode())
            vocab = {token_id: token.encode("latin-1") for token_id, token in content["vocab"]}
            order, specials = content["merges"], content["special_tokens"]
            if order is None:
                return cls.from_ranks({token: token_id for token_id, token in vocab.items()}, specials)
            merges = [(left.encode("latin-1"), right.encode("latin-1")) for left, right in order]
            return cls(vocab, merges, list(specials))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} does not hold a tokenizer: {error}") from error

    def _begin(
        self, vocab: dict[int, bytes], ids: dict[bytes, int], order: dict[_Pair, int] | None, specials: dict[str, int]
    ) -> None:
        """Take over what has been checked and belongs to nobody else; without an order of merges, ids are ranks."""
        self._vocab, self._ids, self._order, self._specials = vocab, ids, order, specials
        self._bytes = _with_specials(vocab, specials)
        # Of several alternatives a pattern takes the first that fits, so the longest has to stand first.
        self._special = regex.compile("|".join(map(regex.escape, sorted(specials, key=len, reverse=True))))
        self._longest = max(map(len, specials), default=0)
        self._beginnings = {name[:end] for name in specials for end in range(1, len(name))}
        self._known = _Known(self._of_word)

    def _token(self, token_id: SupportsIndex) -> bytes:
        try:
            return self._bytes[index(token_id)]
        except KeyError:
            raise ValueError(f"no token has the id {token_id}") from None
        except TypeError:
            raise TypeError(f"an id must be an int, not {type(token_id).__name__} {reprlib.repr(token_id)}") from None

    def _encoded(self, chunks: Iterable[str]) -> Iterator[Iterable[int]]:
        """The ids of the chunks, by and by: those of ordinary text up to the last place where a piece surely ends."""
        held: list[str] = []  # the text behind that place, without its last character
        last = ""
        for part, ending in self._parts(_slices(chunks)):
            text = last + part
            if border := _last_border(text) if ending is None else len(text):
                words = _WORD.findall("".join([*held, text[:border]]))
                yield chain.from_iterable(map(self._known.__getitem__, words))
                held, text = [], text[border:]
            held.append(text[:-1])
            last = text[-1:]
            yield ending or []

    def _parts(self, chunks: Iterable[str]) -> Iterator[tuple[str, list[int] | None]]:
        """Ordinary text, and what ends it: the id of a special token, no id at the very end, None if it may go on."""
        rest = ""  # perhaps the beginning of a special token
        for chunk in chunks:
            text = rest + chunk
            near_the_end = range(max(len(text) - self._longest + 1, 0), len(text))
            rest = yield from self._cut(text, [at for at in near_the_end if text[at:] in self._beginnings])
        yield from self._cut(rest, [])
        yield "", []

    def _cut(self, text: str, open_places: Sequence[int]) -> Generator[tuple[str, list[int] | None], None, str]:
        """As _parts, up to the first of the places where what comes later decides; what is left is returned."""
        at = 0
        for found in self._special.finditer(text) if self._specials else ():
            if any(at <= place <= found.start() for place in open_places):
                break
            yield text[at : found.start()], [self._specials[found[0]]]
            at = found.end()
        end = next((place for place in open_places if place >= at), len(text))
        yield text[at:end], None
        return text[end:]

    def _of_word(self, word: str) -> tuple[int, ...]:
        """The ids of a word, which may have several pieces, or of a piece."""
        pieces = _PIECE.findall(word)
        if len(pieces) > 1:
            return tuple([token_id for piece in pieces for token_id in self._known[piece]])
        piece = word.encode()
        parts = [piece] if self._order is None and piece in self._ids else self._joined(piece)
        return tuple([self._ids[part] for part in parts])

    def _joined(self, piece: bytes) -> list[bytes]:
        """The parts of a piece when no pair is left to join.

        The pairs wait in a heap, and neighbours know each other by their places, so that no join moves what lies
        behind it. A pair that is gone is not looked for in the heap: it is passed over when its turn comes.
        """
        parts = [piece[at : at + 1] for at in range(len(piece))]
        before, after = list(range(-1, len(piece) - 1)), list(range(1, len(piece) + 1))
        rank_of = self._rank_of_pair if self._order is None else self._order.get
        ranks = [*map(rank_of, pairwise(parts)), None]  # of each part and the one after it
        heap = [(rank, place) for place, rank in enumerate(ranks) if rank is not None]
        heapify(heap)
        while heap:
            rank, here = heappop(heap)
            if ranks[here] != rank:
                continue
            there = after[here]
            parts[here] += parts[there]
            parts[there] = b""
            ranks[here] = ranks[there] = None
            after[here] = after[there]
            if after[here] < len(piece):
                before[after[here]] = here
            for place in (before[here], here):
                if place >= 0 and after[place] < len(piece):
                    ranks[place] = joined = rank_of((parts[place], parts[after[place]]))
                    if joined is not None:
                        heappush(heap, (joined, place))
        return [part for part in parts if part]

    def _rank_of_pair(self, pair: _Pair) -> int | None:
        return self._ids.get(pair[0] + pair[1])


_PIECE = regex.compile(SPLIT_PATTERN)
_WORD = regex.compile(r"\s*\S+|\s+")  # no piece goes on where white space follows something else

# Two characters between which a piece ends whatever stands around them: behind a letter, a digit or another sign comes
# one of another kind. Only an apostrophe and a letter may be a contraction, and white space may belong to what follows.
_BORDER = regex.compile(r"\p{L}\P{L}|\p{N}\P{N}|[^\s\p{L}\p{N}][\s\p{N}]|[^\s\p{L}\p{N}']\p{L}", regex.REVERSE)

_SLICE = 2**14  # characters of a chunk that are looked at together
_MOST_KNOWN, _LONGEST_KNOWN = 2**15, 32  # words whose ids are remembered: how many, and characters plus ids of each


class _Known(dict[str, tuple[int, ...]]):
    """The ids of the words met of late, for most words of a text come again and again."""

    def __init__(self, ids_of: Callable[[str], tuple[int, ...]]) -> None:
        self.ids_of = ids_of

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = self.ids_of(word)
        if len(word) + len(ids) <= _LONGEST_KNOWN:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[word] = ids
        return ids


def _last_border(text: str) -> int:
    """Where the last piece ends that no further text can change; 0 if there is none."""
    found = _BORDER.search(text)
    return found.start() + 1 if found else 0


def _slices(chunks: Iterable[str]) -> Iterator[str]:
    """The chunks, the long ones in slices; what is no text is refused."""
    read = 0
    for chunk in chunks:
        _refuse_no_str("chunk", chunk)
        for start in range(0, len(chunk), _SLICE):
            part = chunk[start : start + _SLICE]
            _refuse_surrogates("text", part, read)
            read += len(part)
            yield part


def _checked(special_tokens: Iterable[str] | None) -> list[str]:
    """The special tokens, in a list of their own."""
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens must be a list or a tuple of str, not the single str {special_tokens!r}")
    names = [] if special_tokens is None else list(special_tokens)
    for place, name in enumerate(names):
        _refuse_no_str(f"special token {place}", name)
        if not name:
            raise ValueError(f"special token {place} is empty")
        if name in names[:place]:
            raise ValueError(f"special token {name!r} is repeated")
        _refuse_surrogates(f"special token {place}", name)
    return names


def _ids_of(vocab: Mapping[int, bytes], special_tokens: Sequence[str]) -> dict[bytes, int]:
    """The id of each token; where several have the bytes of a special token, the greatest."""
    _refuse_wrong_types(vocab.keys(), vocab.values())
    ids = {vocab[token_id]: token_id for token_id in sorted(vocab)}
    if len(ids) < len(vocab):
        special = {name.encode() for name in special_tokens}
        for token_id, token in vocab.items():
            if ids[token] != token_id and token not in special:
                raise ValueError(f"the ids {token_id} and {ids[token]} have the same bytes {token!r}")
    _refuse_missing_bytes(ids)
    return ids


def _tokens_of(ranks: Mapping[bytes, int]) -> dict[int, bytes]:
    """The token of each rank."""
    _refuse_wrong_types(ranks.values(), ranks.keys())
    _refuse_missing_bytes(ranks)
    tokens: dict[int, bytes] = {}
    for token, rank in ranks.items():
        if tokens.setdefault(rank, token) != token:
            raise ValueError(f"{tokens[rank]!r} and {token!r} have the same rank {rank}")
    return tokens


def _with_ids(special_tokens: Iterable[str], ids: Mapping[bytes, int]) -> dict[str, int]:
    """The special tokens with their ids: new ones where the vocabulary does not have them."""
    new = count(max(ids.values()) + 1)
    found = {name: ids.get(name.encode()) for name in special_tokens}
    return {name: next(new) if token_id is None else token_id for name, token_id in found.items()}


def _with_specials(vocab: Mapping[int, bytes], specials: Mapping[str, int]) -> dict[int, bytes]:
    """The bytes of every id, special tokens included."""
    _refuse_wrong_types(specials.values(), ())
    tokens = dict(vocab)
    for name, token_id in specials.items():
        if tokens.setdefault(token_id, name.encode()) != name.encode():
            raise ValueError(f"id {token_id} of the special token {name!r} is that of {tokens[token_id]!r}")
    return tokens


def _refuse_wrong_types(ids: Iterable[object], tokens: Iterable[object]) -> None:
    for what, values, wanted in (("an id", ids, int), ("a token", tokens, bytes)):
        for value in values:
            if not isinstance(value, wanted):
                told = f"{type(value).__name__} {reprlib.repr(value)}"
                raise TypeError(f"{what} must be {wanted.__name__}, not {told}")


def _refuse_missing_bytes(tokens: Mapping[bytes, int]) -> None:
    for value in range(256):
        if bytes([value]) not in tokens:
            raise ValueError(f"the single byte {value} is missing: without all of them not every text can be encoded")


def _refuse_no_str(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__} {reprlib.repr(value)}")


def _refuse_surrogates(what: str, text: str, before: int = 0) -> None:
    """Refuse half characters, which have no UTF-8; `before` counts the characters that came earlier."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} has a lone surrogate at index {before + error.start}") from None
