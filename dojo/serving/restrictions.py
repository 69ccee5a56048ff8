"""What a kata may not use is found in its source and named, before anything runs.

Refused are what the specification lists, the reference, the tests and their tools, ways to reach them by detours, and
changes to other modules. It is a guard rail, not a lock: it catches the shortcut taken by habit, and says so with its
line. Someone who wants to cheat can, and only cheats themselves; docs/groups/other-peoples-code.md says what remains.
"""

import ast
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dojo import ROOT
from dojo.catalog import specification
from dojo.catalog.curriculum import Place
from dojo.serving._source import Source, is_own, key_of, namespace_of, paths
from dojo.system.files import read_regular

NEVER_IMPORTED = {"solutions", "tests", "dojo", "conftest", "pytest", "_pytest", "hypothesis"}
DETOURS = {
    "importlib", "runpy", "imp", "_imp", "pkgutil", "pydoc", "zipimport", "marshal", "builtins", "gc", "inspect",
    "ctypes", "unittest", "code", "codeop",
}  # fmt: skip
BUILT_IN_DETOURS = {
    "__import__", "exec", "eval", "compile", "globals", "__builtins__", "__loader__", "__spec__",
}  # fmt: skip
LOOK_UPS = {  # functions that find a name by a text, and which of their arguments it is
    "getattr": slice(1, 2), "methodcaller": slice(0, 1), "attrgetter": slice(None), "__getattribute__": slice(-1, None),
    "__getattr__": slice(-1, None),
}  # fmt: skip
SETTERS, SPECIAL_SETTERS = {"setattr", "delattr"}, {"__setattr__", "__delattr__"}
ENTRANCES = {  # attributes that lead from an object to the code around it
    "tb_frame", "f_back", "f_globals", "f_locals", "f_builtins", "gi_frame", "cr_frame", "ag_frame", "__globals__",
    "__code__", "__closure__", "__subclasses__", "__builtins__", "__loader__", "__spec__", "__import__",
}  # fmt: skip
LEAD_ANYWHERE = (
    "sys.modules", "sys.meta_path", "sys.path_hooks", "sys.path_importer_cache", "sys.path", "sys._getframe",
    "sys._current_frames", "sys.settrace", "sys.setprofile", "sys.addaudithook", "sys.monitoring", "torch.ops",
    "torch.hub", "torch.library", "torch.overrides", "torch.package", "torch.jit.CompilationUnit",
    "torch.utils.cpp_extension",
)  # fmt: skip
SETTINGS = ("torch.backends.",)  # assigning to them is how they are meant to be used
TENSORS_OWN = {"softmax", "log_softmax", "logsumexp", "cumsum", "logcumsumexp"}  # forbidden names that are its methods
SAME_WORK = {
    "softmax": {"gumbel_softmax", "Categorical", "OneHotCategorical"},
    "log_softmax": {"Categorical", "OneHotCategorical"},
    "cross_entropy": {"linear_cross_entropy", "LinearCrossEntropyLoss"},
}
OWN_VARIABLES = "KATA_"  # how the names of dojo's environment variables begin
REFERENCE = re.compile(r"\bsolutions([\\/]|\.\w)")
JOINERS = {"join", "joinpath", "Path", "PurePath"}

USES, IMPORTS, CHANGES, READS = "uses", "imports", "changes", "reads"
DETOUR, STAR = "takes a detour with", "imports everything from"


class Use(NamedTuple):
    """Something that a kata may not do: what it does, a name, and the line."""

    verb: str
    name: str
    line: int


class NotAllowed(ImportError):
    """A kata, or a learner's file that it imports, does what it may not do."""

    def __init__(self, uses: list[Use], file: str):
        super().__init__("; ".join(f"line {line} {verb} {name}, which is not allowed" for verb, name, line in uses))
        self.uses, self.file = uses, file


def refuse_what_is_not_allowed(address: str, source: str) -> None:
    """Raise NotAllowed if a kata, or a learner's file that it imports, does what it may not do.

    Raises NotRegular for such a file that is a link or a pipe, and RecursionError for a source nested too deeply.
    """
    names, file = specification.not_allowed(address), Place(address).stub
    seen, waiting = {file}, [(file, source)]
    while waiting:
        file, text = waiting.pop()
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue  # the import says it better, with the file's name
        if uses := uses_of(names, tree):
            raise NotAllowed(uses, file.relative_to(ROOT).as_posix())
        for helper in sorted(_helpers(file, tree) - seen):
            seen.add(helper)
            waiting.append((helper, importlib.util.decode_source(read_regular(helper))))


