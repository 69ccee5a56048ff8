"""A release is ready: one version everywhere, an address, and notes in the changelog, which are printed."""

import argparse
import re

from dojo import ROOT
from dojo.system import packages


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m dojo.check release", description=__doc__)
    arguments.add_argument("tag", nargs="?", help="the tag, such as v0.2.0; by default the version in pyproject.toml")
    version = str(packages.project().get("version", ""))
    tag = arguments.parse_args(argv).tag or f"v{version}"
    notes = notes_of(version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    problems = [] if tag == f"v{version}" else [f"the tag is {tag}, and pyproject.toml has the version {version}"]
    if f"\nversion: {version}\n" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8"):
        problems.append(f"CITATION.cff has another version than {version}")
    if not packages.repository():
        problems.append("Repository under [project.urls] in pyproject.toml is still an example: set the address first")
    if not notes:
        problems.append(f"CHANGELOG.md has nothing under a heading `## {version}`, with or without a date after it")
    print("\n".join(problems) or notes)
    return 1 if problems else 0


def notes_of(version: str, changelog: str) -> str:
    """What the changelog says about a version; empty where it says nothing."""
    found = re.search(rf"^## {re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""
