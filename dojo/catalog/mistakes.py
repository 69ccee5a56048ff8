"""The known mistakes of a kata: what learners write instead, and which tests each of them fails."""

import json
import tomllib
from functools import cache
from typing import Any

from dojo.catalog.curriculum import Place


@cache
def mistakes_of(address: str) -> dict[str, dict[str, Any]]:
    """The known mistakes of a kata, by name, in the order of the file."""
    return {mistake["name"]: mistake for mistake in mistakes_file(address).get("mistake", [])}


def mistakes_file(address: str) -> dict[str, Any]:
    """The mistakes file of a kata as it is: its `mistake` and its `excused` tables."""
    path = Place(address).mistakes
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def wrong_source(source: str, mistake: dict[str, Any]) -> str:
    """The source with a mistake edited into it. An edit that does not fit exactly once is a ValueError."""
    for edit in mistake["edits"]:
        if (times := source.count(edit["swap"])) != 1:
            raise ValueError(
                f"mistake {mistake['name']}: {edit['swap']!r} occurs {times} times in the solution, not once"
            )
        source = source.replace(edit["swap"], edit["by"])
    return source


@cache
def reach_of(address: str) -> dict[str, list[str]]:
    """The tests that each mistake fails: test_x for all cases of a test, test_x[case] for one. Empty if not written."""
    return dict(_reach(address).get("reach", {}))


@cache
def drawn_of(address: str) -> dict[str, list[str]]:
    """For each test that no mistake fails, the drawn edit of the reference that does: a statement before and after."""
    return dict(_reach(address).get("drawn", {}))


def _reach(address: str) -> dict[str, Any]:
    path = Place(address).reach
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
