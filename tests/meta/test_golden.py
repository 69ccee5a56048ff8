"""What a learner is told, word for word, for each thing that can befall a kata; see golden.py for the wrong katas."""

import json
import textwrap

import pytest

from dojo.verdict.explain import MOST_LINES
from tests.meta.golden import BUILT_ON_IT, CASES, MISTAKES, REACH, REFERENCE, TEST, TEST_BUILT_ON_IT
from tests.meta.scratch import Scratch


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The records of one run over all wrong katas, by kata's name: the first told of each test, in order."""
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
    run = scratch.run("pytest", "-p", "dojo.verdict.recording", "tests/toys", KATA_RECORD=str(scratch.path("record")))
    found = {}
    for record in map(json.loads, scratch.read("record").splitlines()):
        if record["record"] == "test":
            found.setdefault(record["file"].removeprefix("tests/toys/test_").removesuffix(".py"), []).append(record)
    assert "error" not in run.stdout.splitlines()[-1], run.stdout
    return found


@pytest.mark.parametrize("case", CASES)
def test_each_wrong_kata_is_told_word_for_word(told, case):
    name, wrong = f"gate_{case}", CASES[case]
    failed = [record for record in told[name] if record["outcome"] == "failed"]
    record = next(record for record in failed if record["clause"] == wrong.clause or not wrong.clause)
    expected = textwrap.dedent(wrong.told).strip("\n").format(kata=f"toys/{name}", name=name)
    assert "\n".join(record["told"]) == expected
    assert len(record["told"]) <= MOST_LINES
    assert wrong.printed in "\n".join(record["printed"])


@pytest.mark.parametrize(
    ("needs", "state"),
    [
        ("gate_untouched", "is not written yet: katas/toys/gate_untouched.py:19 Gate.__init__"),
        ("gate_syntax", "cannot be loaded: SyntaxError: invalid syntax (gate_syntax.py, line 24)"),
    ],
)
def test_a_prerequisite_is_named_as_such(told, needs, state):
    (record,) = told[f"on_{needs}"]
    assert record["told"] == [
        f"the prerequisite toys/{needs} {state}",
        f"next: dojo test {needs}, or borrow it from the reference: pytest --borrow toys/{needs}",
    ]


def test_every_kata_got_its_verdict(told):
    assert all(len(told[f"gate_{case}"]) == 3 for case in CASES)
