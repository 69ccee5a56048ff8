"""What the workflows run is fixed: actions by commit, no credentials left in a checkout, one version of setuptools."""

import re
import tomllib

import pytest

from dojo import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_named_by_its_commit_and_its_version(path):
    used = re.findall(r"uses: *(.+)", path.read_text(encoding="utf-8"))
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_checkout_keeps_no_credentials(path):
    text = path.read_text(encoding="utf-8")
    kept = r"uses: actions/checkout@.*\n +with:\n +persist-credentials: false\n"
    assert len(re.findall(kept, text)) == text.count("actions/checkout@")


def test_the_build_takes_one_version_of_setuptools():
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert [one for one in required if "==" not in one] == []
