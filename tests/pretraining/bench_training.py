"""The ladder of a training step: each rung gives the same loss and gradients first, and is timed then.

Run with `python -m pytest --solutions tests/pretraining/bench_training.py`, and `--quick` for one text in a batch.
"""

from tests.support import climbed_and_checked


def test_the_ladder_of_a_training_step(benchmark, capsys, request):
    climbed_and_checked("training", 0, benchmark, capsys, request)
