"""Work out, while nobody waits, what a diagnosis of a kata will compare with: `python -m dojo.watch.ahead KATA`."""

import importlib
import os
import subprocess
import sys

from dojo import ROOT
from dojo.catalog.curriculum import Kata, find
from dojo.verdict import processes


def start(kata: Kata, rooms: str) -> subprocess.Popen[bytes]:
    """Begin in a process of its own, at low priority; end it by `kill`."""
    more = {"KATA_ROOMS": rooms, "KATA_CHECKS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "dojo.watch.ahead", kata.address],
        cwd=ROOT,
        env=os.environ | more | processes.with_parent(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def main(word: str) -> None:
    if hasattr(os, "nice"):
        os.nice(15)
    processes.end_with_the_parent()
    sys.path.insert(0, str(ROOT))
    from dojo.serving.finder import serve
    from dojo.verdict.diagnosis import prepared

    serve()
    kata = find(word)
    module = importlib.import_module(f"tests.{kata.part.replace('/', '.')}.test_{kata.name}")
    if probe := getattr(module, "probe", None):
        prepared(kata.address, probe)


if __name__ == "__main__":
    main(sys.argv[1])
