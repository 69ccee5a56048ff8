"""A kata's source as the restrictions see it: what its names stand for, and which texts it writes down."""

import ast
import builtins
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property

OWN_PACKAGE = "katas"
DEEPEST = 40  # expressions within expressions that are looked into
MOST = 1000  # texts that an expression may stand for
NAMESPACE_METHODS = ("get", "pop", "setdefault", "__getitem__")


class Source:
    """A syntax tree, and what can be said of its names without running it."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree, self.nodes = tree, list(ast.walk(tree))
        self.assigned = self._assigned()
        self.of_names: dict[str, set[str]] = {}
        self.own = _names_defined_in(self.nodes)
        self.imported = self._imported()
        self.of_classes = {name for node in self.nodes if isinstance(node, ast.ClassDef) for name in _names_of(node)}
        self.within = self._names_of_each_class()

    def dotted(self, node: ast.AST) -> str:
        """The dotted name of what an expression takes from something imported; empty for anything else."""
        return _dotted(node, self.imported)

    def foreign(self, node: ast.AST) -> str:
        """As `dotted`, and empty for what comes from a kata."""
        name = self.dotted(node)
        return "" if is_own(name) else name

    def texts(self, node: ast.AST, depth: int = 0) -> set[str]:
        """The texts that an expression may stand for, as far as they are written down in the file."""
        if depth > DEEPEST:
            return set()
        match node:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                ends = self.texts(right, depth + 1)
                return _joined(self.texts(left, depth + 1), ends) if ends else set()
            case ast.JoinedStr(values=values):
                found = {""}
                for part in values:
                    found = _joined(found, self.texts(part, depth + 1))
                return found
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return self.texts(value, depth + 1)
            case ast.IfExp(body=body, orelse=other):
                return self.texts(body, depth + 1) | self.texts(other, depth + 1)
            case ast.Name(id=name):
                return self._texts_of(name)
        return set()

    def _values_of(self, name: str) -> list[ast.AST]:
        """The expressions that a name may stand for, also by way of other names, each once."""
        seen, waiting, found = {name}, [name], list[ast.AST]()
        while waiting:
            for value in self.assigned[waiting.pop()]:
                if not isinstance(value, ast.Name):
                    found.append(value)
                elif value.id not in seen:
                    seen.add(value.id)
                    waiting.append(value.id)
        return found

    def _texts_of(self, name: str) -> set[str]:
        """The texts that a name may stand for. It is looked up once: `x = x if ... else ...` names itself."""
        if name not in self.of_names:
            self.of_names[name] = set()
            self.of_names[name] = {text for value in self.assigned[name] for text in self.texts(value)}
        return self.of_names[name]

    @cached_property
    def written(self) -> list[tuple[ast.AST, str]]:
        """Every text of the file but the docstrings; one that is put together comes as a whole."""
        parts = {id(text) for text in _docstrings(self.nodes)}
        found = []
        for node in self.nodes:  # the outer ones come first
            if id(node) not in parts and not isinstance(node, ast.Name) and (texts := self.texts(node)):
                parts |= set() if isinstance(node, ast.Constant) else {id(part) for part in ast.walk(node)}
                found += [(node, text) for text in texts]
        return found

    def put_together(self, node: ast.AST) -> bool:
        """Whether a text is computed from nothing but constants: nobody needs that but to hide a name."""
        if isinstance(node, ast.Name):
            return any(self.put_together(value) for value in self._values_of(node.id))
        if isinstance(node, ast.Constant) or self.texts(node):
            return False
        names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
        inner = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        return all(name.id in inner or hasattr(builtins, name.id) for name in names) and not any(
            isinstance(part, ast.Attribute) and not _is_of_a_constant(part.value) for part in ast.walk(node)
        )

    def is_computed(self, names: ast.AST, seen: frozenset[str] = frozenset()) -> bool:
        """Whether a list of names is a parameter, or a text that was split, and no word of it is in the file."""
        match names:
            case ast.Subscript(value=value):
                return self.is_computed(value, seen)
            case ast.Name(id=name):
                return name in seen or all(self.is_computed(value, seen | {name}) for value in self.assigned[name])
            case ast.Call(func=ast.Attribute(value=text, attr="split")):
                return not self.texts(text) and not self.put_together(text)
        return False

    def _assigned(self) -> defaultdict[str, list[ast.AST]]:
        """The expressions that a name is given, each element of a list that a loop goes over among them."""
        found = defaultdict[str, list[ast.AST]](list)
        for node in self.nodes:
            match node:
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        if isinstance(target, ast.Name):
                            found[target.id].append(value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    found[name].append(value)
                case ast.NamedExpr(target=ast.Name(id=name), value=value):
                    found[name].append(value)
                case ast.For(target=ast.Name(id=name), iter=ast.Tuple(elts=values) | ast.List(elts=values)):
                    found[name] += values
                case ast.comprehension(target=ast.Name(id=name), iter=ast.Tuple(elts=values) | ast.List(elts=values)):
                    found[name] += values
        return found

    def _imported(self) -> dict[str, str]:
        """Names that stand for something imported, with its dotted name: F for torch.nn.functional."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                found |= {alias.asname or alias.name: path for alias, path in zip(node.names, paths(node), strict=True)}
        for _ in range(3):  # t = torch; u = t
            for name, values in self.assigned.items():
                for dotted in filter(None, (_dotted(value, found) for value in values)):
                    found.setdefault(name, dotted)
        return found

    def _names_of_each_class(self) -> dict[ast.AST, set[str]]:
        """For each attribute inside a class's methods, the names that this class gives a meaning."""
        found: dict[ast.AST, set[str]] = {}
        for owner in self.nodes:
            if isinstance(owner, ast.ClassDef):
                names = set(_names_of(owner))
                for node in _where_self_is_meant(owner):
                    if isinstance(node, ast.Attribute):
                        found.setdefault(node, set()).update(names)
        return found


