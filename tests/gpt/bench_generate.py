"""The ladder of generation: each rung gives the same tokens first, and is timed then.

Run with `python -m pytest --solutions tests/gpt/bench_generate.py`, and `--quick` for fewer tokens.
"""

from tests.support import climbed_and_checked


def test_the_ladder_of_generation(benchmark, capsys, request):
    climbed_and_checked("generation", 0, benchmark, capsys, request)
