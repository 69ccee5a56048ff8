"""What the tests of the repository and its tools share."""

from pathlib import Path

import pytest

from tests.meta.scratch import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    """A copy of the repository, as on a fresh clone."""
    return Scratch(tmp_path / "clone")


@pytest.fixture
def toys(scratch: Scratch) -> Scratch:
    """A copy whose only katas are two small ones without torch: toys/doubling, and toys/quadrupling on top of it."""
    scratch.only_toys()
    return scratch
