"""What to say when a package that dojo needs is not installed."""

import sys

INSTALL = "python -m pip install -c constraints.txt -e ."


def tell(package: str) -> int:
    """Say which package is missing and how to install it, and return the exit code."""
    line = f"dojo needs the package '{package}', which this Python does not have. Install it: {INSTALL}"
    print(line, f"({sys.executable})", file=sys.stderr)
    return 2
