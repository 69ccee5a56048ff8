"""What a learner reads, word for word, for each thing that can go wrong; see golden.py for the wrong katas."""

import json
import textwrap

import pytest

from tests.meta.golden import BUILT_ON_IT, CASES, MISTAKES, REACH, REFERENCE, TEST, TEST_BUILT_ON_IT
from tests.meta.scratch import Scratch

MOST_LINES = 12
# What an editor shows of each test: pytest's own report.
PLUGIN = """
import json


def pytest_runtest_logreport(report):
    if report.when == "call":
        clause = dict(report.user_properties).get("clause")
        shown = {"outcome": report.outcome, "clause": clause, "text": str(report.longrepr), "printed": report.sections}
        file, _, test = report.nodeid.partition("::")
        with open("reports", "a", encoding="utf-8") as reports:
            print(json.dumps(shown | {"kata": file.rpartition("test_")[2].removesuffix(".py")}), file=reports)
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The reports of one run over all wrong katas, by kata's name, in the order of the tests."""
    scratch = Scratch(tmp_path_factory.mktemp("golden") / "clone")
    scratch.write("katas/curriculum.toml", "# A track\n")
    for case, wrong in CASES.items():
        name, address = f"gate_{case}", f"toys/gate_{case}"
        scratch.add(address, REFERENCE, TEST.format(name=name))
        scratch.write(f"tests/{address}.mistakes.toml", MISTAKES)
        scratch.write(f"tests/{address}.reach.json", REACH)
        if wrong.source == "missing":
            scratch.path(f"katas/{address}.py").unlink()
        elif wrong.source != "stub":
            source = REFERENCE if wrong.source is None else wrong.source
            for old, new in wrong.edits.items():
                assert old in source, (case, old)
                source = source.replace(old, new)
            scratch.write(f"katas/{address}.py", source)
    for needs in ("gate_untouched", "gate_syntax"):
        name = f"on_{needs}"
        scratch.add(f"toys/{name}", BUILT_ON_IT.format(needs=needs), TEST_BUILT_ON_IT.format(name=name))
        scratch.write(f"katas/toys/{name}.py", BUILT_ON_IT.format(needs=needs))
    scratch.write("reporter.py", PLUGIN)
    run = scratch.run("pytest", "-p", "reporter", "--further", "tests/toys")
    found = {}
    for report in map(json.loads, scratch.read("reports").splitlines()):
        found.setdefault(report["kata"], []).append(report)
    assert "error" not in run.stdout.splitlines()[-1], run.stdout
    return found


@pytest.mark.parametrize("case", CASES)
def test_each_wrong_kata_is_explained_word_for_word(shown, case):
    name, wrong = f"gate_{case}", CASES[case]
    failed = [report for report in shown[name] if report["outcome"] == "failed"]
    report = next(report for report in failed if report["clause"] == wrong.clause or not wrong.clause)
    assert report["text"] == textwrap.dedent(wrong.told).strip("\n").format(kata=f"toys/{name}", name=name)
    assert len(report["text"].splitlines()) <= MOST_LINES
    assert wrong.printed in str(dict(report["printed"]).get("your code printed", ""))


@pytest.mark.parametrize(
    ("needs", "state"),
    [
        ("gate_untouched", "is not written yet: katas/toys/gate_untouched.py:21 Gate.__init__"),
        ("gate_syntax", "cannot be loaded: SyntaxError: invalid syntax (gate_syntax.py, line 26)"),
    ],
)
def test_a_prerequisite_is_named_as_such(shown, needs, state):
    (report,) = shown[f"on_{needs}"]
    assert report["text"].replace("\n  Gate", " Gate").replace(",\n  line", ", line").splitlines() == [
        f"the prerequisite toys/{needs} {state}",
        f"  To borrow it from the reference: pytest --borrow toys/{needs}",
        f"next: dojo test {needs}",
    ]


def test_every_kata_got_its_verdict(shown):
    assert all(len(shown[f"gate_{case}"]) == 3 for case in CASES)