def uses_of(names: tuple[str, ...], tree: ast.Module) -> list[Use]:
    """What is not allowed, each with its first line, in the order of the lines; one line is told for one reason."""
    source = Source(tree)
    uses: list[Use] = []
    for rule in (_modules, _star_imports, _detours, _reads, _environment, _parts, _changes, _renamed_self):
        told = {use.line for use in uses}
        uses += [use for use in rule(source) if use.line not in told]
    told = {use.line for use in uses}
    uses += [use for use in _forbidden_names(names, source) if use.line not in told]
    found: dict[tuple[str, str], Use] = {}
    for use in sorted(uses, key=lambda use: use.line):
        found.setdefault((use.verb, use.name), use)
    return list(found.values())


def _modules(source: Source) -> Iterator[Use]:
    """Imports of the reference, of the tests and their tools, and of what finds them."""
    for node in source.nodes:
        for path in paths(node):
            top = path.partition(".")[0]
            if top in NEVER_IMPORTED:
                yield Use(IMPORTS, top, _line(node))
            elif top in DETOURS:
                yield Use(DETOUR, top, _line(node))
            elif is_own(path) and "solutions" in path.split("."):
                yield Use(IMPORTS, "solutions", _line(node))


def _star_imports(source: Source) -> Iterator[Use]:
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield Use(STAR, node.module or ".", node.lineno)


def _reads(source: Source) -> Iterator[Use]:
    """A path or a module's name that leads to the reference."""
    yield from (Use(READS, "solutions", _line(node)) for node, text in source.written if REFERENCE.search(text))
    for node in source.nodes:
        match node:
            case ast.BinOp(op=ast.Div(), left=left, right=right):
                pieces = [left, right]
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=pieces) if name in JOINERS:
                pass
            case _:
                continue
        if any("solutions" in source.texts(piece) for piece in pieces):
            yield Use(READS, "solutions", _line(node))


def _environment(source: Source) -> Iterator[Use]:
    """dojo's own environment variables."""
    texts = [*source.written]
    texts += [(node, node.arg) for node in source.nodes if isinstance(node, ast.keyword) and node.arg]
    yield from (Use(DETOUR, text, _line(node)) for node, text in texts if text.startswith(OWN_VARIABLES))


def _detours(source: Source) -> Iterator[Use]:
    """Functions that run or find code by a text, and what leads from an object to the code around it."""
    called = {id(node.func) for node in source.nodes if isinstance(node, ast.Call)}
    called |= {id(node.args[0]) for node in source.nodes if isinstance(node, ast.Call) and _walks(node, source)}
    for node in source.nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name not in source.own:
                if name in BUILT_IN_DETOURS or ((name in LOOK_UPS or name in SETTERS) and id(node) not in called):
                    yield Use(DETOUR, name, node.lineno)
            case ast.Attribute(attr=name) if name in ENTRANCES:
                yield Use(DETOUR, name, node.lineno)
        if (owner := namespace_of(node)) and source.foreign(owner):
            yield Use(DETOUR, ast.unparse(node), _line(node))
        if isinstance(node, ast.Call):
            yield from _looks_up(node, source)


def _looks_up(call: ast.Call, source: Source) -> Iterator[Use]:
    """A look-up in a foreign module by anything but a plain text, or by a text that hides a name."""
    function = _called(call)
    if function not in LOOK_UPS:
        return
    if function == "getattr" and call.args and source.foreign(call.args[0]):
        if not all(isinstance(name, ast.Constant) for name in call.args[1:2]):
            yield Use(DETOUR, f"getattr({ast.unparse(call.args[0])}, ...)", call.lineno)
    elif isinstance(call.func, ast.Attribute) and function.startswith("__") and source.foreign(call.func.value):
        yield Use(DETOUR, ast.unparse(call.func), call.lineno)
    elif any(source.put_together(name) for name in call.args[LOOK_UPS[function]]):
        yield Use(DETOUR, function, call.lineno)
    yield from (Use(DETOUR, text, call.lineno) for text in _looked_up(call, source) if text in ENTRANCES)


def _walks(call: ast.Call, source: Source) -> bool:
    """Whether it is reduce(getattr, names, model), the usual way to a part of a model, with names from elsewhere."""
    match call.args:
        case [ast.Name(id="getattr"), names, owner] if _called(call) == "reduce":
            return not source.foreign(owner) and source.is_computed(names)
    return False


