"""What README.md shows is what a learner sees."""

import re

from dojo import ROOT


def test_the_verdict_in_the_readme_is_the_one_that_dojo_prints(scratch):
    shown = re.search(r"```\n(Causal attention .*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    source = scratch.read("solutions/attention/causal.py")
    assert source.count(" / keys.shape[-1] ** 0.5") == 1
    scratch.write("katas/attention/causal.py", source.replace(" / keys.shape[-1] ** 0.5", ""))
    seen = scratch.run("dojo", "test", "causal", COLUMNS="100").stdout
    assert re.sub(r"\d+\.\d s +", "T s  ", seen) == re.sub(r"\d+\.\d s +", "T s  ", shown)
