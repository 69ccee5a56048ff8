"""`dojo report --json` and `dojo group`: what is shared, what is made of it, and what strangers may put in its way."""

import json
import os

import pytest

from dojo import ROOT
from dojo.group.report import SCHEMA
from tests.meta.scratch import DOUBLING

REPORTS = ROOT / "tests" / "meta" / "reports"  # five made-up learners; learner-3 and learner-5 give no name


@pytest.fixture
def group(scratch):
    """The made-up reports in a folder of the copy."""
    for path in REPORTS.glob("*.json"):
        scratch.write(f"reports/{path.name}", path.read_text(encoding="utf-8"))
    return scratch


def kata(address="toys/doubling", state="green", **clauses):
    return {"kata": address, "state": state, "clauses": clauses}


def report(*katas, **more):
    return json.dumps({"schema": SCHEMA, "made": 1.0, "katas": list(katas)} | more)


def test_a_report_holds_the_states_the_marks_and_nothing_else_of_the_learner(toys):
    toys.write("katas/toys/doubling.py", DOUBLING.replace("number + number", "number + number + (number == 7)"))
    data = json.loads(toys.run("dojo", "report", "--json").stdout)
    assert data["schema"] == SCHEMA
    assert "name" not in data
    assert data["katas"][0]["clauses"] == {"twice": "passed", "even": "failed"}
    assert data["katas"][1]["clauses"] == {}
    assert [one["state"] for one in data["katas"]] == ["in progress", "not started"]
    known = {"schema", "about", "version", "made", "done", "of", "next", "katas"}
    assert data.keys() == known
    assert str(toys.root) not in json.dumps(data)
    assert json.loads(toys.run("dojo", "report", "--json", "--name", "learner-1").stdout)["name"] == "learner-1"
    assert toys.run("dojo", "report", "--name", "learner-1").returncode == 2


def test_a_report_that_is_made_is_one_that_is_read(toys):
    toys.write("katas/toys/doubling.py", DOUBLING)
    toys.write("reports/learner-1/report.json", toys.run("dojo", "report", "--json", "--name", "learner-1").stdout)
    data = json.loads(toys.run("dojo", "group", "reports", "--json").stdout)
    assert (data["reports"], data["skipped"]) == (1, [])
    assert data["katas"][0] == {
        "kata": "toys/doubling", "green": 1, "in_progress": 0, "not_started": 0, "names_green": ["learner-1"],
        "names_in_progress": [],
    }  # fmt: skip


def test_five_reports_are_one_table_by_kata(group):
    shown = group.run("dojo", "group", "reports", COLUMNS="80").stdout
    lines = [line.split() for line in shown.splitlines()]
    assert ["causal", "1", "3", "1"] in lines
    assert ["in", "progress:", "learner-2,", "learner-4"] in lines
    assert "causal, formula: 3 of 4 fail it. The output is softmax(" in shown
    assert "causal, gradients" not in shown, "a kata stands there once, with what most fail first"
    assert "Several also fail gradients." in " ".join(shown.split())
    assert "to discuss next: Causal attention\n  3 of 4 fail its clause formula\n" in shown
    assert "  - Why must the diagonal never be masked?" in shown
    assert "to discuss next: Trainable attention\n  4 of 5 have it green\n" in shown
    assert max(map(len, shown.splitlines())) < 80
    assert max(map(len, group.run("dojo", "group", "reports", COLUMNS="60").stdout.splitlines())) < 60
    page = group.run("dojo", "group", "reports", "--markdown").stdout
    assert "| Causal attention (`attention/causal`) | 1: `learner-1` | 3: `learner-2`, `learner-4` | 1 |\n" in page
    assert "- Why must the diagonal never be masked?\n" in page


