"""Who in dojo/ may know whom: packages depend in one direction, on what others list; click is for the commands."""

import ast
from functools import cache

import pytest

from dojo import ROOT

DOJO = ROOT / "dojo"
# A package may import those of earlier rows, and itself.
LAYERS = (
    {"catalog", "system", "datasets"},
    {"learner", "serving"},
    {"verdict", "update", "ladder"},
    {"watch", "check", "train", "group", "notebook"},
    {"finetune", "look", "hunt", "published"},
    {"commands"},
)
LEVEL = {package: level for level, packages in enumerate(LAYERS) for package in packages}
EVERYBODYS = {"dojo", "dojo.errors", "dojo.exits"}  # modules of the root that anybody may import
DOORS = {"dojo": {"notebook"}}  # %load_ext dojo looks for its hook there
PACKAGES = sorted(path.parent.name for path in DOJO.glob("*/__init__.py"))
MODULES = sorted(DOJO.rglob("*.py"))


def name_of(path):
    """A module by its dotted name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path) for path in MODULES}


def package_of(module):
    """The package of a module of dojo's; empty for those of the root."""
    return module.split(".")[1] if module.count(".") and module.split(".")[1] in PACKAGES else ""


@cache
def imports(path):
    """The modules that a file imports, those of dojo by the module and not by the name in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name_of(path)} imports relatively"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & NAMES) | ({node.module} if inner - NAMES else set())
    return found


def own(path):
    """The modules of dojo that a file imports."""
    return {module for module in imports(path) if module.partition(".")[0] == "dojo"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_packages_below_its_own(path):
    package = package_of(name_of(path))
    if not package:
        allowed = set(LEVEL) if name_of(path) in ("dojo.cli", "dojo.__main__") else DOORS.get(name_of(path), set())
    else:
        assert package in LEVEL, f"dojo/{package} has no place among the layers of this test"
        allowed = {other for other in LEVEL if LEVEL[other] < LEVEL[package]} | {package}
    roots = EVERYBODYS | ({"dojo.cli"} if package == "commands" or name_of(path) in STARTERS else set())
    wrong = {m for m in own(path) if (package_of(m) not in allowed if package_of(m) else m not in roots)}
    assert not wrong, f"{name_of(path)} imports {', '.join(sorted(wrong))}"


STARTERS = ("dojo.__main__", "dojo.train.__main__")  # what starts the command line from a shell


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_of_other_packages_only_what_they_list(path):
    """A package lists its modules in __all__, and what begins with an underscore is its own."""
    package = package_of(name_of(path))
    for module in own(path):
        other = package_of(module)
        if other and other != package and other != "commands":
            _, _, inner = module.removeprefix("dojo.").partition(".")
            assert not inner.startswith("_"), f"{name_of(path)} imports {module}, which is private"
            assert not inner or inner in listed(other), f"{name_of(path)} imports {module}, which {other} does not list"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_commands_know_click(path):
    if package_of(name_of(path)) != "commands" and name_of(path) != "dojo.cli":
        assert "click" not in {module.partition(".")[0] for module in imports(path)}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_in_one_sentence_what_it_is_responsible_for(package):
    tree = ast.parse((DOJO / package / "__init__.py").read_text(encoding="utf-8"))
    sentence = ast.get_docstring(tree) or ""
    assert sentence.endswith("."), f"dojo/{package} says nothing of itself"
    assert ". " not in sentence, f"dojo/{package} says more than a sentence"
    assert len(tree.body) <= 2, f"dojo/{package}/__init__.py has more than a sentence and a list"
    for module in listed(package):
        assert f"dojo.{package}.{module}" in NAMES, f"dojo/{package} lists {module}, which is not there"


def listed(package):
    """What a package says that others may use; nobody imports commands but the command line."""
    for node in ast.parse((DOJO / package / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            return ast.literal_eval(node.value)
    return []
