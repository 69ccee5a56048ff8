"""The rules of the house: twins at their addresses, clauses with all that they need, and who may know whom."""

import ast
import re

import pytest

from dojo import ROOT
from dojo.catalog import specification
from dojo.catalog.curriculum import katas, prerequisites
from dojo.catalog.mistakes import drawn_of, mistakes_file, mistakes_of, reach_of
from dojo.check import check_readme

KATAS = katas()
each_kata = pytest.mark.parametrize("kata", KATAS, ids=lambda kata: kata.address)

BOOK = ROOT / "tests" / "meta" / "book"  # files that stand in place of katas, and are imported as such
MOST_CORE, MOST_FURTHER, MOST_WORDS = 10, 12, 30
OTHERS = {"meta", "parity"}  # folders of tests that belong to no kata
TEACHES = {"torch", "jaxtyping", "numpy", "regex", "safetensors"}  # what a kata may import beside Python's own


def sources(folder):
    return sorted(
        path for path in (ROOT / folder).rglob("*.py") if not any(p.startswith((".", "_build")) for p in path.parts)
    )


def relative(path):
    return path.relative_to(ROOT).as_posix()


def imports(path):
    """The modules that a file imports, relative ones resolved."""
    package = relative(path).removesuffix(".py").split("/")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            yield ".".join([*base, *filter(None, [node.module])])


