"""The ladder of training: each rung gives the same merges first, and is timed then.

Run with `python -m pytest --solutions tests/text/bench_bpe_training.py`, and `--quick` for short texts only.
"""

import pytest

pytest.importorskip("regex", reason="training a byte-pair encoding needs the package regex")
from tests.support import climbed_and_checked


def test_the_ladder_of_training(benchmark, capsys, request):
    climbed_and_checked("tokenizer", 0, benchmark, capsys, request)
