"""Kata: training a byte-pair encoding. The why, a figure and hints: docs/text/bpe_training.md."""

import reprlib
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import regex

# GPT-2's pattern, for the regex package: a contraction, or a run of letters, of digits or of other signs with the space
# before it, or white space, of which the last one before a word is left to that word.
SPLIT_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def pair_counts(words: Mapping[tuple[int, ...], int]) -> dict[tuple[int, int], int]:
    """Count how often each pair of neighbouring ids occurs in a text.

    `words` maps each distinct piece of the text, as a tuple of ids, to how often the piece occurs.

    Clauses:
        neighbours  A pair is two ids side by side: the piece 1, 2, 3 holds (1, 2) and (2, 3), and no other pair.
        overlap     Overlapping pairs all count: the piece 1, 1, 1 holds (1, 1) twice.
        weighted    A piece that occurs n times counts n times.
        borders     The last id of a piece and the first of the next one are no pair.
        kept        words stays as it was.
    """
    counts: dict[tuple[int, int], int] = {}
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] = counts.get(pair, 0) + times
    return counts


def merge_pair(ids: Sequence[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """Replace a pair of neighbouring ids by one new id, wherever it occurs in a piece.

    Clauses:
        replaced  Every occurrence of the pair becomes new_id, and all other ids stay, in their order.
        leftmost  Occurrences are taken from the left and share no id: 1, 1, 1 becomes new_id, 1.
        new-list  The result is a list of its own, and ids stays as it was.
    """
    merged, at = [], 0
    while at < len(ids):
        found = tuple(ids[at : at + 2]) == pair
        merged.append(new_id if found else ids[at])
        at += 2 if found else 1
    return merged


def train_bpe(
    text: str, vocab_size: int, special_tokens: Sequence[str] = ()
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Learn a byte-pair encoding from a text: join the commonest pair of neighbours, and again, until vocab is full.

    The result is `vocab`, from each id to its bytes, and `merges`, the pairs of byte strings joined, in the order made.

    Clauses:
        commonest   Each merge joins the pair that occurs most often in the text as it is merged so far.
        bytes       Ids 0 to 255 are the single bytes, in order.
        joined      Merge number n, from 0, makes id 256 + n, whose bytes are those of its pair, left before right.
        ties        Among equally common pairs the greater one is joined, compared as tuples of byte strings.
        room        Merging ends when vocab holds vocab_size tokens, with the single bytes and special tokens counted.
        rare        A pair that occurs once is joined too, as long as there is room.
        exhausted   When no pair is left, vocab is smaller than vocab_size.
        encoded     A piece is its UTF-8 bytes, so that one character can be several ids.
        pieces      Pairs are counted and joined within the pieces that SPLIT_PATTERN finds, never across them.
        specials    Special tokens, a list or a tuple, take the ids after the last merge, in the order given.
        cut         The text is cut at its special tokens before it is split, and these take no part in any pair.
        longest     Special tokens are found from left to right, the longest of those that begin at a place.
        literal     A special token means its own characters, also those that mean something in a pattern.
        order       Only how often each piece occurs decides, not the order in which the pieces come.
        untouched   A call changes neither special_tokens nor what the next call gives.
        recount     The merges are those of counting all pairs anew before each merge.
        ranks       With the ids of vocab as ranks, tiktoken encodes the text into the tokens that the merges give.
        any-text    Every text that is valid Unicode can be trained on, the empty one too.
        too-small   A vocab_size below 256 plus the special tokens raises a ValueError that names both numbers.
        repeated    A special token given twice raises a ValueError that names it.
        empty       An empty special token raises a ValueError that names its index.
        one-string  A single str as special_tokens raises a TypeError that names it.
        no-string   A special token that is no str raises a TypeError that names its type and value.
        no-text     A text that is no str raises a TypeError that names its type and value.
        surrogate   A lone surrogate in text or in a special token raises a ValueError, no UnicodeEncodeError, that
                    names its index.

    Not allowed: tiktoken, tokenizers, sentencepiece.
    Source: Gage 1994; Sennrich et al. 2016, section 3.2; Radford et al. 2019, section 2.2; book section 2.5 uses one.
    """
    _refuse_what_cannot_be_trained(text, vocab_size, special_tokens)
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


_Pair = tuple[int, int]
_GONE = -1  # instead of an id: no piece goes on here


def _refuse_what_cannot_be_trained(text: str, vocab_size: int, special_tokens: Sequence[str]) -> None:
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, not {type(text).__name__} {reprlib.repr(text)}")
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens must be a list or a tuple of str, not the single str {special_tokens!r}")
    smallest = 256 + len(special_tokens)
    if vocab_size < smallest:
        raise ValueError(f"vocab_size {vocab_size} is too small: bytes and special tokens alone take {smallest}")
    for index, token in enumerate(special_tokens):
        if not isinstance(token, str):
            raise TypeError(f"special token {index} must be a str, not {type(token).__name__} {reprlib.repr(token)}")
        if not token:
            raise ValueError(f"special token {index} is empty")
        if token in special_tokens[:index]:
            raise ValueError(f"special token {token!r} is repeated")
        _refuse_surrogates(f"special token {index}", token)
    _refuse_surrogates("text", text)


def _refuse_surrogates(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} has a lone surrogate at index {error.start}") from None


def _words(text: str, special_tokens: Sequence[str]) -> dict[tuple[int, ...], int]:
    """The distinct pieces of the text, as bytes, and how often each occurs."""
    # Of several alternatives a pattern takes the first that fits, so the longest has to stand first.
    cut = "|".join(map(regex.escape, sorted(special_tokens, key=len, reverse=True)))
    pieces: Counter[str] = Counter()
    for part in regex.split(cut, text) if cut else [text]:
        pieces.update(regex.findall(SPLIT_PATTERN, part))
    return {tuple(piece.encode()): times for piece, times in pieces.items()}


class _Corpus:
    """Every distinct piece once, in one long row of places, where a merge visits only the places it joins."""

    def __init__(self, words: Mapping[tuple[int, ...], int]) -> None:
        self.counts = defaultdict(int, pair_counts(words))
        self.ids = [_GONE]  # the id at each place; between two pieces lies a place without one
        self.times = [0]  # how often the piece around a place occurs
        # Where each pair may begin, from left to right: a place stays listed after a merge has taken it.
        self.places: defaultdict[_Pair, list[int]] = defaultdict(list)
        for word, times in words.items():
            for place, pair in enumerate(pairwise(word), start=len(self.ids)):
                self.places[pair].append(place)
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
