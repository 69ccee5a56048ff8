"""What a kata may not use is found in its source and named, before anything runs.

Refused are what the specification lists, the reference, the tests and their tools, ways to reach them by detours, and
changes to other modules. It is a guard rail, not a lock: it catches the shortcut taken by habit, and says so with its
line. Someone who wants to cheat can, and only cheats themselves; docs/groups/other-peoples-code.md says what remains.
"""

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dojo.catalog import specification

NEVER_IMPORTED = {"solutions", "tests", "dojo", "conftest", "pytest", "_pytest", "hypothesis"}
DETOURS = {
    "importlib", "runpy", "imp", "pkgutil", "builtins", "gc", "inspect", "ctypes", "unittest", "code", "codeop",
}  # fmt: skip
BUILT_IN_DETOURS = {"__import__", "exec", "eval", "compile", "__builtins__"}
LOOK_UPS = {"getattr", "attrgetter", "methodcaller", "vars", "globals", "locals"}  # they find a name by a string
PRIVATE_OF_SYS = {
    "modules",
    "meta_path",
    "path_hooks",
    "path",
    "_getframe",
    "_current_frames",
    "settrace",
    "setprofile",
}
OWN_VARIABLES = "KATA_"  # how the names of dojo's environment variables begin

USES, IMPORTS, CHANGES, DETOUR, STAR = "uses", "imports", "changes", "takes a detour with", "imports everything from"


class Use(NamedTuple):
    """Something that a kata may not do: what it does, a name, and the line."""

    verb: str
    name: str
    line: int


class NotAllowed(ImportError):
    """A kata does what it may not do."""

    def __init__(self, uses: list[Use]):
        super().__init__("; ".join(f"line {line} {verb} {name}, which is not allowed" for verb, name, line in uses))
        self.uses = uses


def refuse_what_is_not_allowed(address: str, source: str) -> None:
    """Raise NotAllowed if the source of a kata does what it may not do."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # the import says it better, with the file's name
    if uses := uses_of(specification.not_allowed(address), tree):
        raise NotAllowed(uses)


def uses_of(names: tuple[str, ...], tree: ast.Module) -> list[Use]:
    """What is not allowed, each with its first line, in the order of the lines; one line is told for one reason."""
    source = _Source(tree)
    rules = (_modules, _star_imports, _detours, _private_parts, _environment, _changes, _renamed_self)
    uses = [use for rule in rules for use in rule(source)]
    told = {use.line for use in uses}
    uses += [use for use in _forbidden_names(names, source) if use.line not in told]
    found: dict[tuple[str, str], Use] = {}
    for use in sorted(uses, key=lambda use: use.line):
        found.setdefault((use.verb, use.name), use)
    return list(found.values())


class _Source:
    """A kata's syntax tree, with what its names stand for."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree, self.nodes = tree, list(ast.walk(tree))
        self.own = _names_defined_in(self.nodes)
        self.imported = self._imported()
        self.within = self._names_of_each_class()

    def _imported(self) -> dict[str, str]:
        """Names that stand for something imported, with its dotted name: F for torch.nn.functional."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        for node in self.nodes:  # t = torch
            if isinstance(node, ast.Assign) and (dotted := self._dotted(node.value, found)):
                found |= {target.id: dotted for target in node.targets if isinstance(target, ast.Name)}
        return found

    def _dotted(self, node: ast.AST, imported: dict[str, str]) -> str:
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in imported:
            return ".".join([imported[node.id], *reversed(parts)])
        return ""

    def dotted(self, node: ast.AST) -> str:
        """The dotted name of what an expression takes from something imported; empty for anything else."""
        return self._dotted(node, self.imported)

    def _names_of_each_class(self) -> dict[ast.AST, set[str]]:
        """For each attribute taken of self or cls inside a class, the names that this class gives a meaning."""
        found: dict[ast.AST, set[str]] = {}
        for owner in self.nodes:
            if isinstance(owner, ast.ClassDef):
                inside = list(ast.walk(owner))
                names = {n.name for n in inside if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
                names |= {n.attr for n in inside if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
                names |= {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
                for node in inside:
                    if isinstance(node, ast.Attribute):
                        found.setdefault(node, set()).update(names)
        return found


def _forbidden_names(names: tuple[str, ...], source: _Source) -> Iterator[Use]:
    """Names that are imported, called, taken as an attribute or looked up by string; a learner's own are not meant."""
    forbidden = {name.rpartition(".")[2]: name for name in names}
    for node in source.nodes:
        match node:
            case ast.Import(names=aliases):
                said = [part for alias in aliases for part in alias.name.split(".")]
            case ast.ImportFrom(module=module, names=aliases, level=0):
                said = [*(module or "").split("."), *(alias.name for alias in aliases)]
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attr) if attr in source.within.get(node, ()):
                continue
            case ast.Attribute(attr=attr):
                said = [attr]
            case ast.Name(id=name) if name not in source.own:
                said = [name]
            case _:
                said = [part for text in _looked_up(node) for part in text.split(".")]
        yield from (Use(USES, forbidden[name], _line(node)) for name in said if name in forbidden)


