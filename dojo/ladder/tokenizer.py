"""The ladders of the tokenizer: training a byte-pair vocabulary, and encoding with one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

from dojo.ladder import fast_bpe_encoding, fast_bpe_training, texts
from dojo.ladder.ladder import YOURS, Bar, Ladder, NotRight, Variant
from dojo.ladder.measuring import Step
from dojo.ladder.tokenizer_rungs import (
    encoder_in_rust,
    encoder_of_tiktoken,
    keep_the_counts,
    recount_everything,
    remembering,
    trained_in_rust,
)

FAST, RUST, TIKTOKEN = "fast", "tokenizers", "tiktoken"
SAME_IN_RUST = 0.8  # of the tokens: where pairs are equally common, tokenizers takes others
KB = 1000  # characters, which are bytes in these texts but for a few


class _OfText(Ladder):
    unit, rate = "KB", ("MB/s", 1e6)
    with_memory = False

    def work(self, size: int, which: str) -> float:
        return size * KB


class Training(_OfText):
    """train_bpe on English."""

    name, passes = "training", ("training",)
    shape = "byte pairs of English to 500 tokens, 1 000 from 500 KB, 8 000 from 1 000 KB"
    slug = "training"

    def __init__(self, reference: Any, own: Any = None, *, quick: bool = False) -> None:
        """`reference` is the module of text/bpe_training, `own` a learner's."""
        self.sizes = [8, 32, 130] if quick else [8, 32, 130, 500, 1000]
        rungs: list[tuple[str, Callable[..., Any], int | None]] = [
            *([] if own is None else [(YOURS, own.train_bpe, None)]),
            ("recount everything", recount_everything, 32),
            ("count words (plain)", reference.train_bpe, 130 if quick else 500),
            ("keep the counts", keep_the_counts, None),
            (FAST, fast_bpe_training.train_bpe, None),
            *([(RUST, trained_in_rust, None)] if find_spec("tokenizers") else []),
        ]
        # A rung is built of its text alone, so the problem is of no use to it.
        self.variants = [Variant(name, _always(do), False, longest) for name, do, longest in rungs]
        self.base = rungs[-1][0]
        self.bars = [Bar(FAST, RUST, 0.75, self.passes, (130, 1000))]  # 1 on a quiet machine

    @staticmethod
    def tokens(size: int) -> int:
        return 500 if size < 500 else 1000 if size < 1000 else 8000

    def problem(self, size: int) -> str:
        return texts.english(size * KB)

    def check(self, rung: Callable[..., Any], problem: str) -> None:
        tokens = self.tokens(len(problem) // KB)
        found, (vocab, merges) = rung(problem, tokens), _trained(problem, tokens)
        if rung is trained_in_rust:
            same = len({*found} & {*vocab.values()}) / tokens
            if same < SAME_IN_RUST or len(found) != tokens:
                raise NotRight(f"{same:.0%} of its {len(found)} tokens are those of the others")
        elif found != (vocab, merges):
            place = next((at for at, pair in enumerate(merges) if found[1][at : at + 1] != [pair]), len(merges))
            raise NotRight(f"merge number {place + 1} is not that of the others")

    def step(self, rung: Callable[..., Any], problem: str, which: str) -> Step:
        return Step(lambda: rung(problem, self.tokens(len(problem) // KB)))


def _always(rung: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda problem: rung


_trained = cache(fast_bpe_training.train_bpe)
PROSE, CODE, NEW = "English", "source code", "English with new words"


@dataclass(frozen=True)
class Passages:
    """The text of each pass, its ids, and the vocabulary."""

    text: dict[str, str]
    ids: dict[str, list[int]]
    vocabulary: tuple[Any, Any]


def _maker(make: Callable[..., Any], problem: Passages) -> Callable[[], Any]:
    return partial(make, *problem.vocabulary)


class Encoding(_OfText):
    """A tokenizer that has met the words of the text before, and a new one."""

    name, slug, passes = "encoding", "encoding", (CODE, NEW, PROSE)
    shape = "with 8 000 tokens"
    tokens = 8000

    def __init__(self, reference: Any, own: Any = None, *, quick: bool = False) -> None:
        """`reference` is the module of text/bpe_tokenizer, `own` a learner's."""
        self.sizes = [10, 100] if quick else [10, 100, 1000]
        plain, fast = reference.BPETokenizer, fast_bpe_encoding.BPETokenizer
        makes: list[tuple[str, Callable[..., Any], int | None]] = [
            *([] if own is None else [(YOURS, lambda *known: own.BPETokenizer(*known).encode, None)]),
            ("plain", lambda *known: plain(*known).encode, 100),
            ("words remembered", lambda *known: remembering(plain(*known).encode), None),
            (FAST, lambda *known: fast(*known).encode, None),
            *([(RUST, encoder_in_rust, None)] if find_spec("tokenizers") else []),
            *([(TIKTOKEN, encoder_of_tiktoken, None)] if find_spec("tiktoken") else []),
        ]
        # What is checked and timed is the way to make a tokenizer, for one pass wants new ones.
        self.variants = [Variant(name, partial(_maker, make), False, longest) for name, make, longest in makes]
        self.base = makes[-1][0]
        self.bars = [Bar(FAST, TIKTOKEN, 0.4, (PROSE, CODE), (1000, 1000))]  # 0.5 on a quiet machine

    def problem(self, size: int) -> Passages:
        vocabulary = _trained(texts.english(1000 * KB), self.tokens)
        prose, code = texts.english(size * KB), texts.source(size * KB)
        encode = fast_bpe_encoding.BPETokenizer(*vocabulary).encode
        text = {PROSE: prose, NEW: prose, CODE: code}
        return Passages(text, {which: encode(passage) for which, passage in text.items()}, vocabulary)

    def check(self, rung: Callable[[], Any], problem: Passages) -> None:
        encode = rung()
        for which in (PROSE, CODE):
            if (found := encode(problem.text[which])) != (right := problem.ids[which]):
                place = next((at for at, pair in enumerate(zip(found, right, strict=False)) if pair[0] != pair[1]), -1)
                raise NotRight(f"id number {place + 1} of the {which} is not that of the others")

    def step(self, rung: Callable[[], Any], problem: Passages, which: str) -> Step:
        encoders, text = [rung()], problem.text[which]

        def renew() -> None:
            encoders[0] = rung()

        return Step(lambda: encoders[0](text), renew if which == NEW else lambda: None)
