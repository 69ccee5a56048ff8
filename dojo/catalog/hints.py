"""What dojo reads from a kata's page: the three rungs of help, and the questions to discuss."""

import re
import textwrap

from dojo.catalog.curriculum import Kata

RUNG = re.compile(r"<details>\s*<summary>(?P<name>.*?)</summary>(?P<text>.*?)</details>", re.DOTALL)


def rungs(kata: Kata) -> list[tuple[str, str]]:
    """The hints of a kata from the slightest to the plainest: (name, text). Empty where the page has none."""
    found = RUNG.finditer(section(kata, "Hints"))
    return [(rung["name"].strip(), textwrap.dedent(rung["text"]).strip()) for rung in found]


def questions(kata: Kata) -> list[str]:
    """What the page of a kata asks a group to discuss, a question a line. Empty where it asks nothing."""
    return re.findall(r"^- (.+)$", section(kata, "To discuss"), re.MULTILINE)


def section(kata: Kata, title: str) -> str:
    """A section of a kata's page; empty where the page has none."""
    try:
        page = kata.page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    _, _, after = page.partition(f"\n## {title}\n")
    return re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0]
