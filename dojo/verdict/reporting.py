"""A pytest plugin: a kata's failures in a learner's terms, in any editor and on the terminal."""

import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from dojo import ROOT
from dojo.system import terminal
from dojo.verdict.diagnosis import Named, diagnosis, sentences, served_reference
from dojo.verdict.explain import WRONG, Explanation, Failure, explained, frames_of
from dojo.verdict.render import as_text
from dojo.verdict.tiers import About, about

PRINTED = {"Captured stdout call": "your code printed", "Captured stderr call": "your code printed to stderr"}
MOST_PRINTED = 20
WIDEST = 2000  # characters of a line
FAILED = pytest.StashKey[dict[str, Any]]()  # address to the probe of its test file, for katas with a failed test
NAMED = pytest.StashKey[dict[str, Named]]()  # address to what its diagnosis found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the explanation in place of pytest's traceback, which is not made at all, unless -v asks for it."""
    error = call.excinfo.value if call.excinfo else None  # pytest replaces it where it is a skip
    found = about(item)
    if found is None:
        return (yield)
    verbose = item.config.getoption("verbose") > 0
    explanation = None
    if error is not None and not is_left_out(error):
        explanation = explained(Failure(found.address, found.clause, error, frames_of(error)))
        if explanation.kind == WRONG:
            item.config.stash.setdefault(FAILED, {})[found.address] = getattr(
                getattr(item, "module", None), "probe", None
            )
        if not verbose:
            item.repr_failure = lambda *_, **__: as_text(explanation)  # type: ignore[method-assign]
    report = yield
    report.user_properties.append(("clause", found.clause))
    if explanation is None:
        return report
    report.outcome = "failed"  # only a test may leave itself out, not the code that it tests
    report.user_properties.append(("explanation", explanation.as_data()))
    if verbose:
        report.sections.insert(0, ("in a learner's words", as_text(explanation)))
    else:
        names = diagnosed(item, found) if explanation.kind == WRONG and not is_recorded(item.config) else []
        report.longrepr = as_text(explanation, names)
        report.sections = [(PRINTED[name], tail(text)) for name, text in report.sections if name in PRINTED]
    return report


def is_left_out(error: BaseException) -> bool:
    """Whether a test left itself out. A skip that comes out of the kata's own code is a failure."""
    return isinstance(error, pytest.skip.Exception | pytest.xfail.Exception) and not frames_of(error)


def is_recorded(config: pytest.Config) -> bool:
    """Whether `dojo` runs this process. If so, the diagnosis is part of the record, after the last test."""
    return config.pluginmanager.has_plugin("dojo.verdict.recording")


def diagnosed(item: pytest.Item, found: About) -> list[str]:
    """What the known mistakes say of a failed test. The diagnosis is made once for a kata as it is loaded."""
    known = item.config.stash.setdefault(NAMED, {})
    if found.address not in known:
        known[found.address] = diagnosis_of(found.address, item.config.stash[FAILED][found.address])
    return sentences(found.address, item.nodeid.partition("::")[2], known[found.address])


def diagnosis_of(address: str, probe: Any) -> Named:
    unwanted = probe is None or served_reference(address) or os.environ.get("KATA_BRIEF")
    return Named() if unwanted else diagnosis(address, probe)


def tail(text: str) -> str:
    """The last lines of what was printed, cut and without control characters, and how many came before."""
    lines = [terminal.cut(terminal.harmless(line), WIDEST) for line in text.rstrip("\n").split("\n")]
    left_out = len(lines) - MOST_PRINTED
    return "\n".join([f"({left_out} lines before)", *lines[-MOST_PRINTED:]] if left_out > 0 else lines)


def explanation_of(report: pytest.TestReport) -> Explanation | None:
    """The explanation of a report; None where its test did not fail in a kata."""
    found: Any = dict(report.user_properties).get("explanation")
    return Explanation.of(found) if found else None


def drop_warnings_of_the_reference(terminalreporter: pytest.TerminalReporter) -> None:
    """Take out what borrowed katas warn of: it is not the learner's, and pytest shows the reference's line with it."""
    warned = terminalreporter.stats.get("warnings", [])
    others = [one for one in warned if not Path(one.fslocation[0]).is_relative_to(ROOT / "solutions")]
    if warned and not terminalreporter.config.getoption("solutions"):
        terminalreporter.stats["warnings"] = others


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """Show a kata's failures grouped by their text, so that an untouched stub is one line and not thirteen."""
    drop_warnings_of_the_reference(terminalreporter)
    reports = terminalreporter.stats.get("failed", [])
    katas = [report for report in reports if explanation_of(report)]
    if terminalreporter.config.getoption("verbose") > 0 or terminalreporter.config.option.tbstyle == "no" or not katas:
        return (yield)
    terminalreporter.stats["failed"] = [report for report in reports if report not in katas]
    try:
        for (file, text), alike in grouped(katas).items():
            first = alike[0].nodeid.partition("::")[2]
            terminalreporter.write_sep("_", first if len(alike) == 1 else f"{file}: {len(alike)} tests", red=True)
            terminalreporter.write_line(text)
            for name, printed in alike[0].sections:
                terminalreporter.write_line(f"{name}:\n{printed}")
        return (yield)
    finally:
        terminalreporter.stats["failed"] = reports


def grouped(reports: Iterable[pytest.TestReport]) -> dict[tuple[str, str], list[pytest.TestReport]]:
    groups: dict[tuple[str, str], list[pytest.TestReport]] = {}
    for report in reports:
        groups.setdefault((report.nodeid.partition("::")[0], str(report.longrepr)), []).append(report)
    return groups
