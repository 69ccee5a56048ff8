"""The map in README.md is what katas/curriculum.toml lists."""

import argparse
import re

from dojo import ROOT
from dojo.catalog.curriculum import katas

README = ROOT / "README.md"
MAP = re.compile(r"(?<=\|---\|---\|---\|---\|\n)(\| (?:› )?\[.*\n)+")


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m dojo.check readme", description=__doc__)
    arguments.add_argument("--write", action="store_true", help="write the map instead of comparing it")
    was = README.read_text(encoding="utf-8")
    now = MAP.sub(lambda _: rows(), was, count=1)
    if arguments.parse_args(argv).write:
        README.write_text(now, encoding="utf-8", newline="\n")
    elif now != was:
        print("README.md has another map than katas/curriculum.toml: python -m dojo.check readme --write")
        return 1
    return 0


def rows() -> str:
    """A row of the map for each kata."""
    return "".join(
        f"| {'› ' if k.route else ''}[{k.address}](docs/{k.address}.md) | {k.builds} | {k.book} | {k.minutes} |\n"
        for k in katas()
    )
