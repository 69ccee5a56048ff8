"""A pytest plugin for `dojo test`: every test's outcome as one line of JSON, in the file that KATA_RECORD names.

What the parent left in that file is a secret, which goes into every line: code under test that finds the file does not
write a verdict by accident. Nothing of it stays in the environment.

Records: `begin` before the tests are loaded, `start` and `test` for each test, `end` after the last one, and then,
where tests failed, `named`, the known mistakes that the kata shows.
"""

import json
import os
import time
from typing import Any, TextIO

import pytest

from dojo.verdict.reporting import FAILED, diagnosis_of, explanation_of


def secret_in(file: TextIO) -> str:
    """What the file holds before the run; it is emptied."""
    file.seek(0)
    secret = file.read()
    file.truncate(0)
    return secret


PATH = os.environ.pop("KATA_RECORD", "")
# Open until the process ends: what the code under test does to the path changes nothing.
FILE = open(PATH, "a+", encoding="utf-8") if PATH else None  # noqa: SIM115
SECRET = secret_in(FILE) if FILE else ""


def write(record: dict[str, Any]) -> None:
    """Append one record and hand it to the system at once: what comes after may end the process."""
    if FILE:
        FILE.write(json.dumps(record | {"secret": SECRET}) + "\n")
        FILE.flush()


def pytest_collection() -> None:
    write({"record": "begin"})


def pytest_runtest_logstart(nodeid: str) -> None:
    write({"record": "start", "test": name_of(nodeid), "at": time.time()})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when != "call" and report.passed:
        return
    explanation = explanation_of(report)
    write(
        {
            "record": "test",
            "test": name_of(report.nodeid),
            "id": report.nodeid.partition("::")[2],
            "clause": dict(report.user_properties).get("clause"),
            "outcome": report.outcome,
            "why": "" if explanation else why(report),
            "explanation": explanation.as_data() if explanation else None,
            "printed": [text for name, text in report.sections if name.startswith("your code printed")],
            "seconds": round(report.duration, 4),
        }
    )


def why(report: pytest.TestReport) -> str:
    """Why a test was skipped, or what failed outside of a test's own code; empty for one that passed."""
    if report.skipped:
        text = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return text.removeprefix("Skipped:").strip()
    return str(report.longrepr) if report.failed else ""


def pytest_sessionfinish(session: pytest.Session) -> None:
    write({"record": "end"})
    for address, probe in session.config.stash.get(FAILED, {}).items():
        found = diagnosis_of(address, probe)
        write({"record": "named", "whole": found.whole, "parts": list(found.parts), "mixed": found.mixed})


def name_of(nodeid: str) -> str:
    return nodeid.partition("::")[2].partition("[")[0]
