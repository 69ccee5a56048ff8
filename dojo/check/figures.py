"""Every figure in docs/figures is, byte for byte, what its script draws from the reference."""

import importlib
import json
import os
from xml.etree import ElementTree

from dojo import ROOT
from dojo.check.arguments import chosen, parser
from dojo.curriculum import Kata
from dojo.serving import ROOMS


def main(argv: list[str]) -> int:
    arguments = parser("figures", __doc__)
    arguments.add_argument("--write", action="store_true", help="write the figures instead of comparing them")
    options = arguments.parse_args(argv)
    os.environ[ROOMS] = json.dumps({"*": "solutions"})
    stale = 0
    katas = chosen(options)
    for kata in katas:
        figure = ROOT / "docs" / "figures" / f"{kata.address}.svg"
        drawn = draw(kata)
        if options.write:
            figure.write_text(drawn, encoding="utf-8", newline="\n")
        elif not figure.is_file() or figure.read_text(encoding="utf-8") != drawn:
            stale += 1
            place = figure.relative_to(ROOT).as_posix()
            print(f"{place} is not what its script draws: python -m dojo.check figures --write {kata.name}")
    print(f"{len(katas)} figures, {stale} stale")
    return 1 if stale else 0


def draw(kata: Kata) -> str:
    """A kata's figure, drawn anew."""
    from docs.figures.style import svg

    drawn = svg(importlib.import_module(f"docs.figures.{kata.address.replace('/', '.')}").draw())
    ElementTree.fromstring(drawn)  # a browser shows nothing of an SVG that is no valid XML
    return drawn
