"""The `dojo` command and the frame beneath the katas: serving, specification, stubs, telling, diagnosis."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
