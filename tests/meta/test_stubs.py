"""What `stub_of` keeps and what it takes away."""

import ast
import textwrap

import pytest

from dojo.catalog.curriculum import katas
from dojo.catalog.stubs import NotStubbable, stub_of


def stubbed(source):
    return stub_of(textwrap.dedent(source).lstrip("\n"))


@pytest.mark.parametrize("kata", katas(), ids=lambda kata: kata.address)
def test_the_stub_of_a_kata_is_valid_and_stays_itself(kata):
    stub = stub_of(kata.solution.read_text(encoding="utf-8"))
    ast.parse(stub)
    assert stub_of(stub) == stub


def test_bodies_go_and_docstrings_stay():
    source = '''
        """Kata."""


        def double(x: int) -> int:
            """Twice x."""
            # the answer
            return x * 2
        '''
    assert stubbed(source) == (
        '"""Kata."""\n\n\ndef double(x: int) -> int:\n    """Twice x."""\n    raise NotImplementedError\n'
    )


def test_a_body_on_the_line_of_its_signature_goes_too():
    assert stubbed("def double(x): return x * 2\n") == "def double(x):\n    raise NotImplementedError\n"


def test_a_signature_over_several_lines_stays():
    source = "def f(\n    a: int,\n    b: int = 2,\n) -> int:\n    return a + b\n"
    assert stubbed(source) == "def f(\n    a: int,\n    b: int = 2,\n) -> int:\n    raise NotImplementedError\n"


def test_private_names_go_with_the_comments_above_them():
    source = """
        PUBLIC = 1
        # how it is done
        _ANSWER = 2


        # helps
        def _helper():
            return 1


        class _Hidden:
            pass


        def f():
            return _helper()
        """
    assert stubbed(source) == "PUBLIC = 1\n\n\ndef f():\n    raise NotImplementedError\n"


def test_only_imports_that_the_stub_needs_stay():
    source = """
        import heapq
        from collections import Counter
        from collections.abc import Iterable, Mapping

        import torch
        from torch import Tensor, nn


        def f(x: Tensor, words: Mapping) -> "nn.Module":
            return torch.zeros(heapq.heappop([1])), Counter(), Iterable
        """
    assert stubbed(source).startswith("from collections.abc import Mapping\n\nfrom torch import Tensor, nn\n\n\ndef f")


def test_decorators_that_are_part_of_the_answer_go():
    source = """
        from dataclasses import dataclass
        from functools import cache

        import torch


        @dataclass(frozen=True)
        class Config:
            width: int
            _secret: int = 0

            def __post_init__(self):
                check(self)

            @property
            def half(self) -> int:
                return self.width // 2

            @classmethod
            def preset(cls) -> "Config":
                return cls(1)

            @cache
            def slow(self):
                return 1


        @torch.no_grad()
        def evaluate():
            return 1
        """
    stub = stubbed(source)
    for kept in ("@dataclass(frozen=True)", "@property", "@classmethod", "width: int\n", "__post_init__"):
        assert kept in stub, stub
    for gone in ("@cache", "no_grad", "_secret", "import torch", "functools"):
        assert gone not in stub, stub
    assert stub.count("raise NotImplementedError") == 5


def test_a_class_of_private_parts_keeps_a_body():
    assert (
        stubbed("class Empty(Exception):\n    def _f(self):\n        return 1\n")
        == "class Empty(Exception):\n    pass\n"
    )


@pytest.mark.parametrize(
    "source",
    ["def f(x=_DEFAULT): return x\n", "def f(x: _Hidden): return x\n", "class C(_Base):\n    def f(self): return 1\n"],
)
def test_a_private_name_in_a_public_signature_is_an_error(source):
    with pytest.raises(NotStubbable, match="names the private"):
        stub_of(source)


def test_windows_line_ends_do_no_harm():
    assert stub_of("def f():\r\n    return 1\r\n").split() == ["def", "f():", "raise", "NotImplementedError"]
