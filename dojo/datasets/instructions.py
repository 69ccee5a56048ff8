"""Instructions with their answers, in the fields of Alpaca: our own, the book's, and JSON Lines."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from dojo.datasets._reading import decoded

FIELDS = "instruction", "input", "output"


def read_instructions(path: str | Path) -> list[dict[str, str]]:
    """The entries of a file, each with an instruction, an input, which may be empty, and an output.

    The file is a list in JSON, as the book's instruction-data.json is, or JSON Lines: an object a line. Other fields
    are left out. Raises ValueError for any other file: broken JSON with its line, a broken entry with its number,
    from 1 on, and its field. Raises OSError for a file that cannot be read.
    """
    text = decoded(path)
    if not text.strip():
        raise ValueError(f"{path} is empty")
    found = list(_lines(path, text) if text.lstrip().startswith("{") else enumerate(_list(path, text), 1))
    if not found:
        raise ValueError(f"{path} has no entries")
    return [_entry(path, number, entry) for number, entry in found]


def is_answer(entry: Mapping[str, str], answer: str) -> bool:
    """Whether an answer is the output of an entry. Space around them and a full stop at their end do not count."""
    return _bare(entry["output"]) == _bare(answer)


def _bare(answer: str) -> str:
    return answer.strip().removesuffix(".").rstrip()


def _list(path: str | Path, text: str) -> list[object]:
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}: this is not JSON, {error.msg} at column {error.colno}"
        ) from None
    if not isinstance(entries, list):
        raise ValueError(f"{path} is neither a list of entries nor an object a line")
    return entries


def _lines(path: str | Path, text: str) -> Iterator[tuple[int, object]]:
    """The objects of JSON Lines, numbered. A line ends with a line feed and nothing else; empty ones are left out."""
    number = 0
    for line_number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            number += 1
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                where = f"{path}, line {line_number}"
                raise ValueError(f"{where}: this is not JSON, {error.msg} at column {error.colno}") from None


def _entry(path: str | Path, number: int, entry: object) -> dict[str, str]:
    where = f"{path}, entry {number}"
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is not an object with the fields {', '.join(FIELDS)}")
    for field in FIELDS:
        if field not in entry:
            raise ValueError(f"{where} has no field '{field}'{', which may be empty' if field == 'input' else ''}")
        if not isinstance(entry[field], str):
            raise ValueError(f"{where}: the field '{field}' is {entry[field]!r:.40}, not a text")
        if field != "input" and not entry[field].strip():
            raise ValueError(f"{where}: the field '{field}' is empty")
    return {field: entry[field] for field in FIELDS}
