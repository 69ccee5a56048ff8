"""What the door finds in a kata's source, and what it lets pass."""

import ast

import pytest

from dojo.door import uses_of

FORBIDDEN = ("scaled_dot_product_attention", "torch.softmax", "tiktoken")


def found(source):
    return uses_of(FORBIDDEN, ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "import torch.nn.functional as F\ny = F.scaled_dot_product_attention(q, k, v)",
        "from torch.nn.functional import scaled_dot_product_attention as a",
        "import torch\ny = getattr(torch.nn.functional, 'scaled_dot_product_attention')(q, k, v)",
        "def f(x):\n    return x.softmax(-1)",
        "from torch import softmax",
        "import tiktoken",
        "import tiktoken.load as t",
        "from tiktoken import get_encoding",
        "import importlib\nt = importlib.import_module('tiktoken.load')",
        "y = softmax(x)",
    ],
)
def test_a_forbidden_name_is_found(source):
    assert found(source), source


@pytest.mark.parametrize(
    "source",
    [
        "def softmax(x):\n    return x\n\n\ny = softmax(1)",
        "from ..foundations.softmax import softmax\n\ny = softmax(1)",
        '"""Do not use scaled_dot_product_attention, tiktoken or softmax here."""',
        "# tiktoken.get_encoding\nx = 1",
        "softmax_of_scores = 1\nx.log_softmax(1)",
        "tiktoken_like = 'like tiktoken'",
    ],
)
def test_a_learners_own_name_passes(source):
    assert not found(source), found(source)


def test_each_name_is_told_once_with_its_first_line():
    assert found("import tiktoken\n\ntiktoken.x\ny.softmax()\nz.softmax()") == [("tiktoken", 1), ("torch.softmax", 4)]
