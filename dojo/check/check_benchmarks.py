"""Run the benchmarks on the reference: each checks first and times then; what they assert are ratios."""

import sys
from pathlib import Path

from dojo import ROOT
from dojo.check.arguments import chosen, parser


def main(argv: list[str]) -> int:
    arguments = parser("bench", __doc__)
    options, more = arguments.parse_known_args(argv)
    import pytest

    files = [kata.bench for kata in chosen(options) if kata.bench.is_file()]
    # The benchmark of a whole part is named after it, and runs with any of its katas.
    files += sorted(path for part in {kata.part for kata in chosen(options)} if (path := of_part(part)).is_file())
    if not options.katas:
        files += sorted((ROOT / "tests" / "meta").glob("bench_*.py"))
    if not files:
        print("none of these katas has a benchmark")
        return 0
    sys.stdout.flush()
    return int(pytest.main([*map(str, files), "-p", "benchmark", "--solutions", "-s", *more]))


def of_part(part: str) -> Path:
    return ROOT / "tests" / part / f"bench_{part.rpartition('/')[2]}.py"
