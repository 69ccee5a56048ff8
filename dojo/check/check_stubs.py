"""katas/ is byte for byte what solutions/ gives; on those stubs every kata test fails or skips with a reason."""

import tempfile
from pathlib import Path

from dojo import ROOT
from dojo.catalog.curriculum import Kata
from dojo.catalog.stubs import stub_of
from dojo.check.arguments import chosen, parser
from dojo.check.trials import Trial, run


def main(argv: list[str]) -> int:
    arguments = parser("stubs", __doc__)
    arguments.add_argument("--write", action="store_true", help="write the stubs first; what is in katas/ is lost")
    options = arguments.parse_args(argv)
    katas = chosen(options)
    if options.write:
        for kata in katas:
            kata.stub.parent.mkdir(parents=True, exist_ok=True)
            kata.stub.write_text(fresh(kata), encoding="utf-8", newline="\n")
    problems = [*differing(katas), *passing(katas)]
    print(*problems, f"{len(katas)} stubs, {len(problems)} problems", sep="\n")
    return 1 if problems else 0


def fresh(kata: Kata) -> str:
    return stub_of(kata.solution.read_text(encoding="utf-8"))


def differing(katas: list[Kata]) -> list[str]:
    """Stubs that are not what their solution gives."""
    found = []
    for kata in katas:
        if not kata.stub.is_file() or kata.stub.read_bytes() != fresh(kata).encode():
            place = kata.stub.relative_to(ROOT).as_posix()
            found.append(f"{place} is not the stub of its solution: python -m dojo.check stubs --write {kata.name}")
    return found


def passing(katas: list[Kata]) -> list[str]:
    """Tests that do not fail on the stubs, and errors outside of any test."""
    with tempfile.TemporaryDirectory() as folder:
        rooms: dict[str, str] = {}
        for kata in katas:
            file = Path(folder) / f"{kata.address.replace('/', '.')}.py"
            file.write_text(fresh(kata), encoding="utf-8", newline="\n")
            rooms[kata.address] = f"file:{file}"
        results = run([Trial(kata.address, rooms) for kata in katas])
    found = []
    for kata, result in zip(katas, results, strict=True):
        if result.ended or not result.outcomes:
            found.append(f"{kata.address}: no verdict on the stub: {result.ended or 'no test ran'}")
        found += [
            f"{kata.address}: {test} passes on the stub" for test, how in result.outcomes.items() if how == "passed"
        ]
    return found
