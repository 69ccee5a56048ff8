"""What README.md shows is what a learner sees. `python -m tests.meta.test_readme` writes the text of its verdict."""

import re
import tempfile
import tomllib
from pathlib import Path

from dojo import ROOT
from dojo.catalog.curriculum import katas
from dojo.check import check_readme
from tests.meta.scratch import Scratch

README = (ROOT / "README.md").read_text(encoding="utf-8")
VERDICT = ROOT / "docs" / "figures" / "verdict.ansi"
COLUMNS = 90


def printed(scratch):
    """What `dojo test causal` prints in colour when the scores are not divided, with a time that is always the same."""
    source = scratch.read("solutions/attention/causal.py")
    assert source.count(" / keys.shape[-1] ** 0.5") == 1
    scratch.write("katas/attention/causal.py", source.replace(" / keys.shape[-1] ** 0.5", ""))
    coloured = {"NO_COLOR": "", "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": ""}
    ended = scratch.run("dojo", "test", "causal", COLUMNS=str(COLUMNS), **coloured)
    # The line is filled up to the right, so a longer time has fewer spaces behind it.
    return re.sub(r"\d+\.\d s +", lambda time: "2.0 s".ljust(len(time[0])), ended.stdout)


def test_the_verdict_in_the_picture_is_the_one_that_dojo_prints(scratch):
    assert printed(scratch) == VERDICT.read_text(encoding="utf-8"), "python -m tests.meta.test_readme writes it"
    assert "](docs/figures/verdict.svg)" in README


def test_the_short_route_takes_as_long_as_the_readme_says():
    route = sum(kata.minutes for kata in katas() if kata.route)
    told = f"{len([kata for kata in katas() if kata.route])} katas, about {round(route / 60)} hours"
    assert told in README.lower()
    assert told in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert f"about {round(sum(kata.minutes for kata in katas()) / 60)} hours" in README


def test_the_first_commands_are_the_ones_that_ci_runs():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    first, second = re.findall(r"```\n(python -m pip [^\n]* && dojo|tox -e solutions)\n```", README)
    assert f'echo "== {first}"' in script
    assert f"step {second}\n" in script


def test_the_address_of_the_repository_is_one_setting():
    address = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    for page in check_readme.CLONED:
        assert re.findall(r"git clone ([^\s;]+)", page.read_text(encoding="utf-8")) == [address] * 2, page


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        VERDICT.write_text(printed(Scratch(Path(folder) / "clone")), encoding="utf-8", newline="\n")
