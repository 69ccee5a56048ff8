"""Everything that needs a GPU, in under eight minutes and one file of JSON.

The reference's tests of attention and gpt, the ladder of attention, and that of a training step of the model of
`dojo train --preset medium`, in float32 and in bfloat16. It needs torch, numpy and pytest and nothing else; where
Hypothesis is absent, a stand-in draws a few examples. With --device cpu and --quick it is rehearsed without a GPU.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.catalog.curriculum import katas
from dojo.check.on_device import DEVICE
from dojo.errors import DojoError
from dojo.system import devices

PARTS = ("attention", "gpt")
DTYPES = ("float32", "bfloat16")
LIMIT = 470.0  # seconds for all
LONGEST = 60.0  # seconds for the tests of one kata
SHARE = {"attention": 80.0, "training": 40.0}  # seconds of a ladder in one dtype, after which it begins nothing more
BUDGET = {True: 0.05, False: 0.5}  # seconds that the rungs share at one size for one pass, quick or not


def main(argv: list[str]) -> int:
    made = argparse.ArgumentParser(prog="python -m dojo.check cuda", description=__doc__)
    made.add_argument("--device", default="cuda", help="cuda; cpu to rehearse")
    made.add_argument("--quick", action="store_true", help="few tests and small sizes, to rehearse")
    made.add_argument("--out", type=Path, default=Path("cuda.json"), help="the file to write; cuda.json")
    made.add_argument("--ladder", nargs=2, metavar=("NAME", "DTYPE"), help=argparse.SUPPRESS)  # of a child
    options = made.parse_args(argv)
    try:
        devices.chosen(options.device)
    except DojoError as error:
        print(error, file=sys.stderr)
        return 2
    if options.ladder:
        name, dtype = options.ladder
        climbed(name, dtype, options.device, options.quick, options.out)
        return 0
    until = time.monotonic() + LIMIT
    report: dict[str, Any] = {
        "tests": [*tested(options.device, options.quick, until)],
        "climbs": [],
        "checks": [],
        "problems": [],
    }
    for name in SHARE:
        for dtype in DTYPES:
            add(report, name, dtype, options, until)
    report["seconds"] = round(LIMIT - (until - time.monotonic()))
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(f"written: {options.out}, after {report['seconds']} s")
    failed = [one for one in report["tests"] if one["failed"] or one["ended"]]
    wrong = [
        cell
        for climb in report["climbs"]
        for cell in climb["cells"]
        if cell["state"] == "failed" and cell["why"] != "out of memory"
    ]
    return 1 if failed or wrong or report["problems"] else 0


def tested(device: str, quick: bool, until: float) -> Iterator[dict[str, Any]]:
    """The tests of each kata, in a process of its own: after some errors on CUDA a process cannot go on."""
    chosen = [kata for kata in katas() if kata.part in PARTS]
    for kata in chosen[:1] if quick else chosen:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tests.xml"
            argv = ["pytest", "-p", "dojo.check.on_device", "--solutions", f"--junitxml={file}", str(kata.tests)]
            ended = run(argv, min(LONGEST, until - time.monotonic()), {DEVICE: device})
            found: dict[str, Any] = {"kata": kata.address, "passed": 0, "skipped": {}, "failed": {}, "ended": ""}
            if not file.is_file():
                found["ended"] = ended or "no test ran"
            else:
                for case in xml.parse(file).iter("testcase"):
                    count(found, case)
        print(kata.address, told(found), flush=True)
        yield found


def count(found: dict[str, Any], case: xml.Element) -> None:
    for how, kind in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        if (said := case.find(how)) is not None:
            found[kind][case.get("name", "")] = (said.get("message") or "").partition("\n")[0][:200]
            return
    found["passed"] += 1


def told(found: dict[str, Any]) -> str:
    lines = [f"{found['passed']} tests pass, {len(found['failed'])} fail, {len(found['skipped'])} left out"]
    lines += [f"  fails: {name}: {why}" for name, why in found["failed"].items()]
    lines += [f"  left out: {name}: {why}" for name, why in found["skipped"].items()]
    return "\n".join(lines + [f"  {found['ended']}"] * bool(found["ended"]))


def add(report: dict[str, Any], name: str, dtype: str, options: argparse.Namespace, until: float) -> None:
    """Climb a ladder in a process of its own, and add what it wrote to the report."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ladder.json"
        argv = ["dojo.check", "cuda", "--ladder", name, dtype, "--device", options.device, "--out", str(file)]
        ended = run([*argv, *["--quick"] * options.quick], min(2 * SHARE[name], until - time.monotonic()))
        if ended or not file.is_file():
            report["problems"].append(f"the ladder of {name} in {dtype}: {ended or 'nothing was written'}")
            print(report["problems"][-1], flush=True)
        else:
            measured = json.loads(file.read_text(encoding="utf-8"))
            report["climbs"] += measured["climbs"]
            report["checks"] += measured["checks"]


def run(argv: Sequence[str], seconds: float, environment: dict[str, str] | None = None) -> str:
    """Run a module of Python, and return how it ended if that was not with code 0 or 1; empty otherwise."""
    if seconds <= 0:
        return "no time was left for it"
    try:
        done = subprocess.run(
            [sys.executable, "-m", *argv],
            cwd=ROOT,
            env=os.environ | (environment or {}),
            check=False,
            timeout=seconds,
            stdout=subprocess.DEVNULL if argv[0] == "pytest" else None,
        )
    except subprocess.TimeoutExpired:
        return f"ended after {seconds:.0f} s"
    return "" if done.returncode in (0, 1) else f"ended with code {done.returncode}"


def climbed(name: str, dtype: str, device: str, quick: bool, out: Path) -> None:
    """Climb one ladder, print its table and write it as JSON."""
    from dojo.ladder.checks import checks
    from dojo.ladder.choosing import ladders
    from dojo.ladder.ladder import climb
    from dojo.ladder.table import as_json, table

    ladder: Any = ladders(name, device, dtype)[0][0]
    if quick:
        small(ladder)
    elif name == "attention":  # each length is compiled by itself, so they are few
        ladder.sizes = [256, 1024, 4096, 16384] if device.startswith("cuda") else [256, 1024]
    found = climb(ladder, BUDGET[quick], SHARE[name])
    told = [str(check) for check in checks(ladder, found)]
    print("", *table(found), "", *told, sep="\n", flush=True)
    out.write_text(as_json([found], told), encoding="utf-8", newline="\n")


def small(ladder: Any) -> None:
    """Sizes for a rehearsal, whose times say nothing."""
    ladder.shape, ladder.bars = "a rehearsal", []
    if ladder.name == "attention":
        ladder.heads, ladder.head_dim, ladder.sizes = 2, 8, [16]
    else:
        sizes = {"vocab_size": 64, "context_length": 16, "emb_dim": 16, "n_heads": 2, "n_layers": 1}
        ladder.model_sizes, ladder.sizes = sizes, [1]
