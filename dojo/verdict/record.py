"""The record of a run: what the child has written down so far, line by line."""

import json
from dataclasses import dataclass, field
from typing import Any

from dojo.verdict.diagnosis import Named
from dojo.verdict.explain import Explanation


@dataclass(frozen=True)
class Outcome:
    """The outcome of one test, or of one of its cases: `id` tells the cases of a test apart."""

    name: str
    id: str
    clause: str
    outcome: str
    why: str = ""
    explanation: Explanation | None = None
    printed: tuple[str, ...] = ()
    seconds: float = 0.0

    def as_data(self) -> dict[str, Any]:
        explanation = self.explanation and self.explanation.as_data()
        return vars(self) | {"explanation": explanation, "printed": list(self.printed)}


@dataclass
class Record:
    """What was recorded: the outcomes, the test that started last and when, whether the last test has ended.

    begun: whether pytest came as far as to load the tests.
    """

    tests: list[Outcome] = field(default_factory=list)
    begun: bool = False
    started: str = ""
    started_at: float = 0.0
    whole: bool = False
    named: Named | None = None

    @property
    def names(self) -> set[str]:
        return {test.name for test in self.tests}


def read(content: bytes, secret: str) -> Record:
    """The record so far. A half line, or one without the secret, does not count: the code under test wrote it."""
    record = Record()
    for line in map(_json, content.splitlines()):
        if not isinstance(line, dict) or line.pop("secret", "") != secret:
            continue
        match line:
            case {"record": "begin"}:
                record.begun = True
            case {"record": "start", "test": str(name), "at": float(at)}:
                record.started, record.started_at, record.whole = name, at, False
            case {"record": "test", "test": str(name), "outcome": str(outcome)}:
                record.tests.append(_outcome(name, outcome, line))
            case {"record": "end"}:
                record.whole = True
            case {"record": "named"}:
                record.named = Named(line["whole"], tuple(line["parts"]), line["mixed"])
    return record


def _outcome(name: str, outcome: str, line: dict[str, Any]) -> Outcome:
    explanation = Explanation.of(line["explanation"]) if line.get("explanation") else None
    printed, clause = tuple(line.get("printed", ())), line.get("clause") or ""
    return Outcome(
        name, line.get("id", name), clause, outcome, line.get("why", ""), explanation, printed, line["seconds"]
    )


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
