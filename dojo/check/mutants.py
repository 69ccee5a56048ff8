"""Mutants: small edits of a reference, drawn from its syntax tree, that a test suite with teeth should notice.

Each mutant changes one place: a comparison, an operator, a constant, a call's arguments, a slice's bounds, a statement
that goes. Docstrings, annotations and the words of error messages are left alone.
"""

import ast
import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "triu": "tril", "tril": "triu", "ones": "zeros"}


@dataclass(frozen=True)
class Mutant:
    """A mutated source, with the statement it changes as it was and as it is now."""

    source: str
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.before}  ->  {self.after}"


def drawn(source: str, most: int | None = None) -> list[Mutant]:
    """Mutants of a source: all of them, or a sample that is the same each time."""
    found = list(mutants(source))
    if most is None or most >= len(found):
        return found
    return sorted(random.Random(source).sample(found, most), key=lambda mutant: mutant.line)


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a source, in the order of its lines; two that read the same are one."""
    tops = [ast.Module([top], []) for top in ast.parse(source).body]
    texts = [ast.unparse(top) for top in tops]
    for number, top in enumerate(tops):
        seen = {texts[number]}
        for body, index in places(top):
            statement = body[index]
            for change in changes(statement):
                body[index] = after = ast.fix_missing_locations(change(copy.deepcopy(statement)))
                text = ast.unparse(top)
                body[index] = statement
                if text not in seen:
                    seen.add(text)
                    whole = "\n\n".join([*texts[:number], text, *texts[number + 1 :]])
                    yield Mutant(whole + "\n", statement.lineno, header(statement), header(after))


# Syntax trees are changed by the kind of their nodes, which no type checker follows.
Change = Callable[[Any], Any]


def places(tree: ast.AST) -> Iterator[tuple[list[ast.stmt], int]]:
    """Every statement that may change: the body that holds it, and its place in it."""
    for field in ("body", "orelse", "finalbody"):
        body: Any = getattr(tree, field, None)
        for index, child in enumerate(body if isinstance(body, list) else []):
            if not is_docstring(child) and not isinstance(child, ast.Import | ast.ImportFrom | ast.ClassDef):
                yield body, index
            yield from places(child)
    for handler in getattr(tree, "handlers", []):
        yield from places(handler)


def changes(statement: ast.stmt) -> Iterator[Change]:
    """The changes of one statement: of itself, and of the expressions in its header."""
    if isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr | ast.Raise | ast.Delete):
        yield lambda _: ast.Pass()
    if isinstance(statement, ast.Return) and statement.value is not None:
        yield lambda _: ast.Return(value=None)
    if isinstance(statement, ast.Break | ast.Continue):
        other = ast.Continue if isinstance(statement, ast.Break) else ast.Break
        yield lambda _: other()
    if isinstance(statement, ast.If | ast.While):
        yield from (
            setting("test", lambda test: ast.UnaryOp(ast.Not(), test)),
            setting("test", lambda _: ast.Constant(False)),
        )
    if isinstance(statement, ast.AugAssign) and type(statement.op) in OPERATORS:
        yield setting("op", lambda op: OPERATORS[type(op)]())
    for place, node in enumerate(expressions(statement)):
        for change in expression_changes(node):
            yield replacing(place, change)


def setting(field: str, change: Change) -> Change:
    def apply(statement: ast.stmt) -> ast.stmt:
        setattr(statement, field, change(getattr(statement, field)))
        return statement

    return apply


def replacing(place: int, change: Change) -> Change:
    """Replace the expression that stands at a place of the walk over the statement's header."""

    def apply(statement: ast.stmt) -> ast.stmt:
        target = list(expressions(statement))[place]

        class Replacer(ast.NodeTransformer):
            def generic_visit(self, node: ast.AST) -> ast.AST:
                return change(node) if node is target else super().generic_visit(node)

        return Replacer().visit(statement)

    return apply


def expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions of a statement's header: no inner statements, annotations or words of a message."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        waiting: list[ast.AST] = [*statement.args.defaults, *filter(None, statement.args.kw_defaults)]
    else:
        inner = ast.stmt | ast.ExceptHandler
        waiting = [child for child in ast.iter_child_nodes(statement) if not isinstance(child, inner)]
        if isinstance(statement, ast.AnnAssign):
            waiting.remove(statement.annotation)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.JoinedStr):
            waiting.extend(part.value for part in node.values if isinstance(part, ast.FormattedValue))
            continue
        yield node
        waiting.extend(
            child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context | ast.operator)
        )


def expression_changes(node: Any) -> Iterator[Change]:
    """The changes of one expression, each a function from the expression to what stands instead."""
    match node:
        case ast.Compare(ops=[op]) if other := COMPARISONS.get(type(op)):
            yield lambda n: ast.Compare(n.left, [other()], n.comparators)
            if isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
                yield lambda n: ast.Compare(n.comparators[0], n.ops, [n.left])
        case ast.BinOp(op=op):
            if type(op) in OPERATORS:
                yield lambda n: ast.BinOp(n.left, OPERATORS[type(n.op)](), n.right)
            if not isinstance(op, ast.Mult):  # a product of numbers is the same in either order
                yield lambda n: ast.BinOp(n.right, n.op, n.left)
            yield lambda n: n.left
        case ast.UnaryOp():
            yield lambda n: n.operand
        case ast.BoolOp(op=op):
            yield lambda n: ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), n.values)
            yield from (lambda n, i=i: n.values[i] for i in range(len(node.values)))
        case ast.IfExp():
            yield lambda n: n.body
            yield lambda n: n.orelse
        case ast.Constant(value=bool() as value):
            yield lambda n: ast.Constant(not value)
        case ast.Constant(value=int() | float() as number):
            yield lambda n: ast.Constant(number + 1)
            yield lambda n: ast.Constant(number - 1)
        case ast.Constant(value=str() | bytes() as text) if text:
            yield lambda n: ast.Constant(text[:0])
        case ast.Name(id=name) if name in NAMES:
            yield lambda n: ast.Name(NAMES[name], n.ctx)
        case ast.Attribute(attr=attr) if attr in NAMES:
            yield lambda n: ast.Attribute(n.value, NAMES[attr], n.ctx)
        case ast.Slice():
            for bound in ("lower", "upper", "step"):
                if getattr(node, bound) is not None:
                    yield without_bound(bound)
    if isinstance(node, ast.Call):
        yield from call_changes(node)
    if isinstance(node, ast.comprehension) and node.ifs:
        yield lambda n: ast.comprehension(n.target, n.iter, n.ifs[1:], n.is_async)


def call_changes(node: ast.Call) -> Iterator[Change]:
    """A call without one of its keywords, with two arguments swapped, or not made at all."""
    yield from (without_keyword(index) for index in range(len(node.keywords)))
    yield from (with_swapped(index) for index in range(len(node.args) - 1))
    if isinstance(node.func, ast.Attribute):
        yield lambda n: n.func.value
    if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
        yield lambda n: n.args[0]


def without_keyword(index: int) -> Change:
    return lambda n: ast.Call(n.func, n.args, n.keywords[:index] + n.keywords[index + 1 :])


def with_swapped(index: int) -> Change:
    """A call with the argument at the index and the one after it in each other's place."""
    return lambda n: ast.Call(
        n.func, [*n.args[:index], *n.args[index : index + 2][::-1], *n.args[index + 2 :]], n.keywords
    )


def without_bound(bound: str) -> Change:
    """A slice without one of its bounds."""

    def apply(node: ast.Slice) -> ast.Slice:
        setattr(node, bound, None)
        return node

    return apply


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def header(statement: ast.stmt) -> str:
    """A statement in one line: of a compound one, its first line."""
    return ast.unparse(ast.fix_missing_locations(statement)).split("\n")[0].strip()
