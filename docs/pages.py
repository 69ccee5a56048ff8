"""What the pages take from the repository: lists of katas, each clause beside its why, and figures as inline SVG.

docs/conf.py hands this to sphinx. Nothing here imports sphinx or torch, and nothing is fetched from the network.
"""

import html
import re
from functools import cache
from pathlib import Path

from dojo.catalog import specification
from dojo.catalog.curriculum import katas, parts

WHY = re.compile(r"^- \*\*(?P<slug>[a-z][a-z0-9-]*)\*\* ", re.MULTILINE)
MARKUP = re.compile(r"([\\`*_\[\]<>#|~&$])")
HEAD = re.compile(r"^.*?(?=<svg )", re.DOTALL)
CARD = re.compile(r'<g id="patch_1">.*?</g>', re.DOTALL)
DARK = re.compile(r"<style>@media.*?</style>")
IDS = re.compile(r' id="[A-Za-z]+\d*_\d+"')  # of groups, which nothing refers to, and which each figure counts again
SIZE = re.compile(r'(?<=<svg )(?P<before>[^>]*?)width="(?P<points>[\d.]+)pt" height="[\d.]+pt"')
PIXELS = 1.15  # of the screen for a point of the drawing: so its smallest text is legible


def complete(page: str, text: str) -> str:
    """The text of a page with what it takes from elsewhere: an index its list, the page of a kata its clauses."""
    if page.rpartition("/")[2] == "index":
        return text.replace("<!-- katas -->", listed(page))
    if page not in addresses():
        return text
    clauses = specification.clauses(page)
    return WHY.sub(lambda found: beside(found["slug"], clauses), text)


@cache
def addresses() -> frozenset[str]:
    return frozenset(kata.address for kata in katas())


def listed(page: str) -> str:
    """The parts, or the katas of a part, in the order of katas/curriculum.toml."""
    part = page.removesuffix("/index")
    names = [f"{part}/index" for part in parts()] if page == "index" else [k.name for k in katas() if k.part == part]
    return "\n".join(["```{toctree}", ":maxdepth: 2", ":titlesonly:", "", *names, "```"])


def beside(slug: str, clauses: dict[str, str]) -> str:
    """The beginning of a clause's paragraph: its slug and, from the docstring, what it asks for."""
    if slug not in clauses:
        return f"- **{slug}** "
    sentence = MARKUP.sub(r"\\\1", clauses[slug])
    return f'- **{slug}** <span class="clause">{sentence}</span>\n\n  '


def inline(path: Path, about: str) -> str:
    """A figure as a part of a page, without its card; what it says in words goes to screen readers first."""
    drawn = HEAD.sub("", path.read_text(encoding="utf-8"))
    for unwanted in (DARK, IDS) if "rich-terminal" in drawn else (CARD, DARK, IDS):
        drawn = unwanted.sub("", drawn, count=0 if unwanted is IDS else 1)
    least = SIZE.search(drawn)
    width = f"min-width: {float(least['points']) * PIXELS:.0f}px" if least else ""
    drawn = SIZE.sub(lambda found: f'{found["before"]}style="{width}"', drawn, count=1)
    kind = "screen" if "rich-terminal" in drawn else "drawing"
    label = html.escape(about)
    return f'<div class="figure {kind}" role="figure" tabindex="0" aria-label="{label}">{drawn}</div>'
