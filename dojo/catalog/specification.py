"""What a kata asks for, read from the reference's source and never from the learner's file; nothing is imported."""

import ast
import re
from functools import cache

from dojo.catalog.curriculum import Place

ENTRY = re.compile(r"^ {4}\S.*(?:\n {5,}\S.*)*$", re.MULTILINE)
CLAUSE = re.compile(r"(?P<slug>[a-z][a-z0-9-]*) +(?P<sentence>\S.*)")
NOT_ALLOWED = re.compile(r"^Not allowed: *(?P<names>[^.]+(?:\.\w[^.]*)*)\.\s*$", re.MULTILINE)
Documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def tree_of(address: str) -> ast.Module:
    """The syntax tree of a solution."""
    return ast.parse(Place(address).solution.read_text(encoding="utf-8"))


@cache
def docstrings(address: str) -> tuple[str, ...]:
    """The docstrings of a solution's public parts, cleaned, in the order of the file."""
    nodes = [node for node in ast.walk(tree_of(address)) if isinstance(node, Documented)]
    nodes = [node for node in nodes if is_public(getattr(node, "name", ""))]
    nodes.sort(key=lambda node: getattr(node, "lineno", 0))
    return tuple(text for node in nodes if (text := ast.get_docstring(node)))


@cache
def clauses(address: str) -> dict[str, str]:
    """The clauses of a kata: slug to sentence, the core before the further ones, each in the order of the file.

    Raises ValueError for a slug that is used twice, and for a line among the clauses that has no slug.
    """
    core, further = core_clauses(address), further_clauses(address)
    if twice := core.keys() & further.keys():
        raise ValueError(f"solutions/{address}.py states the clause {min(twice)} twice")
    return core | further


@cache
def core_clauses(address: str) -> dict[str, str]:
    """What the concept is: the clauses under `Clauses:`."""
    return _clauses_under("Clauses", address)


@cache
def further_clauses(address: str) -> dict[str, str]:
    """What a careful engineer adds: the clauses under `Further clauses:`."""
    return _clauses_under("Further clauses", address)


def _clauses_under(heading: str, address: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in docstrings(address):
        block = re.search(rf"^{heading}:\n(?P<entries>.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        for entry in ENTRY.finditer(block["entries"]) if block else ():
            match = CLAUSE.fullmatch(" ".join(entry[0].split()))
            if not match:
                raise ValueError(f"solutions/{address}.py: a clause without a slug: {entry[0].strip()}")
            if match["slug"] in found:
                raise ValueError(f"solutions/{address}.py states the clause {match['slug']} twice")
            found[match["slug"]] = match["sentence"]
    return found


@cache
def not_allowed(address: str) -> tuple[str, ...]:
    """The names that a kata's `Not allowed:` lines list."""
    found = [match["names"] for text in docstrings(address) for match in NOT_ALLOWED.finditer(text)]
    return tuple(name.strip() for names in found for name in names.replace("\n", " ").split(","))


@cache
def public_names(address: str) -> tuple[str, ...]:
    """The public classes, functions and constants of a kata, in the order of the file."""
    names: list[str] = []
    for node in tree_of(address).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.append(name)
            case ast.Assign(targets=targets):
                names += [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.append(name)
    return tuple(name for name in names if not name.startswith("_"))


@cache
def defined_names(address: str) -> tuple[str, ...]:
    """The public names that are a class or a function."""
    defined = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return tuple(n.name for n in tree_of(address).body if isinstance(n, defined) and not n.name.startswith("_"))


def is_public(name: str) -> bool:
    """Whether a name belongs to the specification: no leading underscore, or a dunder."""
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))
