"""Derive a stub from a solution: what a learner may see stays, what a learner is to write goes.

Imports that the stub still needs, public constants, fields, signatures and docstrings stay. Every body becomes
`raise NotImplementedError`. Private names go, and so do decorators that are part of the answer (a cache, no_grad).
"""

import ast
import re

from dojo.catalog.specification import is_public

KEPT_DECORATORS = {"property", "classmethod", "staticmethod", "dataclass", "setter", "overload", "abstractmethod"}
NOT_WRITTEN = "raise NotImplementedError"
Function = (ast.FunctionDef, ast.AsyncFunctionDef)


class NotStubbable(ValueError):
    """A solution that cannot be made a stub without giving the answer away, or without breaking the stub."""


def stub_of(source: str) -> str:
    """The stub of a solution's source. Raises NotStubbable where a public signature names something private."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    for first, last, instead in sorted(cuts(tree, lines), reverse=True):
        lines[first - 1 : last] = [instead] if instead else []
    return tidy(without_unused_imports("".join(lines)))


def cuts(tree: ast.Module, lines: list[str]) -> list[tuple[int, int, str]]:
    """What to replace: first line, last line (both counted from 1 and included), and the text instead."""
    found: list[tuple[int, int, str]] = []

    def drop(node: ast.stmt) -> None:
        first = first_line(node)
        while first > 1 and lines[first - 2].strip().startswith("#"):
            first -= 1  # a comment right above belongs to what goes
        found.append((first, last_line(node), ""))

    def visit(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, Function) and is_public(node.name):
                refuse_private_names(node)
                found.extend((d.lineno, last_line(d), "") for d in node.decorator_list if not is_kept(d))
                found.append(body_cut(node, lines))
            elif isinstance(node, ast.ClassDef) and is_public(node.name):
                refuse_private_names(node)
                found.extend((d.lineno, last_line(d), "") for d in node.decorator_list if not is_kept(d))
                visit(node.body)
                if not any(stays(child) for child in node.body):
                    end, indent = last_line(node), " " * node.body[-1].col_offset
                    found.append((end + 1, end, f"{indent}pass\n"))
            elif not stays(node):
                drop(node)

    visit(tree.body)
    return found


def stays(node: ast.stmt) -> bool:
    """Whether a statement of a module or class belongs in the stub (a function or class: at least its signature)."""
    match node:
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Assign(targets=targets):
            names = [name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            return all(is_public(name.id) for name in names)
        case ast.AnnAssign(target=ast.Name(id=name)):
            return is_public(name)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return is_public(name)
    return False


def first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])


def last_line(node: ast.stmt | ast.expr) -> int:
    return node.end_lineno or node.lineno


def is_kept(decorator: ast.expr) -> bool:
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    return getattr(decorator, "attr", getattr(decorator, "id", "")) in KEPT_DECORATORS


def body_cut(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> tuple[int, int, str]:
    """Replace a body, all but its docstring. A body on the line of its signature moves to a line of its own."""
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        return last_line(first) + 1, last_line(function), f"{' ' * first.col_offset}{NOT_WRITTEN}\n"
    start = first_line(first)
    signature = lines[start - 1].encode()[: first.col_offset].decode()
    if signature.strip():
        return start, last_line(function), f"{signature.rstrip()}\n{' ' * (function.col_offset + 4)}{NOT_WRITTEN}\n"
    while lines[start - 2].strip().startswith("#"):
        start -= 1  # a comment between signature and body is about the body
    return start, last_line(function), f"{signature}{NOT_WRITTEN}\n"


def refuse_private_names(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
    """A stub keeps signatures and bases but no private name, so none may stand in the other."""
    if isinstance(node, ast.ClassDef):
        shown: list[ast.AST] = [*node.bases, *node.keywords]
    else:
        shown = [node.args, *([node.returns] if node.returns else [])]
    shown += [decorator for decorator in node.decorator_list if is_kept(decorator)]
    for name in (name for part in shown for name in ast.walk(part) if isinstance(name, ast.Name)):
        if name.id.startswith("_"):
            raise NotStubbable(f"line {name.lineno}: the signature of {node.name} names the private {name.id}")


def without_unused_imports(stub: str) -> str:
    """The stub with only the imported names that something left in it uses."""
    tree, lines = ast.parse(stub), stub.splitlines(keepends=True)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | names_in_strings(tree)
    for node in reversed(tree.body):
        if not isinstance(node, ast.Import | ast.ImportFrom) or getattr(node, "module", "") == "__future__":
            continue
        kept = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] in used]
        if len(kept) < len(node.names):
            node.names = kept
            first, last = node.lineno - 1, last_line(node)
            lines[first:last] = [ast.unparse(node) + "\n"] if kept else []
            if not kept and not "".join(lines[first - 1 : first + 1]).strip():
                del lines[first - 1 : first]  # of the blank lines around a block that is gone, one stays
    return "".join(lines)


def names_in_strings(tree: ast.Module) -> set[str]:
    """Names in annotations written as strings, such as `other: "Value"`."""
    annotations = [
        note
        for node in ast.walk(tree)
        for note in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if note is not None
    ]
    texts = [part.value for note in annotations for part in ast.walk(note) if isinstance(part, ast.Constant)]
    return {name for text in texts if isinstance(text, str) for name in re.findall(r"[A-Za-z_]\w*", text)}


def tidy(stub: str) -> str:
    """Two blank lines between a module's definitions, one within a class, none at the end: cuts leave gaps."""
    stub = re.sub(r"\n{4,}", "\n\n\n", stub)
    stub = re.sub(r"\n{3,}(?=[ \t])", "\n\n", stub)
    return stub.strip("\n") + "\n"
