"""The map in README.md is what katas/curriculum.toml lists, and the address to clone is that of pyproject.toml."""

import argparse
import re
import tomllib

from dojo import ROOT
from dojo.catalog.curriculum import katas

README = ROOT / "README.md"
CLONED = (README, ROOT / "docs" / "install.md")
CLONE = re.compile(r"(?<=git clone )[^\s;]+")
MAP = re.compile(r"(?<=\|---\|---\|---\|---\|\n)(\| (?:› )?\[.*\n)+")


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m dojo.check readme", description=__doc__)
    arguments.add_argument("--write", action="store_true", help="write them instead of comparing them")
    write, stale = arguments.parse_args(argv).write, 0
    address = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    for page in CLONED:
        was = page.read_text(encoding="utf-8")
        now = CLONE.sub(lambda _: address, MAP.sub(lambda _: rows(), was, count=1))
        if write:
            page.write_text(now, encoding="utf-8", newline="\n")
        elif now != was:
            stale = 1
            name = page.relative_to(ROOT).as_posix()
            print(f"{name} has a map or an address that is out of date: python -m dojo.check readme --write")
    return stale


def rows() -> str:
    """A row of the map for each kata."""
    return "".join(
        f"| {'› ' if k.route else ''}[{k.address}](docs/{k.address}.md) | {k.builds} | {k.book} | {k.minutes} |\n"
        for k in katas()
    )
