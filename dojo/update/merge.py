"""Bring a release's specification into a learner's file: signatures and docstrings become new, bodies stay.

Definitions are matched by name. A definition that is not written becomes the new stub; one that is written gets the new
docstring and keeps its body, exactly. What the learner added stays where it is. Before a result is given back it
is checked that nothing that the learner wrote was lost; where that cannot be shown, the file is left alone.
"""

import ast
import io
import re
import textwrap
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from dojo.catalog.stubs import Function, first_line, last_line

Definition = ast.FunctionDef | ast.AsyncFunctionDef
Block = ast.Module | ast.ClassDef
Key = tuple[str, str, int]  # what kind of statement, its name, and which of several with this name


class CannotMerge(Exception):
    """A file that Python cannot read, or whose parts would not all survive. The message says why."""


@dataclass
class Merged:
    """The learner's file in the release's form, and what a learner should know of it, a line each."""

    text: str
    notes: list[str] = field(default_factory=list)


def merged(mine: str, old: str, new: str) -> Merged:
    """The learner's file `mine`, begun from the stub `old`, brought to the stub `new`. Raises CannotMerge."""
    ends = "\r\n" if "\r\n" in mine else "\n"
    mine, old, new = (text.removeprefix("\ufeff").replace("\r\n", "\n") for text in (mine, old, new))
    if mine.strip() in (old.strip(), new.strip()):
        return Merged(new.replace("\n", ends))
    merge = _Merge(_parsed(mine), ast.parse(old), ast.parse(new), mine, new)
    text = merge.result()
    _check(mine, text)
    return Merged(text.replace("\n", ends), merge.notes)


def is_written(function: Definition) -> bool:
    """Whether a function has its own body, and not that of a stub."""
    match _body(function):
        case [ast.Raise(exc=ast.Name(id="NotImplementedError") | ast.Call(func=ast.Name(id="NotImplementedError")))]:
            return False
    return True


