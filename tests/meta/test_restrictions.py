"""What a kata's source may not do, and what it may: the table of tests/meta/hostile, without running anything."""

import ast

import pytest

from dojo import ROOT
from dojo.catalog import specification
from dojo.catalog.curriculum import katas
from dojo.serving._source import Source, bound_names
from dojo.serving.restrictions import TENSORS_OWN, NotAllowed, refuse_what_is_not_allowed, uses_of
from dojo.system.files import NotRegular
from tests.meta.hostile.in_the_source import NAMES, ONE_REASON, PASSES, REFUSED


def told(source, names=NAMES):
    return [f"{verb} {name}" for verb, name, _ in uses_of(names, ast.parse(source))]


@pytest.mark.parametrize(
    ("what", "source"), [(what, source) for what, sources in REFUSED.items() for source in sources]
)
def test_it_is_refused_by_its_name(what, source):
    assert what in told(source), f"{source}\nis told: {told(source) or 'nothing'}"


@pytest.mark.parametrize("source", ONE_REASON)
def test_one_line_is_told_for_one_reason(source):
    assert len(told(source)) == 1, told(source)


def test_each_name_is_told_once_with_its_first_line():
    source = "import tiktoken\n\ntiktoken.x\ny.softmax()\nz.softmax()"
    assert uses_of(NAMES, ast.parse(source)) == [("uses", "tiktoken", 1), ("uses", "softmax", 4)]


@pytest.mark.parametrize("source", PASSES)
def test_what_is_no_detour_passes(source):
    assert not told(source)


@pytest.mark.parametrize("room", ["solutions", "tests/meta/book"])
def test_no_right_answer_is_refused(room):
    files = {kata.address: ROOT / room / f"{kata.address}.py" for kata in katas()}
    found = {
        address: told(file.read_text(encoding="utf-8"), specification.not_allowed(address))
        for address, file in files.items()
        if file.is_file()
    }
    assert len(found) > len(katas()) / 2
    assert not {address: uses for address, uses in found.items() if uses}


def test_the_forbidden_names_that_tensors_have_as_methods_are_known():
    import torch

    listed = {name for kata in katas() for name in specification.not_allowed(kata.address)}
    assert {name for name in listed if callable(getattr(torch.Tensor, name, None))} - {"numpy"} <= TENSORS_OWN


def test_a_source_nested_too_deeply_is_not_let_through():
    with pytest.raises(RecursionError):
        refuse_what_is_not_allowed("foundations/softmax", "y = " + "+".join(["1"] * 20_000))


@pytest.fixture
def beside(monkeypatch, tmp_path):
    """A folder of the learner's own with nothing in it, in which katas/foundations/softmax.py would stand."""
    folder = tmp_path / "katas" / "foundations"
    folder.mkdir(parents=True)
    specification.not_allowed("foundations/softmax")  # kept from now on
    for module in ("dojo.serving.restrictions", "dojo.catalog.curriculum"):
        monkeypatch.setattr(f"{module}.ROOT", tmp_path)
    return folder


@pytest.mark.parametrize("asks", ["from .sums import y", "from . import sums", "import katas.foundations.sums as sums"])
def test_a_file_beside_the_kata_is_held_to_the_same_rules(beside, asks):
    (beside / "sums.py").write_text("from .more import y\n", encoding="utf-8")
    (beside / "more.py").write_text("import math\nfrom . import sums\ny = math.exp(1)\n", encoding="utf-8")
    refuse_what_is_not_allowed("foundations/softmax", asks)
    (beside / "more.py").write_text("import torch\ny = torch.softmax\n", encoding="utf-8")
    with pytest.raises(NotAllowed) as caught:
        refuse_what_is_not_allowed("foundations/softmax", asks)
    assert (caught.value.file, caught.value.uses) == ("katas/foundations/more.py", [("uses", "softmax", 2)])


def test_a_link_beside_the_kata_is_not_followed(beside, tmp_path):
    (tmp_path / "answers.py").write_text("y = 1\n", encoding="utf-8")
    (beside / "sums.py").symlink_to(tmp_path / "answers.py")
    with pytest.raises(NotRegular, match="a link"):
        refuse_what_is_not_allowed("foundations/softmax", "from .sums import y")


def test_only_what_a_file_binds_itself_counts():
    source = (
        "from torch import softmax, nn\nimport torch.nn.functional as F\nlog_softmax = F.log_softmax\n"
        "def one(): ...\nclass Two: ...\nthree = lambda x: x\nif True:\n    def four(): ...\nfive = one\n"
        "match 1:\n    case 1:\n        def six(): ...\n"
    )
    assert bound_names(ast.parse(source)) == {"one", "Two", "three", "four", "five", "six"}


def test_names_that_stand_for_themselves_are_looked_up_once(monkeypatch):
    """micrograd begins every method with `other = other if isinstance(other, Value) else Value(other)`."""
    asked, texts = [], Source.texts

    def counted(self, *more):
        asked.append(more)
        assert len(asked) < 1000
        return texts(self, *more)

    monkeypatch.setattr(Source, "texts", counted)
    method = "def {}(self, other):\n    other = other if isinstance(other, Value) else Value(other)\n"
    source = "".join(method.format(name) for name in ("add", "mul", "sub", "pow", "truediv", "matmul", "eq"))
    assert told(f"{source}\nx = y\ny = x\nx = y\ngetattr(x, y)\n") == []
    assert asked
