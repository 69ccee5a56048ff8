"""What is wrong with a learner's file as a text: names renamed or indented wrongly, odd bytes."""

import ast
import difflib

from dojo.catalog import specification
from dojo.learner.store import shown
from dojo.serving.finder import own_file
from dojo.system.files import read_regular


def missing_name(address: str, name: str) -> list[str]:
    """A public name that the learner's file does not define, with the name that was probably meant."""
    body = parsed(learners_source(address)).body
    own = {node.name: node.lineno for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    asked = specification.public_names(address)
    lines = [f"{shown(own_file(address))} defines no {name}"]
    if name not in own and name in {alias for node in body for alias in _aliases(node)}:
        lines.append(f"{name} is there only as another name of something else: write it with def or class")
    for near in difflib.get_close_matches(name, [other for other in own if other not in asked], 1, 0.5):
        lines.append(f"it has {near} in line {own[near]}: was {name} renamed? The tests need its name as specified")
    return lines


def wrong_byte(address: str) -> tuple[int, str, str] | None:
    """The line of the first byte that makes a file no text, what it is, and what to do; None where all is text."""
    content = learners_bytes(address)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return 1, "it is UTF-16", "Save it as UTF-8."
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return line, f"the byte 0x{content[error.start]:02x} is not UTF-8", "Save it as UTF-8, or delete that byte."
    if b"\0" in content:
        return content.count(b"\n", 0, content.index(b"\0")) + 1, "it holds a NUL byte", "Delete that byte."
    return None


def _aliases(node: ast.AST) -> list[str]:
    """The names that an import or an assignment gives."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def misplaced(address: str) -> list[str]:
    """Functions and methods that the specification asks for and the learner's file has elsewhere."""
    tree = parsed(learners_source(address))
    stands = dict(definitions(tree))
    bases = {
        node.name: [ast.unparse(base) for base in node.bases] for node in tree.body if isinstance(node, ast.ClassDef)
    }
    asked = {where for where, _ in definitions(specification.tree_of(address))}
    found = []
    for where in sorted(asked - stands.keys()):
        owner = where[-2] if len(where) > 1 else ""
        if any(not specification.is_public(part) for part in where) or (owner and owner not in bases):
            continue  # private, or the class itself is missing or renamed
        inherited = bases.get(owner, [])
        alike = [
            other for other in stands if other[-1] == where[-1] and other not in asked and other[0] not in inherited
        ]
        for other in alike[:1]:
            place = f"inside {'.'.join(other[:-1])}" if len(other) > 1 else "outside of any class"
            right = f"the class {owner}" if owner else "the file, not in anything"
            stray = f"{shown(own_file(address))}:{stands[other]} `def {where[-1]}` is {place}"
            found.append(f"{stray}; it belongs in {right}: check its indent")
    return found


def definitions(tree: ast.Module) -> list[tuple[tuple[str, ...], int]]:
    """Every function of a file as its path of names, with its line: ("CausalAttention", "forward"), 40."""
    found: list[tuple[tuple[str, ...], int]] = []

    def visit(node: ast.AST, path: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(((*path, child.name), child.lineno))
                visit(child, (*path, child.name))
            elif isinstance(child, ast.ClassDef):
                visit(child, (*path, child.name))

    visit(tree, ())
    return found


def learners_source(address: str) -> str:
    return learners_bytes(address).decode(errors="replace")


def learners_bytes(address: str) -> bytes:
    try:
        return read_regular(own_file(address))
    except OSError:
        return b""


def parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])
