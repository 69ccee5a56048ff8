"""The picture of a verdict in README.md and on the first page; tests/meta/test_readme.py writes and holds its text."""

from pathlib import Path

from docs.figures.style import save, screen

TEXT = Path(__file__).with_suffix(".ansi")
COLUMNS = 90


def draw() -> str:
    return screen(TEXT.read_text(encoding="utf-8"), COLUMNS, "dojo test causal")


if __name__ == "__main__":
    save(draw(), "verdict")
