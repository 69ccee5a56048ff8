"""A pytest plugin for a spare: a process that has loaded all that depends on no kata, and waits before it collects.

One line on its standard input, the deadline, lets it begin. Without that line its parent is gone, and it ends.
"""

import contextlib
import importlib
import os

import pytest

from dojo.verdict.child import limit

# What tests and katas import, or Hypothesis for its first test: the first import of each takes long.
LOADED = (
    *("torch", "numpy.random", "hypothesis.internal.conjecture.optimiser", "jaxtyping", "beartype", "beartype.door"),
    *("pydoc_data.topics", "safetensors"),
)

# pytest puts an empty input in place of this one before it collects, so that tests find none.
INPUT = os.fdopen(os.dup(0), encoding="utf-8")


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    for name in LOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with INPUT:
        deadline = INPUT.readline().strip()
    if not deadline:
        os._exit(0)
    limit(float(deadline))
