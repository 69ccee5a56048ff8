"""The figure of docs/benchmarks.md: the ladder of attention as it was measured, from docs/measured."""

from matplotlib.figure import Figure

from docs.figures.style import save
from dojo import ROOT
from dojo.ladder import drawing
from dojo.ladder.table import from_json

NUMBERS = ROOT / "docs" / "measured" / "attention-cpu-float32.json"


def draw() -> Figure:
    return drawing.draw(from_json(NUMBERS.read_text(encoding="utf-8"))[0])


if __name__ == "__main__":
    save(draw(), "ladder")
