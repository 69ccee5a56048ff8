"""What the tests of the repository and its tools share."""

import signal
from pathlib import Path

import pytest

from tests.meta.scratch import Scratch

# A shell has what it starts in its background ignore SIGINT, and the processes that a test interrupts inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    """A copy of the repository, as on a fresh clone."""
    return Scratch(tmp_path / "clone")


@pytest.fixture
def toys(scratch: Scratch) -> Scratch:
    """A copy whose only katas are two small ones without torch: toys/doubling, and toys/quadrupling on top of it."""
    scratch.only_toys()
    return scratch
