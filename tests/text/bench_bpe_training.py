"""How fast the reference trains: against the Rust trainer of `tokenizers`, against recounting, and at its worst.

Run with `python -m pytest --solutions tests/text/bench_bpe_training.py`. Before anything is timed, the merges are
checked. What is asserted are ratios of times that were measured in turn, in this run; seconds are only told.
"""

import ast
import sysconfig
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics

import pytest

regex = pytest.importorskip("regex", reason="training a byte-pair encoding needs the package regex")
from katas.text.bpe_training import SPLIT_PATTERN, train_bpe  # noqa: E402

HELP = "\n".join(topics[name] for name in sorted(topics))  # the language reference inside every Python, about 465 KB


def english(size):
    """Real English of a size in characters: the language reference, then docstrings of the standard library."""
    texts, library = [HELP], Path(sysconfig.get_path("stdlib"))
    found = len(HELP)
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-z]*/*.py")):
        if found > size or path.parent.name in ("site-packages", "test"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                texts.append(text)
                found += len(text) + 1
    return "\n".join(texts)[:size]


def recounted(text, vocab_size):
    """The plain way: count every pair of every distinct piece anew before each merge."""
    words = Counter(tuple(piece.encode()) for piece in regex.findall(SPLIT_PATTERN, text))
    vocab, merges = {byte: bytes([byte]) for byte in range(256)}, []
    while len(vocab) < vocab_size:
        counts = defaultdict(int)
        for word, times in words.items():
            for pair in pairwise(word):
                counts[pair] += times
        left, right = pair = max(counts, key=lambda pair: (counts[pair], vocab[pair[0]], vocab[pair[1]]))
        words = {joined(word, pair, len(vocab)): times for word, times in words.items()}
        merges.append((vocab[left], vocab[right]))
        vocab[len(vocab)] = vocab[left] + vocab[right]
    return vocab, merges


def joined(word, pair, new_id):
    """A piece with the pair joined wherever it stands; most pieces do not hold it, and come back as they are."""
    if pair not in pairwise(word):
        return word
    result, at = [], 0
    while at < len(word):
        found = word[at : at + 2] == pair
        result.append(new_id if found else word[at])
        at += 2 if found else 1
    return tuple(result)


def trained_in_rust(text, vocab_size):
    """The same training by `tokenizers`: bytes first, GPT-2's pieces. Only its ties fall differently."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = BpeTrainer(vocab_size=vocab_size, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def in_turn(benchmark, ours, theirs, rounds=5):
    """The least seconds of two functions that take turns, so that what slows the machine slows both."""
    seconds = {ours: [], theirs: []}

    def turn():
        for function in (ours, theirs):
            start = time.perf_counter()
            function()
            seconds[function].append(time.perf_counter() - start)

    benchmark.pedantic(turn, rounds=rounds)
    return min(seconds[ours]), min(seconds[theirs])


def tell(benchmark, capsys, what, size, ours, theirs, against):
    """Put the figures into the benchmark's record and on the terminal, and return the ratio of the two times."""
    ratio = ours / theirs
    figures = {"MB/s": size / 1e6 / ours, "seconds": ours, f"seconds, {against}": theirs, "ratio": ratio}
    benchmark.extra_info.update({name: round(figure, 4) for name, figure in figures.items()})
    with capsys.disabled():
        print(f"\n{what:<38}{ours:8.3f} s {size / 1e6 / ours:7.2f} MB/s {theirs:8.3f} s {against:<22}ratio {ratio:.3f}")
    return ratio


def check_merges():
    text = HELP[:20_000]
    assert train_bpe(text, 400) == recounted(text, 400), "before timing: these are not the merges of recounting"


@pytest.mark.parametrize(("size", "vocab_size"), [(130_000, 500), (1_000_000, 8_000)], ids=["130 KB", "1 MB"])
def test_against_rust(size, vocab_size, benchmark, capsys):
    pytest.importorskip("tokenizers", reason="the Rust trainer is in the package tokenizers, which is not installed")
    check_merges()
    text = english(size)
    assert len(text) == size, f"only {len(text)} characters of English were found"
    assert len(train_bpe(text, vocab_size)[0]) == trained_in_rust(text, vocab_size).get_vocab_size() == vocab_size
    ours, theirs = in_turn(benchmark, lambda: train_bpe(text, vocab_size), lambda: trained_in_rust(text, vocab_size))
    ratio = tell(benchmark, capsys, f"{size // 1000} KB to {vocab_size} tokens", size, ours, theirs, "tokenizers")
    assert ratio < 1.5, (
        f"{ratio:.2f} of the Rust trainer's time; the reference was at 0.8 or below when this was written"
    )


def test_against_recounting(benchmark, capsys):
    check_merges()
    text = HELP[:130_000]
    ours, theirs = in_turn(benchmark, lambda: train_bpe(text, 320), lambda: recounted(text, 320), rounds=2)
    ratio = tell(benchmark, capsys, "130 KB to 320 tokens", len(text), ours, theirs, "recounting")
    assert ratio < 0.2, f"{ratio:.2f} of the time of recounting: a merge should visit only the places it joins"


def test_one_long_piece(benchmark, capsys):
    """A piece of 100 000 letters takes as long as ten of 10 000: the time grows with the text, not with its square."""
    check_merges()
    long, short = "a" * 100_000, "a" * 10_000
    ours, theirs = in_turn(benchmark, lambda: train_bpe(long, 300), lambda: train_bpe(short, 300))
    ratio = tell(benchmark, capsys, "100 KB of one letter to 300 tokens", len(long), ours, theirs, "10 KB")
    assert ratio < 30, f"ten times the letters took {ratio:.0f} times as long"