def _parts(source: Source) -> Iterator[Use]:
    """torch's private functions and its operators by another way, and the parts of modules that lead anywhere."""
    for node in source.nodes:
        for name in paths(node) or ([source.dotted(node)] if isinstance(node, ast.Attribute) else []):
            top, *parts = name.split(".")
            private = next((place for place, part in enumerate(parts) if _is_private(part)), None)
            if part := next((part for part in LEAD_ANYWHERE if f"{name}.".startswith(f"{part}.")), None):
                yield Use(DETOUR, part, _line(node))
            elif top == "torch" and private is not None:
                yield Use(DETOUR, ".".join([top, *parts[: private + 1]]), _line(node))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _changes(source: Source) -> Iterator[Use]:
    """Assignments to an attribute of something imported: a patched torch.allclose passes every test."""
    for node in source.nodes:
        match node:
            case ast.Attribute(ctx=ast.Store() | ast.Del()) if not source.dotted(node).startswith(SETTINGS):
                targets: list[ast.expr] = [node]
            case ast.Call(func=ast.Name(id=name), args=[owner, *_]) if name in SETTERS:
                targets = [owner]
            case ast.Call(func=ast.Attribute(value=owner, attr=name), args=arguments) if name in SPECIAL_SETTERS:
                targets = [owner, *arguments[:1]]
            case _:
                continue
        yield from (Use(CHANGES, ast.unparse(target), _line(node)) for target in targets if source.dotted(target))


def _renamed_self(source: Source) -> Iterator[Use]:
    """Something else under the name self, whose own methods are not looked for; an object newly made is fine."""
    classes = {node.name for node in source.nodes if isinstance(node, ast.ClassDef)}
    fine = {
        id(target)
        for node in source.nodes
        if isinstance(node, ast.Assign) and _is_new_object(node.value, classes)
        for target in node.targets
    }
    for node in source.nodes:
        match node:
            case ast.Name(id="self" | "cls" as name, ctx=ast.Store()) if id(node) not in fine:
                yield Use(CHANGES, name, node.lineno)


def _is_new_object(node: ast.expr, classes: set[str]) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="__new__") | ast.Name(id="cls")):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in classes
    return False


def _forbidden_names(names: tuple[str, ...], source: Source) -> Iterator[Use]:
    """Names that are imported, called, taken as an attribute or looked up by a text; a learner's own are not meant."""
    listed = {name.rpartition(".")[2]: name for name in names}
    forbidden = {_bare(name) for name in listed} | {other for name in listed for other in SAME_WORK.get(name, ())}
    for node in source.nodes:
        match node:
            case ast.Import() | ast.ImportFrom():
                said = [part for path in paths(node) if not is_own(path) for part in path.split(".")]
            case ast.Attribute(attr=attr) if attr and not _is_learners(node, source):
                said = [attr]
            case ast.Name(id=name) if name not in source.own:
                said = [name]
            case _:
                said = [part for text in _looked_up(node, source) for part in text.split(".")]
        for name in said:
            if _bare(name) in forbidden:
                yield Use(USES, listed.get(name, name), _line(node))


def _is_learners(node: ast.Attribute, source: Source) -> bool:
    """Whether an attribute is one that the learner's own code gave a meaning."""
    match node.value:
        case ast.Name(id="self" | "cls") if node.attr in source.within.get(node, ()):
            return True
    path = source.dotted(node)
    return is_own(path) or (not path and node.attr in source.of_classes and node.attr not in TENSORS_OWN)


def _bare(name: str) -> str:
    """A name without the endings and beginnings of its kin: BatchNorm of LazyBatchNorm2d, cumsum of cumsum_."""
    return re.sub(r"^(Lazy|Sync)|([123]d|_)$", "", name)


def _looked_up(node: ast.AST, source: Source) -> set[str]:
    """Texts by which something is looked up: handed to one of the functions, or a key of an object's names."""
    if isinstance(node, ast.Call) and _called(node) in LOOK_UPS:
        return {text for name in node.args[LOOK_UPS[_called(node)]] for text in source.texts(name)}
    key = key_of(node)
    return source.texts(key) if key else set()


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", "") or getattr(call.func, "attr", "")


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 1))


def _helpers(file: Path, tree: ast.Module) -> set[Path]:
    """The learner's own files that a file imports, katas left out: those are looked at when they are loaded."""
    found = {helper for node in ast.walk(tree) for path in paths(node) for helper in _files_of(file, path)}
    return {helper for helper in found if not _is_kata(helper)}


def _files_of(file: Path, path: str) -> Iterator[Path]:
    """The files of this repository that an import may run."""
    dots = len(path) - len(path.lstrip("."))
    folder = file.parents[dots - 1] if 0 < dots < len(file.parents) else ROOT
    parts = path.lstrip(".").split(".")
    for end in range(1, len(parts) + 1):
        module = folder.joinpath(*parts[:end])
        yield from (place for place in (module.with_suffix(".py"), module / "__init__.py") if os.path.lexists(place))


def _is_kata(file: Path) -> bool:
    room = ROOT / "katas"
    return file.is_relative_to(room) and Place(file.relative_to(room).with_suffix("").as_posix()).solution.is_file()
