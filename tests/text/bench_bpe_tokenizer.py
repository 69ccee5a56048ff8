"""The ladder of encoding: each rung gives the same ids first, and is timed then.

Run with `python -m pytest --solutions tests/text/bench_bpe_tokenizer.py`, and `--quick` for short texts only.
"""

import pytest

pytest.importorskip("regex", reason="the kata needs the package regex")
from tests.support import climbed_and_checked


def test_the_ladder_of_encoding(benchmark, capsys, request):
    climbed_and_checked("tokenizer", 1, benchmark, capsys, request)