def _modules(source: _Source) -> Iterator[Use]:
    """Imports of the reference, of the tests and their tools, and of what finds them."""
    for node in source.nodes:
        match node:
            case ast.Import(names=aliases):
                said = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str() as module, level=0):
                said = [module]
            case _:
                continue
        for top in (name.partition(".")[0] for name in said):
            if top in NEVER_IMPORTED:
                yield Use(IMPORTS, top, _line(node))
            elif top in DETOURS:
                yield Use(DETOUR, top, _line(node))


def _star_imports(source: _Source) -> Iterator[Use]:
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield Use(STAR, node.module or ".", node.lineno)


def _detours(source: _Source) -> Iterator[Use]:
    """Built-in functions that run or find code by a string, and names of modules that are looked up by a string."""
    for node in source.nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name in BUILT_IN_DETOURS and name not in source.own:
                yield Use(DETOUR, name, node.lineno)
            case ast.Call(func=ast.Name(id="getattr"), args=[owner, name, *_]) if source.dotted(owner):
                if not isinstance(name, ast.Constant):
                    yield Use(DETOUR, f"getattr({ast.unparse(owner)}, ...)", node.lineno)
            case ast.Subscript(value=value, slice=name) if _namespace(value, source):
                if not isinstance(name, ast.Constant):
                    yield Use(DETOUR, ast.unparse(value), node.lineno)


def _namespace(node: ast.AST, source: _Source) -> bool:
    """Whether an expression is the dict of a module's names: vars(torch), torch.__dict__, globals()."""
    match node:
        case ast.Call(func=ast.Name(id="globals")):
            return True
        case ast.Call(func=ast.Name(id="vars"), args=[owner]):
            return bool(source.dotted(owner))
        case ast.Attribute(value=owner, attr="__dict__"):
            return bool(source.dotted(owner))
    return False


def _private_parts(source: _Source) -> Iterator[Use]:
    """torch's private functions and its operators by another way, and the parts of sys that lead anywhere."""
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and not node.level:
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        else:
            dotted = [source.dotted(node)] if isinstance(node, ast.Attribute) else []
        for name in dotted:
            top, *parts = name.split(".")
            private = next((place for place, part in enumerate(parts) if _is_private(part)), None)
            if top == "torch" and private is not None:
                yield Use(DETOUR, ".".join([top, *parts[: private + 1]]), _line(node))
            elif top == "torch" and parts[:1] == ["ops"]:
                yield Use(DETOUR, "torch.ops", _line(node))
            elif top == "sys" and parts and parts[0] in PRIVATE_OF_SYS:
                yield Use(DETOUR, f"sys.{parts[0]}", _line(node))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _environment(source: _Source) -> Iterator[Use]:
    """dojo's own environment variables."""
    for node in source.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(OWN_VARIABLES):
            yield Use(DETOUR, node.value, node.lineno)


def _changes(source: _Source) -> Iterator[Use]:
    """Assignments to an attribute of something imported: a patched torch.allclose passes every test."""
    for node in source.nodes:
        match node:
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                target: ast.expr = node
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[ast.expr() as target, *_]):
                pass
            case _:
                continue
        if source.dotted(target):
            yield Use(CHANGES, ast.unparse(target), node.lineno)


def _renamed_self(source: _Source) -> Iterator[Use]:
    """Something else under the name self, whose own methods are not looked for; an object newly made is fine."""
    for node in source.nodes:
        if isinstance(node, ast.Assign) and not _is_new_object(node.value):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            yield from (Use(CHANGES, name, node.lineno) for name in names if name in ("self", "cls"))


def _is_new_object(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="__new__") | ast.Name(id="cls")):
            return True
    return False


def _looked_up(node: ast.AST) -> list[str]:
    """Strings by which something is looked up: handed to one of the functions, or a key of a module's names."""
    match node:
        case ast.Call(func=ast.Name(id=function) | ast.Attribute(attr=function), args=arguments) if (
            function in LOOK_UPS
        ):
            return _strings(arguments)
        case ast.Subscript(
            value=ast.Attribute(attr="__dict__") | ast.Call(func=ast.Name(id="vars" | "globals")), slice=name
        ):
            return _strings([name])
    return []


def _strings(nodes: Iterable[ast.AST]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 1))


def _names_defined_in(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that the file itself gives a meaning: a learner's own `softmax` is not PyTorch's."""
    own: set[str] = set()
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                own.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.ImportFrom(names=aliases, level=level) if level:
                own.update(alias.asname or alias.name for alias in aliases)
    return own


def bound_names(tree: ast.Module) -> set[str]:
    """The names that a file binds by a def, a class, or an assignment that is no alias of something imported."""
    source, found = _Source(tree), set[str]()
    for node in _statements(tree.body):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=targets, value=value) if not source.dotted(value):
                found |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if not source.dotted(value):
                found.add(name)
    return found


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module's top level, also those below if, try, with and loops."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, None) or [])
            for handler in getattr(node, "handlers", []):
                yield from _statements(handler.body)
