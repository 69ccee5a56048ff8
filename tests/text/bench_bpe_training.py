"""How fast training is: the fast form on the ladder beside the Rust trainer of `tokenizers` and the plain reference.

Run with `python -m pytest --solutions tests/text/bench_bpe_training.py`. Before anything is timed, the merges are
checked. What is asserted are ratios of times that were measured in turn, in this run; seconds are only told, and the
plain reference has no bar.
"""

import ast
import sysconfig
import time
from pathlib import Path
from pydoc_data.topics import topics

import pytest

pytest.importorskip("regex", reason="training a byte-pair encoding needs the package regex")
from dojo.ladder.fast_bpe_training import train_bpe as fast_train_bpe
from dojo.serving.annotations import unchecked
from katas.text.bpe_training import train_bpe

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

    with unchecked():  # checking annotations takes longer than what is measured
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
    assert fast_train_bpe(text, 400) == train_bpe(text, 400), "before timing: the two give different merges"


@pytest.mark.parametrize(("size", "vocab_size"), [(130_000, 500), (1_000_000, 8_000)], ids=["130 KB", "1 MB"])
def test_fast_against_rust(size, vocab_size, benchmark, capsys):
    pytest.importorskip("tokenizers", reason="the Rust trainer is in the package tokenizers, which is not installed")
    check_merges()
    text = english(size)
    assert len(text) == size, f"only {len(text)} characters of English were found"
    assert len(fast_train_bpe(text, vocab_size)[0]) == trained_in_rust(text, vocab_size).get_vocab_size() == vocab_size
    ours, theirs = in_turn(
        benchmark, lambda: fast_train_bpe(text, vocab_size), lambda: trained_in_rust(text, vocab_size)
    )
    ratio = tell(benchmark, capsys, f"{size // 1000} KB to {vocab_size} tokens, fast", size, ours, theirs, "tokenizers")
    assert ratio < 1.5, f"{ratio:.2f} of the Rust trainer's time; it was at 0.8 or below when this was written"


def test_plain_against_fast(benchmark, capsys):
    """The served kata, which recounts before each merge: told and not judged."""
    check_merges()
    text = HELP[:130_000]
    ours, theirs = in_turn(benchmark, lambda: train_bpe(text, 500), lambda: fast_train_bpe(text, 500), rounds=2)
    tell(benchmark, capsys, "130 KB to 500 tokens, plain", len(text), ours, theirs, "fast")


def test_fast_on_one_long_piece(benchmark, capsys):
    """A piece of 100 000 letters takes about ten times as long as one of 10 000."""
    check_merges()
    long, short = "a" * 100_000, "a" * 10_000
    ours, theirs = in_turn(benchmark, lambda: fast_train_bpe(long, 300), lambda: fast_train_bpe(short, 300))
    ratio = tell(benchmark, capsys, "100 KB of one letter to 300 tokens", len(long), ours, theirs, "10 KB")
    assert ratio < 30, f"ten times the letters took {ratio:.0f} times as long"
