"""The house style of the figures, and the one way to write them: the same bytes on every run.

A file has an opaque, soft card, which a dark system shows inverted, so that it is legible wherever it is shown. The
pages take the drawing without its card (docs/pages.py). Text stays text: it can be selected, searched and read
aloud; the fonts named here have the widths that matplotlib reckons with. A script looks like this:

    def draw() -> Figure:
        figure, axes = panel(6, 2)
        cell(axes, 1, 1, "2.0", fill=WARM)
        return figure

    if __name__ == "__main__":
        save(draw(), "attention/causal")

and is run from the root of the repository: python -m docs.figures.attention.causal
"""

import io
import re
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

CARD = "#f6f3ec"
INK = "#2b2a33"
FAINT = "#6f6b78"  # second voice: units, axes, what is left out; 4.5 to 1 on the card
EDGE = "#cfc9bc"
COOL = "#3d6fa5"
WARM = "#e0a458"
HIDDEN = "#e4dfd3"  # a place that takes no part

FONTS = "'DejaVu Sans', Verdana, sans-serif"
DARK = "<style>@media (prefers-color-scheme: dark) { svg { filter: invert(1) hue-rotate(180deg) } }</style>"

_SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.facecolor": CARD,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "lines.linewidth": 2,
    "svg.fonttype": "none",
    "svg.hashsalt": "llm-katas",
}
matplotlib.rcdefaults()  # a reader's own matplotlibrc changes nothing
matplotlib.rcParams.update(_SETTINGS)


def panel(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty card of width by height inches, measured in inches from its upper left corner, x right and y down."""
    figure = Figure(figsize=(width, height), facecolor=CARD)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes


def shade(amount: float, colour: str = COOL) -> str:
    """The colour at a strength between 0, where it is the card's own, and 1, where it is full."""
    pairs = zip(to_rgb(colour), to_rgb(CARD), strict=True)
    red, green, blue = (amount * full + (1 - amount) * card for full, card in pairs)
    return to_hex((red, green, blue))


def ink_on(fill: str) -> str:
    """The ink, dark or light, that reads well on a fill."""
    red, green, blue = to_rgb(fill)
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else CARD


def cell(
    axes: Axes,
    x: float,
    y: float,
    text: str = "",
    fill: str = CARD,
    width: float = 0.5,
    height: float = 0.5,
    **text_style: Any,
) -> None:
    """A box with a text in its middle; x and y are its upper left corner, all in inches."""
    box = FancyBboxPatch((x + 0.02, y + 0.02), width - 0.04, height - 0.04, boxstyle="round,pad=0,rounding_size=0.05")
    box.set(facecolor=fill, edgecolor=EDGE, linewidth=0.8)
    axes.add_patch(box)
    style = {"ha": "center", "va": "center_baseline", "color": ink_on(fill)} | text_style
    axes.text(x + width / 2, y + height / 2, text, **style)


def screen(ansi: str, columns: int, title: str) -> str:
    """A picture of a terminal as SVG, from what a command printed in colour."""
    console = Console(record=True, width=columns, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    console.print(Text.from_ansi(ansi.rstrip("\n")), soft_wrap=True)
    plain = re.sub(r"@font-face {{.*?}}\s*(?=\.|@)", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    plain = plain.replace("Fira Code, monospace", "Menlo, Consolas, DejaVu Sans Mono, monospace")
    return console.export_svg(title=title, code_format=plain, unique_id=re.sub(r"\W+", "-", title))


def svg(figure: Figure | str) -> str:
    """The figure as SVG, without a date, a version or anything else that depends on the run or the machine."""
    if isinstance(figure, str):
        return "\n".join(line.rstrip() for line in figure.splitlines()) + "\n"
    drawn = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(drawn, format="svg", metadata=nothing)
    # The last digits differ between processors; no eye sees a ten-thousandth of a point.
    rounded = re.sub(r"-?\d+\.\d{5,}", lambda found: f"{round(float(found[0]), 4) + 0.0:g}", drawn.getvalue())
    styled = rounded.replace("'DejaVu Sans'", FONTS).replace("<defs>", f"<defs>{DARK}", 1)
    return "\n".join(line.rstrip() for line in styled.splitlines()) + "\n"


def save(figure: Figure | str, address: str) -> None:
    """Write the figure where the page of the same address shows it: docs/figures/<address>.svg."""
    path = Path(__file__).parent / f"{address}.svg"
    path.write_text(svg(figure), encoding="utf-8", newline="\n")