class _Merge:
    """One file on its way: edits of the learner's lines are gathered first and made from the last to the first."""

    def __init__(self, mine: ast.Module, old: ast.Module, new: ast.Module, source: str, release: str):
        self.lines = [*source.splitlines(), ""]
        self.release = release.splitlines()
        self.edits: list[
            tuple[int, int, list[str]]
        ] = []  # the lines from one index to before another, and what instead
        self.notes: list[str] = []
        self.trees = mine, old, new

    def result(self) -> str:
        mine, old, new = self.trees
        self.docstring(mine, new)
        self.imports(mine, new)
        self.block(mine, old, new)
        for first, end, instead in sorted(self.edits, key=lambda edit: edit[:2], reverse=True):
            self.lines[first:end] = instead
        return re.sub(r"\n{4,}", "\n\n\n", "\n".join(self.lines)).strip("\n") + "\n"

    def block(self, mine: Block, old: Block | None, new: Block, within: str = "") -> None:
        """The statements of a module or a class."""
        ours, before, wanted = _named(mine), _named(old) if old else {}, _named(new)
        previous: ast.stmt | None = None
        missing: list[ast.stmt] = []
        for key, statement in wanted.items():
            own, was = ours.get(key), before.get(key)
            if own is None:
                missing.append(statement)
                continue
            if missing:
                self.insert(missing, previous, mine, before_it=own)
                missing = []
            self.statement(own, was, statement, f"{within}{key[1]}")
            previous = own
        if missing:
            self.insert(missing, previous, mine)
        for key, was in before.items():
            if key not in wanted and key in ours:
                self.withdrawn(ours[key], was, f"{within}{key[1]}")

    def statement(self, own: ast.stmt, was: ast.stmt | None, wanted: ast.stmt, name: str) -> None:
        """One definition, class or constant that both sides have."""
        if isinstance(own, Function) and isinstance(wanted, Function):
            if self.is_begun(own):
                self.function(own, was if isinstance(was, Function) else None, wanted, name)
            else:
                self.edits.append((first_line(own) - 1, last_line(own), self.released(wanted)))
        elif isinstance(own, ast.ClassDef) and isinstance(wanted, ast.ClassDef):
            was = was if isinstance(was, ast.ClassDef) else None
            if _class_line(own) != _class_line(wanted):
                if was is not None and _class_line(own) == _class_line(was):
                    start, end = first_line(own) - 1, _colon(self.lines, own)
                    head = self.release[first_line(wanted) - 1 : _colon(self.release, wanted)]
                    self.edits.append((start, end, head))
                elif was is None or _class_line(was) != _class_line(wanted):
                    self.notes.append(f"the first line of {name} is your own and stays; the release has another")
            self.docstring(own, wanted)
            self.block(own, was, wanted, f"{name}.")
        elif ast.dump(own) != ast.dump(wanted):
            if was is not None and ast.dump(own) == ast.dump(was):
                self.edits.append((own.lineno - 1, last_line(own), self.released(wanted)))
            elif was is None or ast.dump(was) != ast.dump(wanted):
                self.notes.append(f"{name} is your own and stays; the release has another")

    def function(self, own: Definition, was: Definition | None, wanted: Definition, name: str) -> None:
        """A function that is written: the release's head, and the learner's body."""
        head_end = _colon(self.lines, own)
        first = own.body[0]
        if _signature(own) == _signature(wanted):
            head = self.lines[first_line(own) - 1 : head_end]
            if first.lineno <= head_end:  # the body begins on the line of the signature
                head[-1] = _from_bytes(self.lines[first.lineno - 1], 0, first.col_offset).rstrip()
        elif was is not None and _signature(own) == _signature(was):
            head = self.released(wanted)[: _colon(self.release, wanted) - first_line(wanted) + 1]
            self.notes.append(f"the signature of {name} is new")
        else:
            head = self.lines[first_line(own) - 1 : head_end]
            if first.lineno <= head_end:
                head[-1] = _from_bytes(self.lines[first.lineno - 1], 0, first.col_offset).rstrip()
            if was is None or _signature(was) != _signature(wanted):
                self.notes.append(f"the signature of {name} is your own and stays; the release has another")
        body, indent = self.body_of(own, head_end)
        self.edits.append((first_line(own) - 1, last_line(own), [*head, *self.docstring_of(wanted, indent), *body]))

    def body_of(self, own: Definition, head_end: int) -> tuple[list[str], str]:
        """The lines of a body after its docstring, comments among them, and how far they are indented."""
        first, has_docstring = own.body[0], ast.get_docstring(own, clean=False) is not None
        start = last_line(first) if has_docstring else head_end
        statement = own.body[1] if has_docstring else first
        if statement.lineno > start:
            line = self.lines[statement.lineno - 1]
            return self.lines[start : last_line(own)], line[: len(line) - len(line.lstrip())]
        indent = " " * (own.col_offset + 4)
        begun = _from_bytes(self.lines[statement.lineno - 1], statement.col_offset)
        return [indent + begun, *self.lines[statement.lineno : last_line(own)]], indent

    def docstring(self, own: Block, wanted: Block) -> None:
        """The docstring of a module or a class."""
        if ast.get_docstring(own, clean=False) == ast.get_docstring(wanted, clean=False):
            return
        indent = "" if isinstance(own, ast.Module) else self.indent_in(own)
        lines = self.docstring_of(wanted, indent)
        if ast.get_docstring(own, clean=False) is not None:
            self.edits.append((own.body[0].lineno - 1, last_line(own.body[0]), lines))
        elif isinstance(own, ast.Module):
            self.edits.append((0, 0, [*lines, ""]))
        else:
            start = _colon(self.lines, own)
            self.edits.append((start, start, [*lines, ""]))

    def docstring_of(self, wanted: Definition | Block, indent: str) -> list[str]:
        if ast.get_docstring(wanted, clean=False) is None:
            return []
        first = wanted.body[0]
        lines = self.release[first.lineno - 1 : last_line(first)]
        return _indented(lines, first.col_offset, indent)

    def imports(self, mine: ast.Module, new: ast.Module) -> None:
        """The release's imports that the learner's file lacks, after its own."""
        bound = {name for node in mine.body for name in _bound(node)}
        lacking = [ast.unparse(node) for node in (_without(node, bound) for node in new.body) if node is not None]
        if not lacking:
            return
        own = [node for node in mine.body if isinstance(node, ast.Import | ast.ImportFrom)]
        if own:
            self.edits.append((last_line(own[-1]), last_line(own[-1]), lacking))
        else:
            start = last_line(mine.body[0]) if ast.get_docstring(mine) is not None else 0
            self.edits.append((start, start, ["", *lacking, "", ""]))

    def insert(
        self, missing: list[ast.stmt], previous: ast.stmt | None, mine: Block, before_it: ast.stmt | None = None
    ) -> None:
        """The release's definitions that the learner's file lacks, where the release has them."""
        gap = [""] if isinstance(mine, ast.ClassDef) else ["", ""]
        indent = self.indent_in(mine) if isinstance(mine, ast.ClassDef) else ""
        lines: list[str] = []
        for statement in missing:
            lines += [*gap, *_indented(self.released(statement), statement.col_offset, indent)]
        if previous is None and before_it is not None:
            place = first_line(before_it) - 1
            while place and self.lines[place - 1].strip().startswith("#"):
                place -= 1  # a comment right above belongs to what it stands above
            self.edits.append((place, place, [*lines[len(gap) :], *gap]))
        else:
            place = last_line(previous or mine.body[-1]) if mine.body else 0
            self.edits.append((place, place, lines))

    def withdrawn(self, own: ast.stmt, was: ast.stmt, name: str) -> None:
        """What the release no longer asks for goes where nothing was written."""
        if (isinstance(own, Function) and not self.is_begun(own)) or ast.dump(own) == ast.dump(was):
            self.edits.append((first_line(own) - 1, last_line(own), []))
        else:
            self.notes.append(f"the release no longer has {name}; yours stays")

    def is_begun(self, own: Definition) -> bool:
        """Whether there is anything that the learner wrote in a function, even a comment."""
        body, _ = self.body_of(own, _colon(self.lines, own))
        return is_written(own) or any(line.strip().startswith("#") for line in body)

    def released(self, statement: ast.stmt) -> list[str]:
        """The lines of a statement of the release."""
        return self.release[first_line(statement) - 1 : last_line(statement)]

    def indent_in(self, own: ast.ClassDef) -> str:
        """How far the learner indents what stands in a class."""
        first = own.body[0]
        line = self.lines[first_line(first) - 1]
        return line[: len(line) - len(line.lstrip())] if first.lineno > own.lineno else " " * (own.col_offset + 4)


