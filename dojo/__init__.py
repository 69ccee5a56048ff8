"""The `dojo` command: it serves, tests and explains katas, and trains what a learner has written."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
