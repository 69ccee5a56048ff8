"""Run one check by name and exit with 1 when it finds something."""

import importlib
import sys

from dojo.system import packages

CHECKS = {
    "stubs": "katas/ is what solutions/ gives, and on the stubs every test fails",
    "verdicts": "every reference is green under `dojo test --solutions --further`",
    "mistakes": "every mistake fails its clause, every test is failed by a mistake, drawn mutants die",
    "hollow": "on the reference with every result zeroed no kata is green",
    "figures": "every figure is what its script draws",
    "readme": "the map in README.md is what katas/curriculum.toml lists, the address to clone that of pyproject.toml",
    "groups": "the schedules of docs/groups/ are what the curriculum gives, and every question has an answer",
    "release": "the version is the same everywhere, and the changelog has its notes",
    "benchmarks": "what is timed is right first, and the ratios hold",
    "cuda": "on a GPU the reference of attention and gpt holds, and the ladders are measured, into one file of JSON",
}


def main(argv: list[str]) -> int:
    name, *rest = argv or ["--help"]
    if name not in CHECKS:
        print("usage: python -m dojo.check NAME [KATA ...]\n")
        print("\n".join(f"  {check:<9} {says}" for check, says in CHECKS.items()))
        return 0 if name in ("-h", "--help") else 2
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    try:
        return int(importlib.import_module(f"dojo.check.check_{name}").main(rest))
    except ModuleNotFoundError as error:
        if not (package := packages.missing(error)):
            raise
        return packages.tell(package)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
