"""The tables of docs/benchmarks.md are those of the runs that are kept in docs/measured."""

import pytest

from dojo import ROOT
from dojo.ladder.table import as_json, from_json, table

RUNS = sorted((ROOT / "docs" / "measured").glob("*.json"))
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("run", RUNS, ids=lambda path: path.stem)
def test_every_line_of_the_tables_was_measured(run):
    climbs = from_json(run.read_text(encoding="utf-8"))
    for climbed in climbs:
        measured = "\n".join(table(climbed))
        assert measured in PAGE, f"docs/benchmarks.md should have this table:\n{measured}"
    assert from_json(as_json(climbs, [])) == climbs


def test_there_is_a_run_of_the_cpu():
    assert [path.stem for path in RUNS if "-cpu-" in path.stem]
