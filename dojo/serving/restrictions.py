"""The door: what a kata may not use is found in its source and named, before anything runs.

What is not allowed is what the specification lists, the reference, the tests and their tools, and changes to somebody
else's module. It is a guard rail, not a lock: it catches the shortcut taken by habit, and says so on the line where it
stands. Someone who wants to cheat can, and only cheats themselves.
"""

import ast
from collections.abc import Iterator
from typing import NamedTuple

from dojo.catalog import specification

NEVER_IMPORTED = {"solutions", "tests", "dojo", "conftest", "pytest", "_pytest", "hypothesis"}
IMPORTERS = {"__import__", "import_module", "find_spec", "run_module", "run_path"}
LOOKED_UP = IMPORTERS | {"getattr", "attrgetter", "methodcaller"}  # functions that take a name as a string


USES, IMPORTS, CHANGES = "uses", "imports", "changes"


class Use(NamedTuple):
    """Something that a kata may not do: USES, IMPORTS or CHANGES, a name, and the line."""

    verb: str
    name: str
    line: int


class NotAllowed(ImportError):
    """A kata does what it may not do."""

    def __init__(self, uses: list[Use]):
        super().__init__("; ".join(f"line {line} {verb} {name}, which is not allowed" for verb, name, line in uses))
        self.uses = uses


def refuse_what_is_not_allowed(address: str, source: str) -> None:
    """Raise NotAllowed if the source of a kata uses what it may not use."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return  # the import says it better, with the file's name
    if uses := uses_of(specification.not_allowed(address), tree):
        raise NotAllowed(uses)


def uses_of(names: tuple[str, ...], tree: ast.Module) -> list[Use]:
    """What is not allowed, each with its first line, in the order of the lines."""
    found: dict[tuple[str, str], Use] = {}
    uses = [*forbidden_names(names, tree), *forbidden_modules(tree), *changed_modules(tree)]
    for use in sorted(uses, key=lambda use: use.line):
        found.setdefault((use.verb, use.name), use)
    return list(found.values())


def forbidden_names(names: tuple[str, ...], tree: ast.Module) -> Iterator[Use]:
    """Names that are imported, called, taken as an attribute or looked up by string; a learner's own are not meant."""
    forbidden = {name.rpartition(".")[2]: name for name in names}
    own = names_defined_in(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                said = [part for alias in aliases for part in alias.name.split(".")]
            case ast.ImportFrom(module=module, names=aliases, level=0):
                said = [*(module or "").split("."), *(alias.name for alias in aliases)]
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr) if attr in own:
                continue
            case ast.Attribute(attr=attr):
                said = [attr]
            case ast.Name(id=name) if name not in own:
                said = [name]
            case _:
                said = [part for text in looked_up(node, LOOKED_UP) for part in text.split(".")]
        yield from (Use(USES, forbidden[name], line_of(node)) for name in said if name in forbidden)


def forbidden_modules(tree: ast.Module) -> Iterator[Use]:
    """Imports of the reference, of the tests and of their tools, by statement, by function or from sys.modules."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                said = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str() as module, level=0):
                said = [module]
            case _:
                said = looked_up(node, IMPORTERS)
        tops = (name.replace("/", ".").partition(".")[0] for name in said)
        yield from (Use(IMPORTS, top, line_of(node)) for top in tops if top in NEVER_IMPORTED)


def looked_up(node: ast.AST, functions: set[str]) -> list[str]:
    """Strings by which something is looked up: handed to one of the functions, or a key of a module's names."""
    match node:
        case ast.Call(func=ast.Name(id=function) | ast.Attribute(attr=function), args=arguments) if (
            function in functions
        ):
            return [text.value for text in arguments if isinstance(text, ast.Constant) and isinstance(text.value, str)]
        case ast.Subscript(
            value=ast.Attribute(attr="modules" | "__dict__") | ast.Call(func=ast.Name(id="vars" | "globals")),
            slice=ast.Constant(value=str() as text),
        ):
            return [text]
    return []


def changed_modules(tree: ast.Module) -> Iterator[Use]:
    """Assignments to an attribute of something imported: a patched torch.allclose passes every test."""
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for alias in node.names
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                target: ast.expr = node
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[ast.expr() as target, *_]):
                pass
            case _:
                continue
        root = target
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id in imported:
            yield Use(CHANGES, ast.unparse(target), node.lineno)


def line_of(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 1))


def names_defined_in(tree: ast.Module) -> set[str]:
    """Names that the file itself gives a meaning: a learner's own `softmax` is not PyTorch's."""
    own: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                own.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                own.add(name)
            case ast.ImportFrom(names=aliases, level=level) if level:
                own.update(alias.asname or alias.name for alias in aliases)
    return own
