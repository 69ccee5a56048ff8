"""Every figure in docs/figures is, byte for byte, what its script draws from the reference."""

import importlib
import json
import os
from xml.etree import ElementTree

from dojo import ROOT
from dojo.catalog.curriculum import Place
from dojo.check.arguments import parser
from dojo.serving.finder import ROOMS

FIGURES = ROOT / "docs" / "figures"


def main(argv: list[str]) -> int:
    arguments = parser("figures", __doc__)
    arguments.add_argument("--write", action="store_true", help="write the figures instead of comparing them")
    options = arguments.parse_args(argv)
    os.environ[ROOMS] = json.dumps({"*": "solutions"})
    stale = 0
    addresses = [kata.address for kata in options.katas] or scripts()
    for address in addresses:
        figure = Place(address).figure
        drawn = draw(address)
        if options.write:
            figure.write_text(drawn, encoding="utf-8", newline="\n")
        elif not figure.is_file() or figure.read_text(encoding="utf-8") != drawn:
            stale += 1
            place = figure.relative_to(ROOT).as_posix()
            print(f"{place} is not what its script draws: python -m dojo.check figures --write")
    print(f"{len(addresses)} figures, {stale} stale")
    return 1 if stale else 0


def scripts() -> list[str]:
    """The addresses of all figures: one for each kata, and those of other pages."""
    paths = (path.relative_to(FIGURES).with_suffix("") for path in FIGURES.rglob("*.py"))
    return sorted(path.as_posix() for path in paths if path.name not in ("__init__", "style"))


def draw(address: str) -> str:
    """A figure, drawn again."""
    from docs.figures.style import svg

    drawn = svg(importlib.import_module(f"docs.figures.{address.replace('/', '.')}").draw())
    ElementTree.fromstring(drawn)  # a browser shows nothing of an SVG that is not valid XML
    return drawn
