"""The `dojo` command: it serves, tests and explains katas, and trains what a learner has written."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext dojo` calls in a notebook."""
    from dojo.notebook.magic import load

    load(shell)
