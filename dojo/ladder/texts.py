"""Real text of any size that is inside every Python: English, and source code."""

import ast
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics


@cache
def english(size: int) -> str:
    """So many characters of English: the reference of the language, then docstrings of its library."""
    return _first(size, _docstrings())


@cache
def source(size: int) -> str:
    """So many characters of Python, from its library."""
    return _first(size, (path.read_text(encoding="utf-8") for path in _library()))


def _first(size: int, texts: Iterator[str]) -> str:
    found, length = [], 0
    while length < size:
        found.append(next(texts))
        length += len(found[-1]) + 1
    return "\n".join(found)[:size]


def _docstrings() -> Iterator[str]:
    yield from (topics[name] for name in sorted(topics))
    for path in _library():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                yield text


def _library() -> Iterator[Path]:
    folder = Path(sysconfig.get_path("stdlib"))
    for path in sorted(folder.glob("*.py")) + sorted(folder.glob("[a-z]*/*.py")):
        if path.parent.name not in ("site-packages", "test"):
            yield path
