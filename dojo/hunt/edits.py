"""A drawn edit made in a learner's text: comments, line ends and spaces stay as they are, or they would show the place.

A mutant is drawn from a syntax tree, which has none of these. Here only the text of the smallest expression that
differs is replaced, and the parts of it that stay are copied from the learner's text.
"""

import ast
import copy
from collections.abc import Iterator

from dojo.check.mutants import Mutant

# Expressions that may need parentheses within another.
COMPOUND = (ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Lambda, ast.Starred, ast.Tuple)
# What a reader sees at a glance: a statement that goes, or a condition that never holds.
PLAIN_TO_SEE = ("pass", "return", "break", "continue", "if False:", "elif False:", "while False:")
KINDS: dict[type[ast.AST], str] = {
    ast.Compare: "a comparison", ast.BinOp: "an operator, or one of its operands", ast.AugAssign: "an operator",
    ast.Constant: "a constant", ast.Call: "a call: its arguments, or whether it is made", ast.BoolOp: "a condition",
    ast.UnaryOp: "a sign or a `not`", ast.IfExp: "a condition", ast.Slice: "the bounds of a slice", ast.Name: "a name",
    ast.Attribute: "a name",
}  # fmt: skip


def is_hidden(mutant: Mutant) -> bool:
    """Whether an edit can be found only by thinking."""
    return mutant.after not in PLAIN_TO_SEE and '""' not in mutant.after and "''" not in mutant.after


def edited(source: str, mutant: Mutant) -> str | None:
    """The source with the mutant's edit in it; None where the text cannot be edited in place."""
    before, after = ast.parse(source), ast.parse(mutant.source)
    old, new = difference(before, after)
    if not hasattr(old, "lineno"):
        return None
    wanted, content = ast.dump(after), source.encode()
    first, end = _span(content, old)
    for text in _spellings(content, old, new):
        candidate = (content[:first] + text.encode() + content[end:]).decode()
        try:
            if ast.dump(ast.parse(candidate)) == wanted:
                return candidate
        except (SyntaxError, ValueError):
            continue
    return None


def kind(source: str, mutant: Mutant) -> str:
    """What was edited, in words."""
    old, _ = difference(ast.parse(source), ast.parse(mutant.source))
    return KINDS.get(type(old), "a statement")


def function_of(source: str, line: int) -> str:
    """The innermost function or class around a line, by its qualified name; empty outside of any."""
    path: list[str] = []
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        for node in ast.iter_child_nodes(nodes.pop()):
            named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
                path += [node.name] if named else []  # type: ignore[attr-defined]
                nodes = [node]
                break
    return ".".join(path)


def difference(old: ast.AST, new: ast.AST) -> tuple[ast.AST, ast.AST]:
    """The smallest pair of nodes, the older one with a place in the text, outside of which two trees agree."""
    if type(old) is not type(new):
        return old, new
    differing = []
    for field, value in ast.iter_fields(old):
        other = getattr(new, field)
        pairs = [(value, other)] if not isinstance(value, list) else list(zip(value, other, strict=False))
        if isinstance(value, list) and len(value) != len(other):
            return old, new
        differing += [(a, b) for a, b in pairs if _dumped(a) != _dumped(b)]
    match differing:
        case [(ast.AST() as a, ast.AST() as b)]:
            inner = difference(a, b)
            return inner if hasattr(inner[0], "lineno") else (old, new)
    return old, new


def _dumped(value: object) -> str:
    return ast.dump(value) if isinstance(value, ast.AST) else repr(value)


def _spellings(content: bytes, old: ast.AST, new: ast.AST) -> Iterator[str]:
    """The text of the new node, its parts as the learner wrote them: without more parentheses, and with some."""
    parts = {ast.dump(node): _text(content, node) for node in ast.walk(old) if isinstance(node, ast.expr)}
    kept: dict[str, tuple[str, type[ast.expr]]] = {}

    class Keep(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            if isinstance(node, ast.expr) and (text := parts.get(ast.dump(node))) is not None:
                name = f"_part_{len(kept)}_"
                kept[name] = text, type(node)
                return ast.Name(name, ast.Load())
            return super().visit(node)

    plain = ast.unparse(ast.fix_missing_locations(Keep().visit(copy.deepcopy(new))))
    for wrapped in ((), COMPOUND, (ast.expr,)):
        text = plain
        for name, (part, whose) in kept.items():
            text = text.replace(name, f"({part})" if issubclass(whose, wrapped) else part)
        yield text
        yield f"({text})"


def _text(content: bytes, node: ast.expr) -> str:
    first, end = _span(content, node)
    return content[first:end].decode()


def _span(content: bytes, node: ast.AST) -> tuple[int, int]:
    """Where a node begins and ends, in bytes."""
    starts = [0]
    for line in content.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    place: dict[str, int] = vars(node)
    first = starts[place["lineno"] - 1] + place["col_offset"]
    return first, starts[place["end_lineno"] - 1] + place["end_col_offset"]
