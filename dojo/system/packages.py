"""The packages that dojo needs, as pyproject.toml lists them, and what to say when one is not installed."""

import re
import sys

from dojo import ROOT
from dojo.exits import Exit

INSTALL = "python -m pip install -c constraints.txt -e ."


def project() -> dict[str, object]:
    """The `project` table of pyproject.toml; empty where it cannot be read."""
    import tomllib

    try:
        table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return {}
    return table


def repository() -> str:
    """The address of the original repository in pyproject.toml; empty where it has none, or an example."""
    urls = project().get("urls")
    address = str(urls.get("Repository", "")) if isinstance(urls, dict) else ""
    return "" if "//example." in address else address


def dependencies() -> list[tuple[str, str]]:
    """Each package that is needed, with the least version."""
    listed = project().get("dependencies", [])
    pairs = [
        re.match(r"([\w.-]+)[^<>=]*(?:>=\s*([\w.]+))?", str(one))
        for one in (listed if isinstance(listed, list) else [])
    ]
    return [(pair[1], pair[2] or "0") for pair in pairs if pair]


def missing(error: ModuleNotFoundError) -> str:
    """The needed package that an import did not find; empty where the import was of something else."""
    module = (error.name or "").partition(".")[0]
    return next((name for name, _ in dependencies() if name.replace("-", "_") == module), "")


def tell(package: str) -> int:
    """Say which package is missing and how to install it, and return the exit code."""
    line = f"dojo needs the package '{package}', which this Python does not have. Install it: {INSTALL}"
    print(line, f"({sys.executable})", file=sys.stderr)
    return Exit.UNUSABLE