def _joined(beginnings: set[str], ends: set[str]) -> set[str]:
    """Each text with each end; none where they are too many to be meant."""
    return {a + b for a in beginnings for b in ends} if len(beginnings) * len(ends) <= MOST else set()


def paths(node: ast.AST) -> list[str]:
    """The dotted names that an import asks for; a relative one begins with its dots."""
    match node:
        case ast.Import(names=aliases):
            return [alias.name for alias in aliases]
        case ast.ImportFrom(module=module, names=aliases, level=level):
            before = "." * level + (f"{module}." if module else "")
            return [before + alias.name for alias in aliases]
    return []


def is_own(path: str) -> bool:
    """Whether a dotted name is one of a kata, or beside it."""
    return path.partition(".")[0] in ("", OWN_PACKAGE) and path != ""


def namespace_of(node: ast.AST) -> ast.AST | None:
    """The object whose names an expression gives as a dict: of vars(torch) and of torch.__dict__ it is torch."""
    match node:
        case ast.Call(func=ast.Name(id="vars"), args=[owner]):
            return owner
        case ast.Attribute(value=owner, attr="__dict__"):
            return owner
    return None


def key_of(node: ast.AST) -> ast.AST | None:
    """The key that is looked up in the dict of an object's names; None for any other expression."""
    match node:
        case ast.Subscript(value=value, slice=key) if namespace_of(value):
            return key
        case ast.Call(func=ast.Attribute(value=value, attr=method), args=[key, *_]) if (
            method in NAMESPACE_METHODS and namespace_of(value)
        ):
            return key
    return None


def bound_names(tree: ast.Module) -> set[str]:
    """The names that a file binds by a def, a class, or an assignment that is not an alias of something imported."""
    source, found = Source(tree), set[str]()
    for node in _statements(tree.body):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=targets, value=value) if not source.dotted(value):
                found |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if not source.dotted(value):
                found.add(name)
    return found


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The statements of a module's top level, also those below if, try, with, match and loops."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for part in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _statements(getattr(node, part, None) or [])


def _dotted(node: ast.AST, imported: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id in imported:
        return ".".join([imported[node.id], *reversed(parts)])
    return ""


def _names_of(owner: ast.ClassDef) -> Iterator[str]:
    """The names that a class gives a meaning: its methods, and what is assigned in it."""
    for node in ast.walk(owner):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                if node is not owner:
                    yield name
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                yield name


def _where_self_is_meant(owner: ast.ClassDef) -> Iterator[ast.AST]:
    """The nodes of a class but those of functions inside its methods that call something else self."""
    waiting: list[tuple[ast.AST, int]] = [(node, 0) for node in owner.body]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            if depth and {arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)} & {"self", "cls"}:
                continue
            depth += 1
        yield node
        waiting += [(child, depth) for child in ast.iter_child_nodes(node)]


def _names_defined_in(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that the file itself gives a meaning: a learner's own `softmax` is not PyTorch's."""
    own: set[str] = set()
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                own.add(name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.ImportFrom(names=aliases):
                named = zip(aliases, paths(node), strict=True)
                own |= {alias.asname or alias.name for alias, path in named if is_own(path)}
    return own


def _docstrings(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Texts that stand alone: they do nothing."""
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _is_of_a_constant(node: ast.AST) -> bool:
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    return isinstance(node, ast.Constant)
