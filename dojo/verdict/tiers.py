"""A pytest plugin: which tests of a kata run, the core's before the further ones.

Plain pytest runs the core. --further and --solutions run everything; a test that is named by its node id, by --clause
or by its clause's slug in -k runs whatever its tier. --offer runs the further tests only after a core that passed.
"""

from dataclasses import dataclass

import pytest

from dojo.catalog import specification
from dojo.catalog.curriculum import address_of_test

LEFT_OUT = pytest.StashKey[int]()
CORE_FAILED = pytest.StashKey[bool]()


@dataclass(frozen=True)
class About:
    """What a kata's test is about."""

    address: str
    clause: str

    @property
    def further(self) -> bool:
        return self.clause in specification.further_clauses(self.address)


def about(item: pytest.Item) -> About | None:
    """What a test is about; None for a test that belongs to no kata."""
    mark, address = item.get_closest_marker("clause"), address_of_test(item.path)
    return About(address, mark.args[0]) if mark is not None and address is not None else None


def is_further(item: pytest.Item) -> bool:
    found = about(item)
    return found is not None and found.further


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("katas")
    group.addoption("--clause", metavar="SLUG", default="", help="test this clause alone, whatever its tier")
    group.addoption("--further", action="store_true", help="also test the further clauses")
    group.addoption("--offer", action="store_true", help="test the further clauses after a core that passed")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let -k find a test by the slug of its clause."""
    if found := about(item):
        item.extra_keyword_matches.add(found.clause)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order each file's tests by the specification's tiers, and leave out the further ones where nobody asked."""
    places = {path: place for place, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: (places[item.path], is_further(item)))
    if only := config.getoption("clause"):
        _leave_out([item for item in items if (found := about(item)) is None or found.clause != only], config, items)
        return
    if any(config.getoption(name) for name in ("further", "offer", "solutions", "hollow", "mistake")):
        return
    named = [str(argument).split("[")[0] for argument in config.args if "::" in str(argument)]
    words = config.getoption("keyword").split()
    left_out = [item for item in items if is_further(item) and not any(_named_by(item, one) for one in named)]
    left_out = [item for item in left_out if (found := about(item)) is None or found.clause not in words]
    config.stash[LEFT_OUT] = len(left_out)
    _leave_out(left_out, config, items)


def _leave_out(left_out: list[pytest.Item], config: pytest.Config, items: list[pytest.Item]) -> None:
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _named_by(item: pytest.Item, argument: str) -> bool:
    return item.nodeid.split("[")[0].endswith(argument.replace("\\", "/").rpartition("/")[2])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """With --offer, run no further test once a test of the core has failed."""
    if not item.config.getoption("offer") or not is_further(item):
        return None
    # Decided at the first further test: later on, failures of further tests count as well.
    return item.session.stash.setdefault(CORE_FAILED, item.session.testsfailed > 0) or None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{left_out} tests of further clauses were not run; --further runs them.")
