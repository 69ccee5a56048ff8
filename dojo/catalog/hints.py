"""What dojo reads from a kata's page: the three rungs of help."""

import re
import textwrap

from dojo.catalog.curriculum import Kata

RUNG = re.compile(r"<details>\s*<summary>(?P<name>.*?)</summary>(?P<text>.*?)</details>", re.DOTALL)


def rungs(kata: Kata) -> list[tuple[str, str]]:
    """The hints of a kata from the slightest to the plainest: (name, text). Empty where the page has none."""
    try:
        page = kata.page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    _, _, after = page.partition("\n## Hints\n")
    section = re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0]
    return [(rung["name"].strip(), textwrap.dedent(rung["text"]).strip()) for rung in RUNG.finditer(section)]