BROKEN = {
    "it is not JSON": ["", "{", "\x00", "[" * 100_000, "1" * 10_000, '{"schema": NaN'],
    "it is not a report": ["[]", "3", "null", "{}", '{"schema": 1}', '{"katas": []}'],
    "its schema is 'llm-katas/report/9'": [report(schema="llm-katas/report/9")],
    "`name`, `made` or `katas` does not match": [
        report(name=3), report(made="x"), report(made=True), report(made=-1.0), report(made=1e300), report(katas={}),
        report().replace("1.0", "Infinity"), report().replace("1.0", "NaN"),
    ],
    "a kata in it has no": [report(3), report({}), report(kata(state="mine")), report(kata() | {"clauses": []})],
    "it has no kata that this dojo knows": [report(kata("no/kata"))],
}  # fmt: skip


def test_what_is_no_report_is_told_and_skipped_and_the_others_count(toys):
    expected = []
    for why, contents in BROKEN.items():
        for content in contents:
            expected.append(why)
            toys.write(f"reports/{len(expected):02}.json", content)
    toys.write("reports/good.json", report(kata()))
    toys.write("reports/large.json", report(about="x" * (1 << 20)))
    toys.write("reports/artifact.zip", "PK")
    if hasattr(os, "mkfifo"):
        os.mkfifo(toys.path("reports/pipe.json"))
        toys.path("reports/link.json").symlink_to(toys.path("pyproject.toml"))
        toys.path("reports/more").symlink_to(toys.path("docs"))
    ended = toys.run("dojo", "group", "reports")
    told = dict(line.removeprefix("skipped ").split(": ", 1) for line in ended.stderr.splitlines())
    assert ended.returncode == 0
    assert ended.stdout.startswith("1 report, by kata\n")
    for number, why in enumerate(expected, 1):
        assert told[f"{number:02}.json"].startswith(why)
    assert "bytes, more than" in told["large.json"]
    assert told["artifact.zip"] == "unpack it: a report is a .json file"
    if hasattr(os, "mkfifo"):
        assert told["pipe.json"] == "it is not a regular file"
        assert told["more"] == "it is a link to a folder"
        assert told["link.json"] == "it is a link, not a regular file"


def test_names_are_one_short_harmless_line(toys):
    name = "\x1b[31mred\x07\n\u202egnp|`x` <b>@all</b>" + "y" * 1000
    toys.write("reports/\x1b[2J.json" if os.name != "nt" else "reports/odd.json", "{")
    toys.write("reports/one.json", report(kata(twice="passed", even="\x1b[2J"), kata("\x1b[2J"), name=name))
    for options in ((), ("--markdown",)):
        ended = toys.run("dojo", "group", "reports", *options)
        assert not {"\x1b", "\x07", "\u202e"} & {*ended.stdout, *ended.stderr}
    row = next(line for line in ended.stdout.splitlines() if "doubling" in line)
    assert row.count("|") == 5
    assert row.count("`") == 4
    assert "y" * 41 not in row


def test_a_report_counts_once_and_the_newest_of_a_name(toys):
    for name in ("a", "b"):
        toys.write(f"reports/{name}.json", report(kata()))
    toys.write("reports/c.json", report(kata(state="in progress"), name="learner-1", made=2.0))
    toys.write("reports/d.json", report(kata(), name="learner-1", made=3.0))
    toys.write("reports/e.json", report(kata(state="in progress"), name="learner-1", made=1.0))
    ended = toys.run("dojo", "group", "reports")
    assert ended.stdout.startswith("2 reports, by kata\n")
    assert "in progress: learner-1" not in ended.stdout
    assert ended.stderr.splitlines() == [
        "skipped b.json: it is the same as a.json",
        "skipped c.json: learner-1 has a newer report: d.json",
        "skipped e.json: learner-1 has a newer report: d.json",
    ]


def test_windows_writes_json_in_utf_16_and_an_empty_folder_says_what_to_do(toys):
    toys.write("reports/one.json", report(kata()).encode("utf-16"))
    assert toys.run("dojo", "group", "reports").returncode == 0
    toys.path("reports/one.json").unlink()
    ended = toys.run("dojo", "group", "reports")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "there is no report: `dojo report --json > NAME.json` makes one.\n"