def _parsed(mine: str) -> ast.Module:
    try:
        return ast.parse(mine)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        raise CannotMerge(f"Python cannot read it, {line}{getattr(error, 'msg', error)}") from None


def _named(block: Block) -> dict[Key, ast.stmt]:
    """The statements of a block that have a name, by it."""
    seen: Counter[tuple[str, str]] = Counter()
    found: dict[Key, ast.stmt] = {}
    for node in block.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                kind = "def"
            case ast.ClassDef(name=name):
                kind = "class"
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                kind = "name"
            case _:
                continue
        found[kind, name, seen[kind, name]] = node
        seen[kind, name] += 1
    return found


def _body(function: Definition) -> list[ast.stmt]:
    return function.body[ast.get_docstring(function, clean=False) is not None :]


def _signature(function: Definition) -> str:
    """What a caller sees of a function: kind, decorators, arguments and annotations."""
    parts: list[ast.AST | None] = [*function.decorator_list, function.args, function.returns]
    return f"{type(function).__name__} {[ast.dump(part) if part else '' for part in parts]}"


def _class_line(node: ast.ClassDef) -> str:
    return str([ast.dump(part) for part in (*node.decorator_list, *node.bases, *node.keywords)])


def _colon(lines: list[str], node: Definition | ast.ClassDef) -> int:
    """How many lines there are up to the one with the colon that ends a definition's first part."""
    text = "\n".join(lines[node.lineno - 1 :]) + "\n"
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        if depth == 0 and token.type == tokenize.OP and token.string == ":":
            return node.lineno - 1 + token.start[0]
    raise CannotMerge(f"line {node.lineno} has no colon")


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that an import gives a module."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)


def _without(node: ast.stmt, bound: set[str]) -> ast.Import | ast.ImportFrom | None:
    """An import with only the names that are not bound yet; None where nothing is left."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return None
    left = [alias for alias in node.names if (alias.asname or alias.name) not in bound]
    if not left:
        return None
    if isinstance(node, ast.Import):
        return ast.Import(names=left)
    return ast.ImportFrom(module=node.module, names=left, level=node.level)


def _indented(lines: list[str], was: int, indent: str) -> list[str]:
    """Lines moved from one indentation to another."""
    moved = textwrap.dedent("\n".join([" " * was + lines[0].lstrip(), *lines[1:]])).split("\n")
    return [indent + line if line.strip() else "" for line in moved]


def _from_bytes(line: str, start: int, end: int | None = None) -> str:
    """A part of a line by the offsets of the syntax tree, which count bytes."""
    return line.encode()[start:end].decode()


def _check(mine: str, result: str) -> None:
    """Refuse a result in which anything that the learner wrote is missing or changed."""
    try:
        lost = Counter(_own(ast.parse(mine))) - Counter(_own(ast.parse(result)))
    except SyntaxError as error:
        raise CannotMerge(f"the two do not fit together, line {error.lineno}: {error.msg}") from None
    if lost:
        raise CannotMerge(f"{next(iter(lost))[0]} would be lost or changed")


def _own(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What a learner has written: bodies and private definitions, by name."""
    for block in ast.walk(tree):
        if not isinstance(block, ast.Module | ast.ClassDef):
            continue
        for node in block.body:
            if isinstance(node, Function):
                if is_written(node):
                    yield node.name, "".join(map(ast.dump, _body(node)))
            elif not isinstance(node, ast.ClassDef | ast.Import | ast.ImportFrom | ast.Expr):
                names = [name.id for name in ast.walk(node) if isinstance(name, ast.Name)]
                if names and names[0].startswith("_"):
                    yield names[0], ast.dump(node)
