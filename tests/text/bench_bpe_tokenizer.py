"""How fast encoding is: the fast form on the ladder beside tiktoken, and the plain reference without a bar.

Run with `python -m pytest --solutions tests/text/bench_bpe_tokenizer.py`. Before anything is timed, the ids are proved
equal to tiktoken's. What is asserted are ratios of times measured in turn, in this run; seconds are only told.
"""

import ast
import sysconfig
import time
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

import pytest

pytest.importorskip("regex", reason="the kata needs the package regex")
tiktoken = pytest.importorskip("tiktoken", reason="the speed is compared with tiktoken, which is not installed")
from dojo.ladder.fast_bpe_encoding import BPETokenizer as FastTokenizer  # noqa: E402
from dojo.ladder.fast_bpe_training import SPLIT_PATTERN, train_bpe  # noqa: E402
from dojo.serving.annotations import unchecked  # noqa: E402
from katas.text.bpe_tokenizer import BPETokenizer  # noqa: E402
from tests.support import gpt2  # noqa: E402

END = "<|end|>"
SIZE = 1_000_000


@cache
def english():
    """A megabyte of real English: the language reference inside every Python, then docstrings of its library."""
    texts, library = [topics[name] for name in sorted(topics)], Path(sysconfig.get_path("stdlib"))
    found = sum(map(len, texts))
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-z]*/*.py")):
        if found > SIZE or path.parent.name in ("site-packages", "test"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                texts.append(text)
                found += len(text)
    return "\n".join(texts)[:SIZE]


@cache
def of_size(vocab_size):
    """A vocabulary learned on the text, our tokenizer of it, and tiktoken's with the same ranks."""
    vocab, merges = train_bpe(english(), vocab_size, [END])
    ranks = {token: rank for rank, token in vocab.items() if token != END.encode()}
    special = {END: vocab_size - 1}
    theirs = tiktoken.Encoding("bench", pat_str=SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens=special)
    return vocab, merges, FastTokenizer(vocab, merges, [END]), theirs


def proved(ours, theirs, text):
    """The ids of the text, after both have given the same."""
    ids = theirs.encode(text, allowed_special="all")
    assert ours.encode(text) == ids, "before timing: these are not tiktoken's ids"
    assert ours.decode(ids) == text, "before timing: the ids are not decoded into the text"
    return ids


def in_turn(benchmark, *functions, rounds=7):
    """The least seconds of functions that take turns, so that what slows the machine slows all of them."""
    seconds = {function: [] for function in functions}

    def turn():
        for function in functions:
            start = time.perf_counter()
            function()
            seconds[function].append(time.perf_counter() - start)

    with unchecked():  # checking annotations takes longer than what is measured
        benchmark.pedantic(turn, rounds=rounds)
    return [min(taken) for taken in seconds.values()]


def tell(benchmark, capsys, what, size, ours, theirs):
    """Put the figures into the benchmark's record and on the terminal, and return our speed, with tiktoken's as 1."""
    speed = theirs / ours
    figures = {"MB/s": size / 1e6 / ours, "seconds": ours, "seconds, tiktoken": theirs, "speed": speed}
    benchmark.extra_info.update({name: round(figure, 4) for name, figure in figures.items()})
    with capsys.disabled():
        mine, other = f"{ours:7.3f} s {size / 1e6 / ours:6.1f} MB/s", f"{theirs:7.3f} s {size / 1e6 / theirs:6.1f} MB/s"
        print(f"\n{what:<36}{mine}   tiktoken {other}   speed {speed:.2f}")
    return speed


@pytest.mark.parametrize("vocab_size", [1000, 8000])
def test_encoding(vocab_size, benchmark, capsys):
    """A megabyte of English, with a tokenizer that has met its words before."""
    _, _, ours, theirs = of_size(vocab_size)
    text = english()
    assert len(text) == SIZE, f"only {len(text)} characters of English were found"
    proved(ours, theirs, text)
    seconds = in_turn(benchmark, lambda: ours.encode(text), lambda: theirs.encode(text, allowed_special="all"))
    speed = tell(benchmark, capsys, f"1 MB with {vocab_size} tokens", SIZE, *seconds)
    assert speed > 0.5, f"{speed:.2f} of tiktoken's speed; it was at 0.7 or above when this was written"


def test_encoding_for_the_first_time(benchmark, capsys):
    """The same with a tokenizer that has met none of the words: each is worked out once, and then looked up."""
    vocab, merges, _, theirs = of_size(8000)
    text, fresh = english(), [FastTokenizer(vocab, merges, [END]) for _ in range(5)]
    proved(FastTokenizer(vocab, merges, [END]), theirs, text)
    seconds = in_turn(
        benchmark, lambda: fresh.pop().encode(text), lambda: theirs.encode(text, allowed_special="all"), rounds=5
    )
    speed = tell(benchmark, capsys, "1 MB with 8000 tokens, new words", SIZE, *seconds)
    assert speed > 0.1, f"{speed:.2f} of tiktoken's speed: a word has to be worked out once, and not wherever it occurs"


def test_plain_encoding(benchmark, capsys):
    """The served kata on a tenth of the text: told and not judged."""
    vocab, merges, _, theirs = of_size(1000)
    plain, text = BPETokenizer(vocab, merges, [END]), english()[: SIZE // 10]
    proved(plain, theirs, text)
    seconds = in_turn(
        benchmark, lambda: plain.encode(text), lambda: theirs.encode(text, allowed_special="all"), rounds=2
    )
    tell(benchmark, capsys, "0.1 MB with 1000 tokens, plain", len(text), *seconds)


@pytest.mark.parametrize("kind", ["lines", "blocks"])
def test_streaming(kind, benchmark, capsys):
    """The same text in chunks: what it costs that a text may be cut anywhere."""
    _, _, ours, theirs = of_size(8000)
    text = english()
    blocks = [text[start : start + 65_536] for start in range(0, SIZE, 65_536)]
    chunks = blocks if kind == "blocks" else text.splitlines(keepends=True)
    assert list(ours.encode_iterable(chunks)) == proved(ours, theirs, text), "before timing: the chunks give other ids"
    streamed, whole, other = in_turn(
        benchmark,
        lambda: list(ours.encode_iterable(chunks)),
        lambda: ours.encode(text),
        lambda: [token_id for chunk in chunks for token_id in theirs.encode(chunk, allowed_special="all")],
    )
    tell(benchmark, capsys, f"1 MB in {len(chunks)} {kind}", SIZE, streamed, other)
    assert streamed < 6 * whole, f"{streamed / whole:.1f} times the time of encode; it was at 3 or below"


def test_building(benchmark, capsys):
    """A tokenizer of GPT-2's 50 257 tokens, from vocab and merges, and from ranks as tiktoken's."""
    encoding, merges = gpt2()
    vocab = {token_id: encoding.decode_single_token_bytes(token_id) for token_id in range(encoding.n_vocab)}
    ranks = {token: rank for rank, token in vocab.items() if rank != encoding.eot_token}
    special = {"<|endoftext|>": encoding.eot_token}
    ours = FastTokenizer(vocab, merges, list(special))
    proved(ours, encoding, english()[:100_000])
    from_merges, from_ranks, other = in_turn(
        benchmark,
        lambda: FastTokenizer(vocab, merges, list(special)),
        lambda: FastTokenizer.from_ranks(ranks, special),
        lambda: tiktoken.Encoding("b", pat_str=SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens=special),
    )
    size = sum(map(len, ranks))
    tell(benchmark, capsys, "building GPT-2 from merges", size, from_merges, other)
    tell(benchmark, capsys, "building GPT-2 from ranks", size, from_ranks, other)
    assert from_merges < 8 * other, f"{from_merges / other:.1f} times tiktoken's time, with merges to check"
    assert from_ranks < 4 * other, f"{from_ranks / other:.1f} times tiktoken's time, from the same ranks"