def clauses_of_tests(kata):
    """Each test of a kata with the clause that it enforces, by the file's syntax tree."""
    found = {}
    for node in ast.parse(kata.tests.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = [
                d for d in node.decorator_list if isinstance(d, ast.Call) and getattr(d.func, "id", "") == "clause"
            ]
            found[node.name] = [mark.args[0].value for mark in marks]
    return found


@each_kata
def test_a_kata_stands_in_every_room(kata):
    twins = kata.stub, kata.solution, kata.tests, kata.mistakes, kata.reach, kata.page, kata.drawing, kata.figure
    for twin in twins:
        assert twin.is_file(), f"{relative(twin)} is missing"


def test_every_file_of_a_room_is_a_kata_of_the_curriculum():
    known = {kata.address for kata in KATAS}
    for room in ("katas", "solutions"):
        for path in sources(room):
            address = path.relative_to(ROOT / room).with_suffix("").as_posix()
            of_a_room = "/" not in address  # its __init__, and helpers such as katas/modes.py
            assert of_a_room or address in known, f"{relative(path)} is not in katas/curriculum.toml"
    for path in sources("tests"):
        if path.name.startswith(("test_", "bench_")) and not OTHERS & {*path.parts}:
            address = path.relative_to(ROOT / "tests").with_name(path.stem.partition("_")[2]).as_posix()
            of_a_part = path.name == f"bench_{path.parent.name}.py"
            assert address in known or of_a_part, f"{relative(path)} belongs to no kata"


@pytest.mark.parametrize("folder", ["tests", "dojo"])
def test_every_package_folder_says_that_it_is_one(folder):
    """pytest names the modules of tests by it; the parts of katas/ and solutions/ need none."""
    for path in sources(folder):
        if BOOK in path.parents:
            continue
        assert (path.parent / "__init__.py").is_file(), f"{relative(path.parent)} has no __init__.py"


@each_kata
def test_every_clause_has_a_test_and_a_paragraph(kata):
    clauses = list(specification.clauses(kata.address))
    tested = {slug for slugs in clauses_of_tests(kata).values() for slug in slugs}
    told = re.findall(r"^- \*\*([a-z0-9-]+)\*\* \S", kata.page.read_text(encoding="utf-8"), re.MULTILINE)
    assert specification.core_clauses(kata.address), "the specification has no core"
    assert set(clauses) == tested, "clauses and tests differ"
    assert clauses == told, "the page's paragraphs are not the clauses, in their order"


@each_kata
def test_a_specification_keeps_its_bounds(kata):
    core, further = specification.core_clauses(kata.address), specification.further_clauses(kata.address)
    assert len(core) <= MOST_CORE, f"{len(core)} core clauses"
    assert len(further) <= MOST_FURTHER, f"{len(further)} further clauses"
    wordy = {slug: len(text.split()) for slug, text in (core | further).items() if len(text.split()) > MOST_WORDS}
    assert not wordy, f"a clause is one requirement, in {MOST_WORDS} words at most: {wordy}"


@each_kata
def test_tests_come_in_the_order_of_the_tiers(kata):
    """Failures are told in the order of the specification, and a file reads in that order, too."""
    further = specification.further_clauses(kata.address)
    tiers = [slugs[0] in further for slugs in clauses_of_tests(kata).values()]
    assert tiers == sorted(tiers), "a test of a further clause comes before one of the core"


@each_kata
def test_every_test_enforces_one_clause(kata):
    assert {name: len(slugs) for name, slugs in clauses_of_tests(kata).items() if len(slugs) != 1} == {}


@each_kata
def test_every_mistake_and_excuse_is_told_in_full(kata):
    mistakes = mistakes_file(kata.address).get("mistake", [])
    assert mistakes, f"{relative(kata.mistakes)} has no mistakes"
    for mistake in mistakes:
        extra = set(mistake) - {"name", "breaks", "says", "edits", "probed", "because"}
        assert not extra, f"{mistake['name']} has {extra}"
        assert re.fullmatch(r"[a-z0-9-]+", mistake["name"])
        assert re.fullmatch(r".*[^.]", mistake["says"]), f"{mistake['name']}: `says` ends a sentence, without a stop"
        assert all(set(edit) == {"swap", "by"} for edit in mistake["edits"])
    for excuse in mistakes_file(kata.address).get("excused", []):
        assert set(excuse) == {"line", "becomes", "because"}, excuse
        assert excuse["because"], excuse


@each_kata
def test_the_reach_of_every_mistake_is_written_down(kata):
    reach, mistakes = reach_of(kata.address), mistakes_of(kata.address)
    assert list(reach) == list(mistakes)
    tests = clauses_of_tests(kata)
    named = {test.partition("[")[0] for failed in reach.values() for test in failed} | {
        test.partition("[")[0] for test in drawn_of(kata.address)
    }
    assert named <= tests.keys(), f"tests that are gone: {sorted(named - tests.keys())}"


def test_the_readme_has_the_map_of_the_curriculum():
    assert check_readme.rows() in (ROOT / "README.md").read_text(encoding="utf-8")


@each_kata
def test_a_kata_says_what_is_built(kata):
    assert kata.builds, f"{kata.address} has no `builds` in katas/curriculum.toml"


@each_kata
def test_a_page_has_its_sections_in_order(kata):
    page = kata.page.read_text(encoding="utf-8")
    sections = ["## A small example", "## Why each clause", "## Hints", "## In the book", "## To discuss"]
    places = [page.find(f"\n{section}\n") for section in sections]
    assert -1 not in places, dict(zip(sections, places, strict=True))
    assert places == sorted(places), dict(zip(sections, places, strict=True))
    for rung in ("A question", "A fact", "A plan"):
        assert page.count(f"<summary>{rung}</summary>") == 1, rung
    assert f"{kata.name}.svg" in page, "the page does not show its figure"


@each_kata
def test_a_kata_comes_after_all_that_it_builds_on(kata):
    place = KATAS.index(kata)
    assert all(KATAS.index(other) < place for other in prerequisites(kata))


@each_kata
def test_a_kata_imports_earlier_katas_relatively_and_only_what_teaches(kata):
    import sys

    for path in (kata.solution, kata.stub):
        for module in imports(path):
            top = module.partition(".")[0]
            assert top in TEACHES | {"solutions", "katas"} or top in sys.stdlib_module_names, (
                f"{relative(path)}: {module}"
            )
    for node in ast.walk(ast.parse(kata.solution.read_text(encoding="utf-8"))):
        module = getattr(node, "module", None) or ""
        if isinstance(node, ast.ImportFrom) and module != "katas.modes" and module.startswith(("solutions", "katas")):
            pytest.fail(f"line {node.lineno}: earlier katas are imported relatively")


def test_tests_of_katas_know_the_katas_and_their_support_only():
    for path in sources("tests"):
        if not OTHERS & {*path.parts} and path.name not in ("support.py", "laws.py", "probes.py"):
            known = {module for module in imports(path) if module.partition(".")[0] in ("solutions", "dojo", "tests")}
            known = {module for module in known if not module.startswith("dojo.ladder")}  # the fast, proved forms
            if path.name.startswith("bench_"):
                known = {module for module in known if not module.startswith("dojo.serving")}
            assert known <= {"tests", "tests.support", "tests.laws", "tests.probes"}, (
                f"{relative(path)} imports {known}"
            )


def test_the_dojo_imports_katas_only_to_serve_and_diagnose():
    for path in sources("dojo"):
        known = {module for module in imports(path) if module.partition(".")[0] in ("solutions", "katas", "tests")}
        assert not known, f"{relative(path)} imports {known}"


def test_every_text_file_ends_its_lines_the_same_way():
    for folder in ("dojo", "docs", "katas", "solutions", "tests"):
        for suffix in ("py", "md", "toml", "svg"):
            for path in (ROOT / folder).rglob(f"*.{suffix}"):
                assert b"\r" not in path.read_bytes(), f"{relative(path)} has Windows line ends"
