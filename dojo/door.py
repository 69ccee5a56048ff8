"""The door: what a kata's specification does not allow is found in its source and named, before anything runs.

A guard rail, not a lock: it catches the shortcut taken by habit, and says so on the line where it stands. Someone who
wants to cheat can, and only cheats themselves.
"""

import ast

from dojo import specification

NEVER_ALLOWED = ("solutions",)


class NotAllowed(ImportError):
    """A kata uses what its specification does not allow. `uses` holds pairs of name and line."""

    def __init__(self, uses: list[tuple[str, int]]):
        super().__init__("; ".join(f"not allowed here: {name}, line {line}" for name, line in uses))
        self.uses = uses


def refuse_what_is_not_allowed(address: str, source: str) -> None:
    """Raise NotAllowed if the source of a kata uses a name that its specification forbids."""
    names = (*specification.not_allowed(address), *NEVER_ALLOWED)
    if not any(name.rpartition(".")[2] in source for name in names):
        return
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return  # the import says it better, with the file's name
    if uses := uses_of(names, tree):
        raise NotAllowed(uses)


def uses_of(names: tuple[str, ...], tree: ast.Module) -> list[tuple[str, int]]:
    """Where the names are imported, called, taken as an attribute or spelt as a string; the first line of each."""
    forbidden = {name.rpartition(".")[2]: name for name in names}
    own = names_defined_in(tree)
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                said = [part for alias in aliases for part in alias.name.split(".")]
            case ast.ImportFrom(module=module, names=aliases, level=0):
                said = [*(module or "").split("."), *(alias.name for alias in aliases)]
            case ast.Attribute(attr=attr):
                said = [attr]
            case ast.Name(id=name) if name not in own:
                said = [name]
            case ast.Constant(value=str() as text):
                said = [text.split(".")[0].split("/")[0], text.rpartition(".")[2]]
            case _:
                continue
        for name in said:
            if name in forbidden:
                found[forbidden[name]] = min(node.lineno, found.get(forbidden[name], node.lineno))
    return sorted(found.items(), key=lambda use: use[1])


def names_defined_in(tree: ast.Module) -> set[str]:
    """Names that the file itself gives a meaning: a learner's own `softmax` is not PyTorch's."""
    own: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                own.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.ImportFrom(names=aliases, level=level) if level:
                own.update(alias.asname or alias.name for alias in aliases)
    return own
