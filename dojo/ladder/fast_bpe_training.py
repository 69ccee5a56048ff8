"""Training a byte-pair encoding, fast: the same merges as the reference in solutions/text/bpe_training.py.

Two ideas make it fast.

The queue: the highest count never rises, because a new pair contains the new token and so occurs at most as often as
the pair that was merged. Pairs are therefore sorted into lists by their count, and the counts are walked down once. A
list is sorted only when its turn comes, which settles all ties. A pair whose count has changed is put on another list,
and where it was before, it is skipped.

The corpus: all pieces are in one row of places, and each place has the numbers of the places before and after it. For
each pair the places where it may begin are listed. Such a list may be out of date, so each place is checked before it
is merged. A place is emptied at most once, so all merges together touch no more places than the text has bytes.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import regex

# GPT-2's pattern, as in katas/text/bpe_training.py.
SPLIT_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_Pair = tuple[int, int]
_GONE = -1  # instead of an id: no piece goes on here


def train_bpe(
    text: str, vocab_size: int, special_tokens: Sequence[str] = ()
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """The vocab and merges of the reference, for arguments that it does not refuse."""
    vocab = {byte: bytes([byte]) for byte in range(256)}
    merges = []
    corpus = _Corpus(_words(text, special_tokens))
    queue = _Queue(corpus.counts, vocab)
    while len(vocab) < vocab_size - len(special_tokens) and (pair := queue.pop()):
        left, right = vocab[pair[0]], vocab[pair[1]]
        changed = corpus.merge(pair, len(vocab))
        merges.append((left, right))
        vocab[len(vocab)] = left + right
        queue.push(changed)
    for token in special_tokens:
        vocab[len(vocab)] = token.encode()
    return vocab, merges


def _words(text: str, special_tokens: Sequence[str]) -> dict[bytes, int]:
    """The distinct pieces of the text, as bytes, and how often each occurs."""
    cut = "|".join(map(regex.escape, sorted(special_tokens, key=len, reverse=True)))
    pieces: Counter[str] = Counter()
    for part in regex.split(cut, text) if cut else [text]:
        pieces.update(regex.findall(SPLIT_PATTERN, part))
    return {piece.encode(): times for piece, times in pieces.items()}


class _Corpus:
    """Every distinct piece once, in one long row of places, where a merge visits only the places it joins."""

    def __init__(self, words: Mapping[bytes, int]) -> None:
        self.counts: defaultdict[_Pair, int] = defaultdict(int)
        self.ids = [_GONE]  # the id at each place; between two pieces lies a place without one
        self.times = [0]  # how often the piece around a place occurs
        # Where each pair may begin, from left to right: a place stays listed after a merge has taken it.
        self.places: defaultdict[_Pair, list[int]] = defaultdict(list)
        for word, times in words.items():
            for place, pair in enumerate(pairwise(word), start=len(self.ids)):
                self.places[pair].append(place)
                self.counts[pair] += times
            self.ids += [*word, _GONE]
            self.times += [times] * (len(word) + 1)
        self.before = [place - 1 for place in range(len(self.ids))]
        self.after = [place + 1 for place in range(len(self.ids))]

    def merge(self, pair: _Pair, new_id: int) -> Iterable[_Pair]:
        """Join the pair at all its places, from left to right, and return the pairs whose counts this changed."""
        ids, before, after = self.ids, self.before, self.after
        first, second = pair
        lefts: defaultdict[int, list[int]] = defaultdict(list)  # an id, and the places where it precedes new_id
        rights: defaultdict[int, list[int]] = defaultdict(list)  # an id, and the places of new_id that it follows
        for here in self.places.pop(pair):
            there = after[here]
            if ids[here] != first or ids[there] != second:
                continue
            left, right = before[here], after[there]
            ids[here], ids[there] = new_id, _GONE
            after[here], before[right] = right, here
            if ids[left] != _GONE:
                lefts[ids[left]].append(left)
            if ids[right] != _GONE:
                rights[ids[right]].append(here)
        changes = [((left, first), (left, new_id), places) for left, places in lefts.items()]
        changes += [((second, right), (new_id, right), places) for right, places in rights.items()]
        for old, new, places in changes:
            times = sum([self.times[place] for place in places])
            self.counts[old] -= times
            self.counts[new] += times
            self.places[new] = places
        self.counts[pair] = 0
        return {changed for old, new, _ in changes for changed in (old, new)}


class _Queue:
    """The pairs by their counts. The highest count never rises, for a new pair is at most as common as the one joined
    into it, so the counts are walked down once, and the pairs of a count are sorted once, when its turn comes."""

    def __init__(self, counts: Mapping[_Pair, int], vocab: Mapping[int, bytes]) -> None:
        self.counts, self.vocab = counts, vocab
        self.turn = max(counts.values(), default=0)
        self.ready: list[_Pair] = []  # the pairs of the count whose turn it is, the greatest last
        self.later: defaultdict[int, list[_Pair]] = defaultdict(list)
        self.push(counts)

    def push(self, pairs: Iterable[_Pair]) -> None:
        for pair in pairs:
            count = self.counts[pair]
            if count == self.turn:
                insort(self.ready, pair, key=self.in_bytes)
            else:
                self.later[count].append(pair)

    def pop(self) -> _Pair | None:
        """The commonest pair, of equal ones the greatest, or None when no pair is left."""
        while self.turn:
            while self.ready:
                pair = self.ready.pop()
                if self.counts[pair] == self.turn:  # else it waits again under the lower count it has now
                    return pair
            self.turn -= 1
            self.ready = sorted(self.later.pop(self.turn, ()), key=self.in_bytes)
        return None

    def in_bytes(self, pair: _Pair) -> tuple[bytes, bytes]:
        return self.vocab[pair[0]], self.vocab[pair[1]]
