"""A pytest plugin for `dojo test`: every test's outcome as one line of JSON, in the file that KATA_RECORD names.

What the parent left in that file is a secret, which goes into every line: code under test that finds the file cannot
write a verdict of its own. Nothing of it stays in the environment.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest


def secret_in(path: Path) -> str:
    """What the file holds before the run; it is emptied."""
    secret = path.read_text(encoding="utf-8") if path.is_file() else ""
    path.write_text("", encoding="utf-8")
    return secret


PATH = os.environ.pop("KATA_RECORD", "")
SECRET = secret_in(Path(PATH)) if PATH else ""


def write(record: dict[str, Any]) -> None:
    """Append one record and hand it to the system at once: what comes after may end the process."""
    if PATH:
        with open(PATH, "a", encoding="utf-8") as file:
            file.write(json.dumps(record | {"secret": SECRET}) + "\n")


def pytest_runtest_logstart(nodeid: str) -> None:
    write({"record": "start", "test": name_of(nodeid)})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when != "call" and report.passed:
        return
    properties = dict(report.user_properties)
    told = properties.get("told") or ([str(report.longrepr)] if report.failed else [])
    if report.skipped:
        why = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        told = [why.removeprefix("Skipped:").strip()]
    write(
        {
            "record": "test",
            "file": report.nodeid.partition("::")[0],
            "test": name_of(report.nodeid),
            "id": report.nodeid.partition("::")[2],
            "clause": properties.get("clause"),
            "outcome": report.outcome,
            "told": told,
            "printed": [text for name, text in report.sections if name.startswith("your code printed")],
            "seconds": round(report.duration, 4),
        }
    )


def pytest_sessionfinish() -> None:
    write({"record": "end"})


def name_of(nodeid: str) -> str:
    return nodeid.partition("::")[2].partition("[")[0]
