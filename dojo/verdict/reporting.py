"""A pytest plugin: kata failures in a learner's words, in any editor and on the terminal."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from dojo import ROOT
from dojo.verdict.diagnosis import diagnosis, served_reference
from dojo.verdict.explain import Failure, Frame, frames_of, told

PRINTED = {"Captured stdout call": "your code printed", "Captured stderr call": "your code printed to stderr"}
MOST_PRINTED = 20


def address_of_test(path: Path) -> str | None:
    """The kata that a test file is about: tests/attention/test_causal.py tells of attention/causal."""
    if not path.is_relative_to(ROOT / "tests"):
        return None
    address = path.relative_to(ROOT / "tests").with_name(path.stem.removeprefix("test_")).as_posix()
    return address if (ROOT / "solutions" / f"{address}.py").is_file() else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the told lines in the place of pytest's traceback, unless -v asks for everything."""
    error = call.excinfo.value if call.excinfo else None  # pytest replaces it where it is a skip
    report = yield
    mark, address = item.get_closest_marker("clause"), address_of_test(item.path)
    if mark is None or address is None:
        return report
    report.user_properties.append(("clause", mark.args[0]))
    if report.skipped and error is not None and frames_of(error):
        report.outcome = "failed"  # only a test may leave itself out, not the code that it tests
    if report.failed and error is not None:
        lines = told(failure_of(item, error, address, mark.args[0]))
        report.user_properties.append(("told", lines))
        if item.config.getoption("verbose") > 0:
            report.sections.insert(0, ("in a learner's words", "\n".join(lines)))
        else:
            report.longrepr = "\n".join(lines)
            report.sections = [(PRINTED[name], tail(text)) for name, text in report.sections if name in PRINTED]
    return report


def failure_of(item: pytest.Item, error: BaseException, address: str, clause: str) -> Failure:
    probe: Any = getattr(getattr(item, "module", None), "probe", None)
    frames: list[Frame] = frames_of(error)
    unwanted = probe is None or served_reference(address) or os.environ.get("KATA_BRIEF")
    mistakes = [] if unwanted else diagnosis(address, probe)
    return Failure(address, clause, error, frames, mistakes)


def tail(text: str) -> str:
    """The last lines of what was printed, and how many came before."""
    lines = text.rstrip("\n").split("\n")
    left_out = len(lines) - MOST_PRINTED
    return "\n".join([f"({left_out} lines before)", *lines[-MOST_PRINTED:]] if left_out > 0 else lines)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """Tell a kata's failures grouped by what is told, so that an untouched stub is one line and not thirteen."""
    reports = terminalreporter.stats.get("failed", [])
    katas = [report for report in reports if dict(report.user_properties).get("told")]
    if terminalreporter.config.getoption("verbose") > 0 or terminalreporter.config.option.tbstyle == "no" or not katas:
        return (yield)
    terminalreporter.stats["failed"] = [report for report in reports if report not in katas]
    try:
        groups: dict[tuple[str, str], list[pytest.TestReport]] = {}
        for report in katas:
            groups.setdefault((report.nodeid.partition("::")[0], str(report.longrepr)), []).append(report)
        for (file, text), alike in groups.items():
            first = alike[0].nodeid.partition("::")[2]
            terminalreporter.write_sep("_", first if len(alike) == 1 else f"{file}: {len(alike)} tests", red=True)
            terminalreporter.write_line(text)
            for name, printed in alike[0].sections:
                terminalreporter.write_line(f"{name}:\n{printed}")
        return (yield)
    finally:
        terminalreporter.stats["failed"] = reports
