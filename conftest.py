"""Which room serves `katas`, and how a failure is told. The work is done in dojo/; this file hands it to pytest."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if entry != str(ROOT))]
if not getattr(sys.modules.get("tests"), "__file__", str(ROOT)).startswith(str(ROOT)):
    # Another package named tests came first, from a plugin or from site-packages. Here it is in the way.
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]

pytest.register_assert_rewrite("tests.support")
pytest_plugins = ["dojo.verdict.tiers", "dojo.verdict.reporting"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("katas", "which file answers `import katas.attention.causal`")
    group.addoption("--solutions", action="store_true", help="test the reference in solutions/")
    group.addoption("--borrow", metavar="KATA,...", default="", help="take these katas from the reference")
    group.addoption("--mistake", metavar="KATA:NAME", default="", help="test the reference with a known mistake in it")
    group.addoption("--instead", metavar="KATA:FILE", default="", help="test this file in the place of the kata's")
    group.addoption("--quick", action="store_true", help="benchmarks: short lengths only")
    group.addoption("--hollow", action="store_true", help="test the reference with every public result zeroed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clause(name): the clause of the specification that a test enforces")
    config.addinivalue_line("markers", "slow: of the mistakes, only those of the test's own clause are tried on it")
    config.addinivalue_line("markers", "long: a test in tests/meta that tox -e long runs, and tox -e meta does not")
    from dojo.serving.finder import CHECKS, ROOMS, rooms

    config.stash[BEFORE] = {name: os.environ.get(name) for name in (ROOMS, CHECKS)}
    os.environ[ROOMS] = json.dumps(rooms() | asked_for(config))
    os.environ[CHECKS] = "1"
    register_profiles()


def pytest_unconfigure(config: pytest.Config) -> None:
    for name, value in config.stash.get(BEFORE, {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


BEFORE = pytest.StashKey[dict[str, str | None]]()


def asked_for(config: pytest.Config) -> dict[str, str]:
    """The rooms that the command line asks for."""
    from dojo.catalog.curriculum import UnknownKata, find
    from dojo.catalog.mistakes import mistakes_of

    rooms: dict[str, str] = {}
    if config.getoption("solutions"):
        rooms["*"] = "solutions"
    if config.getoption("hollow"):
        rooms["*"] = "hollow"
    try:
        for name in filter(None, config.getoption("borrow").split(",")):
            rooms[find(name.strip()).address] = "solutions"
        if config.getoption("instead"):
            name, _, file = config.getoption("instead").partition(":")
            rooms[find(name).address] = f"file:{file}"
        if config.getoption("mistake"):
            name, _, mistake = config.getoption("mistake").partition(":")
            address = find(name).address
            if mistake not in mistakes_of(address):
                raise pytest.UsageError(
                    f"{address} has no mistake {mistake!r}; it has {', '.join(mistakes_of(address))}"
                )
            rooms |= {"*": "solutions", address: f"solutions:{mistake}"}
    except UnknownKata as error:
        raise pytest.UsageError(str(error)) from None
    return rooms


def register_profiles() -> None:
    """Hypothesis's profiles: learner is the default, ci draws more, matrix only asks whether a test fails."""
    try:
        from hypothesis import HealthCheck, Phase, settings
        from hypothesis.errors import InvalidArgument
    except ImportError:  # benchmarks run without it
        return
    quiet: dict[str, Any] = {
        "deadline": None,
        "report_multiple_bugs": False,
        "print_blob": False,
        "derandomize": True,
        "database": None,
        "suppress_health_check": [HealthCheck.too_slow],
    }
    found, shrunk = [Phase.explicit, Phase.generate], [Phase.explicit, Phase.generate, Phase.shrink]
    settings.register_profile("learner", max_examples=25, phases=shrunk, **quiet)
    settings.register_profile("ci", max_examples=200, phases=shrunk, **quiet)
    settings.register_profile("matrix", max_examples=25, phases=found, **quiet)
    try:
        settings.load_profile(os.environ.get("KATA_PROFILE", "learner"))
    except InvalidArgument:
        raise pytest.UsageError(
            f"KATA_PROFILE is {os.environ['KATA_PROFILE']!r}: there are learner, ci, matrix"
        ) from None
