"""Encoding with a byte-pair vocabulary, fast: the same ids as the reference in solutions/text/bpe_tokenizer.py.

Four ideas make it fast.

Words are remembered. A megabyte of English has 230 000 pieces, and fewer than 12 000 different ones, so the ids of each
word are kept. The memory has a bound: when it is full it is emptied, and the common words are soon back.

More than a piece is remembered. White space after something else always ends a piece, so the text is first cut there,
with a pattern that is much cheaper than the one for pieces. Only a new word is split into its pieces.

Pairs wait in a heap, ordered by rank and then by place. Each part knows the places of its neighbours, so a merge moves
nothing, and the lowest rank is found without looking at the others. A pair that is gone is skipped when it comes up. A
piece of 100 000 letters takes about ten times as long as one of 10 000.

Sure borders are found for a stream. Between a letter and a sign, or a digit and white space, a piece ends whatever
comes next. Each chunk is searched from its end for the last such border, and what follows it is kept for the next
chunk. No letter is looked at twice, however small the chunks are.

A pair is merged at one place at a time, the leftmost. The reference merges a pair at all its places at once, as GPT-2's
own encoder does; the two differ only for merges that no training gives.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, count, pairwise
from operator import index
from typing import Self, SupportsIndex

import regex

from dojo.ladder.fast_bpe_training import SPLIT_PATTERN

_Pair = tuple[bytes, bytes]


class BPETokenizer:
    """The tokenizer of the kata, without save, load and refusals."""

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Sequence[str] | None = (),
    ) -> None:
        ids = {vocab[token_id]: token_id for token_id in sorted(vocab)}
        order = {pair: place for place, pair in enumerate(dict.fromkeys((left, right) for left, right in merges))}
        self._begin(dict(vocab), ids, order, _with_ids(special_tokens or (), ids))

    @classmethod
    def from_ranks(
        cls, ranks: Mapping[bytes, int], special_tokens: Mapping[str, int] | Sequence[str] | None = ()
    ) -> Self:
        """A tokenizer from tiktoken's ranks, which need no merges. A piece that is a token becomes that token."""
        ids = dict(ranks)
        specials = {**special_tokens} if isinstance(special_tokens, Mapping) else _with_ids(special_tokens or (), ids)
        tokenizer = cls.__new__(cls)
        tokenizer._begin({rank: token for token, rank in ids.items()}, ids, None, specials)
        return tokenizer

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(self.encode_iterable([text]))

    def encode_iterable(self, chunks: Iterable[str]) -> Iterator[int]:
        """The ids of a text that comes in chunks, such as the lines of a file, one by one and long before its end."""
        return chain.from_iterable(self._encoded(chunks))

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of ids."""
        return b"".join([self._bytes[index(token_id)] for token_id in ids]).decode(errors="replace")

    def _begin(
        self, vocab: dict[int, bytes], ids: dict[bytes, int], order: dict[_Pair, int] | None, specials: dict[str, int]
    ) -> None:
        """Keep the arguments, which are checked and used by nobody else; without an order of merges, ids are ranks."""
        self._vocab, self._ids, self._order, self._specials = vocab, ids, order, specials
        self._bytes = vocab | {token_id: name.encode() for name, token_id in specials.items()}
        # Of several alternatives a pattern takes the first that fits, so the longest has to come first.
        self._special = regex.compile("|".join(map(regex.escape, sorted(specials, key=len, reverse=True))))
        self._longest = max(map(len, specials), default=0)
        self._beginnings = {name[:end] for name in specials for end in range(1, len(name))}
        self._known = _Known(self._of_word)

    def _encoded(self, chunks: Iterable[str]) -> Iterator[Iterable[int]]:
        """The ids of the chunks, in parts: of ordinary text those up to the last place where a piece surely ends."""
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

        The pairs wait in a heap, and each part has the places of its neighbours, so that a join moves nothing. A
        pair that is gone is not looked for in the heap: it is passed over when its turn comes.
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
    """The ids of recent words: most words of a text occur again and again."""

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
    """The chunks, the long ones in slices."""
    for chunk in chunks:
        for start in range(0, len(chunk), _SLICE):
            yield chunk[start : start + _SLICE]


def _with_ids(special_tokens: Iterable[str], ids: Mapping[bytes, int]) -> dict[str, int]:
    """The special tokens with their ids: new ones where the vocabulary does not have them."""
    new = count(max(ids.values()) + 1)
    found = {name: ids.get(name.encode()) for name in special_tokens}
    return {name: next(new) if token_id is None else token_id for name, token_id in found.items()}
