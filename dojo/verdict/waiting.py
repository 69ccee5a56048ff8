"""A pytest plugin for a spare: a process that has loaded all that depends on no kata, and waits before it collects.

One line on its standard input, the deadline, lets it begin. Without that line its parent is gone, and it ends.
"""

import contextlib
import importlib
import os
import sys

import pytest

from dojo.verdict.child import limit

# What tests and katas import: the first import of each takes long.
LOADED = ("torch", "numpy", "hypothesis", "jaxtyping", "beartype", "beartype.door", "pydoc_data.topics", "safetensors")


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    for name in LOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    deadline = sys.stdin.readline().strip()
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)  # a kata that reads its input finds none
    os.close(nowhere)
    if not deadline:
        os._exit(0)
    limit(float(deadline))
