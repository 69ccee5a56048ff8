"""The reference trainer on a whole book of real text: the language reference that comes with every Python."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pydoc_data.topics import topics
from typing import Any

import pytest
import regex
import tiktoken

from dojo import ROOT
from dojo.serving.finder import ROOMS, served
from tests.support import SCRIPTS

HELP = "\n".join(topics[name] for name in sorted(topics))


@pytest.fixture
def kata() -> Iterator[Any]:
    with served({"*": "solutions"}):
        from katas.text import bpe_training

        yield bpe_training


def test_tiktoken_encodes_the_language_reference_with_the_ranks_and_decodes_it_back(kata):
    vocab, merges = kata.train_bpe(HELP, 1000)
    assert len(HELP) > 300_000
    assert (len(vocab), len(merges)) == (1000, 744)
    ranks = {token: rank for rank, token in vocab.items()}
    assert len(ranks) == len(vocab), "two ids have the same bytes"
    encoding = tiktoken.Encoding("help", pat_str=kata.SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens={})
    ids = encoding.encode_ordinary(HELP)
    assert encoding.decode_bytes(ids) == HELP.encode()
    assert len(ids) < 0.45 * len(HELP.encode())


def test_merges_of_many_pages_are_those_of_recounting(kata):
    text = HELP[:60_000]
    pieces = Counter(
        tuple(bytes([byte]) for byte in piece.encode()) for piece in regex.findall(kata.SPLIT_PATTERN, text)
    )
    merges = []
    for _ in range(120):
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for piece, times in pieces.items():
            for pair in pairwise(piece):
                counts[pair] += times
        merges.append(max(counts, key=lambda pair: (counts[pair], pair)))
        pieces = Counter({joined(piece, merges[-1]): times for piece, times in pieces.items()})
    assert kata.train_bpe(text, 256 + 120)[1] == merges


def joined(piece: tuple[bytes, ...], pair: tuple[bytes, bytes]) -> tuple[bytes, ...]:
    """The piece with the pair joined wherever it occurs: at its first place, and then in what follows."""
    if pair not in pairwise(piece):
        return piece
    at = list(pairwise(piece)).index(pair)
    return (*piece[:at], pair[0] + pair[1], *joined(piece[at + 2 :], pair))


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_pattern_splits_as_the_one_that_tiktoken_ships_for_gpt2(kata, script):
    gpt2 = pytest.importorskip("tiktoken_ext.openai_public").r50k_pat_str
    assert regex.findall(kata.SPLIT_PATTERN, SCRIPTS[script]) == regex.findall(gpt2, SCRIPTS[script])


def test_no_order_of_hashes_changes_the_merges():
    program = (
        "from pydoc_data.topics import topics; from katas.text.bpe_training import train_bpe; "
        "print(train_bpe(topics['strings'], 400, ['<b>', '<a>']))"
    )
    seen = set()
    for seed in ("0", "1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, ROOMS: '{"*": "solutions"}'}
        run = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            check=True,
            encoding="utf-8",
        )
        seen.add(run.stdout)
    assert len(seen) == 1
